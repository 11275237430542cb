//! What is printed.

use std::{fmt, time::Duration};

/// Figures beside their aims, as a Markdown table.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    /// Adds a figure.
    pub fn add(&mut self, figure: &str, measured: impl Into<String>, aim: &str) {
        self.rows.push([figure.to_owned(), measured.into(), aim.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | measured | aim |\n|---|---|---|")?;
        for [figure, measured, aim] in &self.rows {
            writeln!(f, "| {figure} | {measured} | {aim} |")?;
        }
        Ok(())
    }
}

/// A size as people read it.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A time as people read it.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// The smallest value that so many percent of all values do not exceed (the nearest rank).
pub fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
