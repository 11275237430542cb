//! The figures that every process exports by the names that Prometheus' own libraries use. They are read when
//! somebody asks, from where Linux keeps them; what cannot be read is left out.

use std::{fmt, fs};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    started: Timestamp,
}

impl Process {
    /// The process, which starts about now.
    pub(super) fn started_now() -> Self {
        Self { started: Timestamp::now() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        counter(
            encoder,
            "process_cpu_seconds",
            "Time that the process has used of processors",
            Some(cpu_seconds()),
        )?;
        gauge(
            encoder,
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            Some(self.started.as_second()),
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge(
            encoder,
            "process_resident_memory_bytes",
            "Memory that the process holds",
            kibibytes(&status, "VmRSS:"),
        )?;
        gauge(
            encoder,
            "process_virtual_memory_bytes",
            "Addresses that the process has reserved",
            kibibytes(&status, "VmSize:"),
        )?;
        gauge(encoder, "process_open_fds", "Files and sockets that the process holds", open_files())?;
        gauge(
            encoder,
            "process_max_fds",
            "Files and sockets that the process may hold",
            getrlimit(Resource::Nofile).current,
        )
    }
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<impl EncodeCounterValue + Copy>,
) -> Result<(), fmt::Error> {
    let Some(counter) = value.map(ConstCounter::new) else { return Ok(()) };
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<impl EncodeGaugeValue + Copy>,
) -> Result<(), fmt::Error> {
    let Some(gauge) = value.map(ConstGauge::new) else { return Ok(()) };
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a processor are far below 2^52")]
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// A line of `/proc/self/status`, such as `VmRSS:     1234 kB`, in bytes.
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// One of them is the look itself.
fn open_files() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn this_process_uses_something_of_everything() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::started_now()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name}: {text}");
        }
    }

    #[test]
    fn reads_a_line_of_the_status() {
        let status = "Name:\tit\nVmSize:\t  2048 kB\nVmRSS:\t     12 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
