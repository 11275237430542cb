//! The pages of `docs/reference`, made of the code. What a person must write stands in the last column of a table, and
//! is kept.
//!
//! `REGENERATE=1 cargo test --test it documentation::reference` writes the pages.

mod chart_values;
mod command_line;
mod fields;
mod metadata;
mod metrics;
mod names;

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use anyhow::{Result, bail, ensure};

use super::ROOT;

/// What every generated page begins with, after its title.
const NOTE: &str =
    "*This page is made of the code: `REGENERATE=1 cargo test --test it documentation::reference`.*\n\n";

/// A cell that nobody has written yet.
const EMPTY: &str = "TODO";

/// Compares the file with what it is to be, or writes it where that is asked for.
fn check(path: &str, wanted: &str) -> Result<()> {
    let file = Path::new(ROOT).join(path);
    let found = || fs::read_to_string(&file).unwrap_or_default();
    // The program is made of some of these pages, and is compiled anew when they are written.
    if env::var_os("REGENERATE").is_some() && found() != wanted {
        fs::write(&file, wanted)?;
    }
    let found = found();
    let command = "REGENERATE=1 cargo test --test it documentation::reference";
    ensure!(found == wanted, "{path} is not what the code leads to; run: {command}");
    ensure!(!wanted.contains(EMPTY), "{path} has a cell {EMPTY}: write the sentence there, it is kept");
    Ok(())
}

/// What a person wrote on a page: the last cell of each row of the tables, by the row's first one.
struct Kept(BTreeMap<String, String>);

impl Kept {
    fn of(path: &str) -> Self {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_default();
        let rows = text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| {
            let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            Some((cells.next()?, cells.last()?))
        });
        Self(rows.collect())
    }

    fn cell(&self, first: &str) -> String {
        let kept = self.0.get(&format!("`{first}`")).filter(|cell| !cell.is_empty());
        kept.cloned().unwrap_or_else(|| EMPTY.to_owned())
    }
}

/// A table in Markdown.
struct Table(String);

impl Table {
    fn new(head: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(head.iter().map(ToString::to_string));
        table.0 = table.0 + "|" + &"---|".repeat(head.len()) + "\n";
        table
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push('|');
        for cell in cells {
            let space = if cell.is_empty() { "" } else { " " };
            for part in [space, &cell.replace('\n', " "), " |"] {
                self.0.push_str(part);
            }
        }
        self.0.push('\n');
    }

    fn end(self) -> String {
        self.0 + "\n"
    }
}

/// Code in a cell, where `|` would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A member of an enum of names.
struct Member {
    /// The comment above the members that it is one of.
    group: String,
    name: String,
    /// Its documentation.
    meaning: String,
}

/// The members of a public enum in a file, as rustfmt lays them out.
fn members(path: &str, name: &str) -> Result<Vec<Member>> {
    let source = fs::read_to_string(Path::new(ROOT).join(path))?;
    let Some((_, body)) = source.split_once(&format!("pub enum {name} {{\n")) else {
        bail!("there is no enum {name} in {path}");
    };
    let (mut group, mut meaning, mut found) = (String::new(), String::new(), Vec::new());
    for line in body.lines().take_while(|line| *line != "}") {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("/// ") {
            write!(meaning, " {text}")?;
        } else if let Some(text) = line.strip_prefix("// ") {
            text.trim_end_matches('.').clone_into(&mut group);
        } else if let Some(member) = line.strip_suffix(',') {
            let member = member.split('(').next().unwrap_or_default().to_owned();
            let meaning = std::mem::take(&mut meaning).trim().to_owned();
            ensure!(!meaning.is_empty(), "{name}::{member} has no documentation");
            found.push(Member { group: group.clone(), name: member, meaning });
        }
    }
    ensure!(found.len() > 5, "the enum {name} in {path} has {} members only", found.len());
    Ok(found)
}
