//! From resources that nobody has seen until all are Ready: what it takes, and by which requests.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use test_support::{
    AuditEvent,
    fleet::{Census, is_write},
};

use crate::{
    ceiling::{Ceiling, Others},
    process::Process,
    report::{Cell, Report, each, grouped, share},
};

/// What it took.
pub struct Load {
    /// How many there are.
    pub size: usize,
    /// How many were Ready in the end.
    pub ready: usize,
    /// From the start of the process.
    pub took: Duration,
    /// The time of the process on a CPU.
    pub cpu: Duration,
    /// What it asked the API server.
    pub requests: Vec<AuditEvent>,
}

/// Resources that take longer than this are reported as not Ready.
pub fn patience(size: usize) -> Duration {
    Duration::from_mins(1) + Duration::from_millis(100) * u32::try_from(size).unwrap_or(u32::MAX)
}

impl Load {
    /// Waits until all are Ready that this process, started just then, manages.
    pub async fn of(
        (process, started): (Process, Instant),
        census: &Census,
        size: usize,
        requests: impl AsyncFnOnce() -> Result<Vec<AuditEvent>>,
    ) -> Result<Self> {
        let (ready, _) = census.wait(size, patience(size)).await?;
        let (took, cpu) = (started.elapsed(), process.cpu()?);
        Ok(Self { size, ready, took, cpu, requests: requests().await? })
    }

    /// How many became Ready in a second.
    pub fn rate(&self) -> f64 {
        each(self.ready, 1) / self.took.as_secs_f64()
    }

    /// The time on a CPU for each resource.
    pub fn cpu_each(&self) -> Duration {
        share(self.cpu, self.ready)
    }

    /// How many requests changed something, or were to, for each resource.
    pub fn writes_each(&self) -> f64 {
        each(self.requests.iter().filter(|event| is_write(event)).count(), self.size)
    }

    /// The events and reads for each resource, as numbers that can be made again.
    pub fn others_each(&self) -> Others {
        let each = |is_meant: fn(&AuditEvent) -> bool| {
            let count = self.requests.iter().filter(|event| is_meant(event)).count();
            (count + self.size / 2) / self.size.max(1)
        };
        Others {
            events: each(|event| is_write(event) && event.resource == "events"),
            reads: each(|event| event.verb == "get"),
        }
    }

    /// Adds what it took to the report.
    pub fn record(&self, report: &mut Report, label: &str, (cpu_aim, ceiling): (&str, Option<Ceiling>)) {
        let missing = match self.size - self.ready.min(self.size) {
            0 => String::new(),
            missing => format!(" ({} not Ready)", grouped(missing)),
        };
        let cpu = self.cpu_each();
        let text = format!("{:.2} ms{missing}", cpu.as_secs_f64() * 1000.0);
        let figure = format!("{label}: CPU a resource until Ready");
        report.add_sized(&figure, self.size, Cell::cost(text, cpu.as_secs_f64()), cpu_aim);
        let rate = self.rate();
        let of = |ceiling: f64| format!("{rate:.0}, {:.0} % of {ceiling:.0}", 100.0 * rate / ceiling);
        let figure = format!("{label}: Ready a second, share of the ceiling");
        match ceiling {
            None => report.add_sized(&figure, self.size, Cell::text(format!("{rate:.0}")), ""),
            Some(ceiling) => {
                report.add_sized(&figure, self.size, Cell::text(of(ceiling.of_writes)), "90 %");
                let figure = format!("{label}: the same, where the plain client makes the reads, too");
                report.add_sized(&figure, self.size, Cell::text(of(ceiling.of_requests)), "");
            }
        }
        let figure = format!("{label}: requests a resource until Ready");
        let all = each(self.requests.len(), self.size);
        let text = format!("{:.1} writes, {:.1} others", self.writes_each(), all - self.writes_each());
        report.add_sized(&figure, self.size, Cell::cost(text, all), "2 writes");
    }

    /// The requests by what they were for, each with their number for a resource.
    pub fn requests_in_words(&self) -> Vec<Vec<String>> {
        let mut counts = BTreeMap::<_, usize>::new();
        for event in &self.requests {
            *counts.entry((event.verb.clone(), what(event))).or_default() += 1;
        }
        let row = |((verb, what), count): ((String, String), usize)| {
            vec![verb, what, grouped(count), format!("{:.2}", each(count, self.size))]
        };
        counts.into_iter().map(row).collect()
    }
}

fn what(event: &AuditEvent) -> String {
    let of = |resource: &str| match event.subresource.as_str() {
        "" => resource.to_owned(),
        subresource => format!("{resource}/{subresource}"),
    };
    of(if event.resource.is_empty() { "(no resource)" } else { &event.resource })
}
