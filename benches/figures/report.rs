//! What is printed.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Figures beside their aims, as Markdown tables.
#[derive(Default)]
pub struct Report {
    general: Vec<[String; 3]>,
    by_size: Vec<Line>,
    sections: Vec<Section>,
}

/// A figure that depends on the number of resources.
struct Line {
    figure: String,
    aim: String,
    cells: BTreeMap<usize, Cell>,
}

/// What was measured with one number of resources.
pub struct Cell {
    text: String,
    /// Where less is better and the ratio of two sizes says how it grows.
    cost: Option<f64>,
}

struct Section {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cell {
    /// A cost in milliseconds.
    pub fn milliseconds(duration: Duration) -> Self {
        Self { text: milliseconds(duration), cost: Some(duration.as_secs_f64()) }
    }

    /// A cost of which the words say more.
    pub fn cost(text: impl Into<String>, cost: f64) -> Self {
        Self { text: text.into(), cost: Some(cost) }
    }

    /// What does not grow, or should.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), cost: None }
    }
}

impl Report {
    /// Adds a figure that does not depend on the number of resources.
    pub fn add(&mut self, figure: &str, measured: impl Into<String>, aim: &str) {
        self.general.push([figure.to_owned(), measured.into(), aim.to_owned()]);
    }

    /// Adds a figure for one number of resources.
    pub fn add_sized(&mut self, figure: &str, size: usize, cell: Cell, aim: &str) {
        let known = self.by_size.iter_mut().find(|line| line.figure == figure);
        if let Some(line) = known {
            line.cells.insert(size, cell);
        } else {
            let cells = BTreeMap::from([(size, cell)]);
            self.by_size.push(Line { figure: figure.to_owned(), aim: aim.to_owned(), cells });
        }
    }

    /// Adds a table of its own.
    pub fn section(&mut self, title: &str, header: &[&str], rows: Vec<Vec<String>>) {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        self.sections.push(Section { title: title.to_owned(), header, rows });
    }
}

impl Line {
    /// How the cost grows from the second largest number of resources to the largest.
    fn growth(&self) -> String {
        let mut costs = self.cells.values().rev().map(|cell| cell.cost);
        match (costs.next().flatten(), costs.next().flatten()) {
            (Some(large), Some(small)) if small > 0.0 => format!("{:.2}", large / small),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.general.is_empty() {
            let header = ["figure", "measured", "aim"].map(str::to_owned);
            table(f, &header, self.general.iter().map(|row| row.to_vec()))?;
        }
        let mut sizes: Vec<_> = self.by_size.iter().flat_map(|line| line.cells.keys().copied()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if !sizes.is_empty() {
            let mut header = vec!["figure".to_owned()];
            header.extend(sizes.iter().map(|size| grouped(*size)));
            header.extend(["growth".to_owned(), "aim".to_owned()]);
            let rows = self.by_size.iter().map(|line| {
                let cell =
                    |size| line.cells.get(size).map_or_else(|| "–".to_owned(), |cell| cell.text.clone());
                let mut row = vec![line.figure.clone()];
                row.extend(sizes.iter().map(cell));
                row.extend([line.growth(), line.aim.clone()]);
                row
            });
            table(f, &header, rows)?;
        }
        for section in &self.sections {
            writeln!(f, "{}\n", section.title)?;
            table(f, &section.header, section.rows.iter().cloned())?;
        }
        Ok(())
    }
}

fn table(
    f: &mut fmt::Formatter<'_>,
    header: &[String],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    writeln!(f, "| {} |\n|{}", header.join(" | "), "---|".repeat(header.len()))?;
    for row in rows {
        writeln!(f, "| {} |", row.join(" | "))?;
    }
    writeln!(f)
}

/// A number as people read it.
pub fn grouped(number: usize) -> String {
    let (thousands, rest) = (number / 1000, number % 1000);
    if thousands == 0 { rest.to_string() } else { format!("{},{rest:03}", grouped(thousands)) }
}

/// A size as people read it.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A time as people read it.
pub fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.0} ms") }
}

/// How many of something there are for each resource.
#[expect(clippy::cast_precision_loss, reason = "numbers are far below 2^52")]
pub fn each(number: usize, resources: usize) -> f64 {
    number as f64 / resources.max(1) as f64
}

/// The part of a time for each of so many.
pub fn share(duration: Duration, number: usize) -> Duration {
    duration / u32::try_from(number).unwrap_or(u32::MAX).max(1)
}

/// The smallest value that so many percent of all values do not exceed (the nearest rank).
pub fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
