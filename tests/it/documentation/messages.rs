//! Every message that a page quotes is one that the program prints.
//!
//! A page quotes messages in blocks of the language `text`, one a line, with `…` in the place of what differs from one
//! installation to the next. A line is found in a snapshot of the tests, or it is put together of texts of the source,
//! each of them whole.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::LazyLock,
};

use anyhow::{Result, ensure};
use regex::Regex;
use wandb_auth_operator::api::{CheckName, Reason};

use super::{ROOT, add_files, pages};

/// Shorter texts are found everywhere.
const SHORTEST: usize = 12;

#[test]
fn every_quoted_message_is_printed() -> Result<()> {
    let corpus = Corpus::read()?;
    let (mut count, mut invented) = (0, Vec::new());
    for page in pages()?.into_iter().filter(|page| !page.is_generated()) {
        for line in page.blocks("text").flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        {
            count += 1;
            if !corpus.has(&line) {
                invented.push(format!("{}: {line}", page.path.display()));
            }
        }
    }
    ensure!(count > 60, "the pages quote {count} lines only");
    ensure!(invented.is_empty(), "no snapshot and no text of src/ has these lines: {invented:#?}");
    Ok(())
}

/// A text of the source with values in it.
struct Template {
    /// The longest part that is always the same, by which most lines are told apart without the pattern.
    clue: String,
    /// What `format!` makes of it.
    pattern: String,
}

/// What the program prints, as far as texts tell.
struct Corpus {
    snapshots: Vec<String>,
    templates: Vec<Template>,
}

impl Corpus {
    fn read() -> Result<Self> {
        let mut snapshots = Vec::new();
        add_files(Path::new("tests"), "snap", &mut snapshots)?;
        add_files(Path::new("src"), "snap", &mut snapshots)?;
        let snapshots = snapshots.into_iter().map(|path| Ok(normal(&read(path)?))).collect::<Result<_>>()?;
        let texts = texts_of_the_source()?;
        let templates = texts.iter().filter_map(|text| template(text)).collect();
        Ok(Self { snapshots, templates })
    }

    fn has(&self, line: &str) -> bool {
        let line = normal(line.trim_start_matches(['├', '│', '└', '─', ' ']));
        line.is_empty()
            || is_title(&line)
            || self.snapshots.iter().any(|snapshot| occurs(&line, snapshot))
            || self.is_put_together(&line)
    }

    /// Whether texts of the source, each of them whole, make up the line.
    fn is_put_together(&self, line: &str) -> bool {
        let mut covered = vec![false; line.len()];
        let near = self.templates.iter().filter(|template| line.contains(&template.clue));
        for pattern in near.filter_map(|template| Regex::new(&template.pattern).ok()) {
            for found in pattern.find_iter(line) {
                covered.get_mut(found.range()).into_iter().flatten().for_each(|byte| *byte = true);
            }
        }
        let joins = |character: char| " .,:;()\"…".contains(character);
        line.char_indices().all(|(at, character)| joins(character) || covered.get(at) == Some(&true))
    }
}

fn read(path: PathBuf) -> std::io::Result<String> {
    fs::read_to_string(Path::new(ROOT).join(path))
}

/// Every text of the program, without its tests.
pub(super) fn texts_of_the_source() -> Result<Vec<String>> {
    let mut sources = Vec::new();
    add_files(Path::new("src"), "rs", &mut sources)?;
    sources.retain(|path| !path.components().any(|part| is_test(part.as_os_str())));
    let mut texts = Vec::new();
    for path in sources {
        texts.extend(literals(read(path)?.split("#[cfg(test)]").next().unwrap_or_default()));
    }
    texts.sort();
    texts.dedup();
    Ok(texts)
}

fn is_test(part: &std::ffi::OsStr) -> bool {
    part == "tests" || part == "tests.rs"
}

fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line of a check, of checks that were not run, or of the resource that they belong to.
fn is_title(line: &str) -> bool {
    static CHECK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[✓!✗-] (\S+?)(?:: (\w+))?$").ok());
    static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^(- \d+ checks not run, since \w+ failed|(LdapConfig|OidcProvider|JwtIssuer|ServiceAccount) \S+ \(.+\))$").ok()
    });
    static TALLY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let part =
            r"\d+ (?:resources? not usable|failed|warnings?|passed|not run|not Ready|not looked at|Ready)";
        Regex::new(&format!("^{part}(?:, {part})*$")).ok()
    });
    if TALLY.as_ref().is_some_and(|tally| tally.is_match(line)) {
        return true;
    }
    if OTHER.as_ref().is_some_and(|other| other.is_match(line)) {
        return true;
    }
    CHECK.as_ref().and_then(|check| check.captures(line)).is_some_and(|found| {
        let is_known = |reason: regex::Match<'_>| Reason::from_str(reason.as_str()).is_ok();
        found.get(1).is_some_and(|name| CheckName::parse(name.as_str()).is_some())
            && found.get(2).is_none_or(is_known)
    })
}

/// Whether the line's parts between `…` stand in the text, in order and close to each other.
fn occurs(line: &str, text: &str) -> bool {
    if !line.contains('…') {
        return line.len() >= SHORTEST && text.contains(line);
    }
    let parts: Vec<_> = line.split('…').map(regex::escape).collect();
    let is_long = line.split('…').map(str::len).sum::<usize>() >= SHORTEST;
    is_long && Regex::new(&parts.join(".{0,200}?")).is_ok_and(|pattern| pattern.is_match(text))
}

/// `None` where the text is too short to tell anything.
fn template(text: &str) -> Option<Template> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.next_if_eq(&character).is_some() => parts.last_mut()?.push(character),
            '{' => {
                characters.by_ref().find(|character| *character == '}')?;
                parts.push(String::new());
            }
            other => parts.last_mut()?.push(other),
        }
    }
    let normal: Vec<_> = parts.iter().map(|part| part.replace('\n', " ")).collect();
    if normal.iter().map(|part| part.trim().len()).sum::<usize>() < SHORTEST {
        return None;
    }
    let last = normal.len() - 1;
    let mut pattern = String::new();
    for (index, part) in normal.iter().enumerate() {
        pattern += &regex::escape(part);
        // A value ends with its sentence. At the ends of the text it is a word: what stands beside the text must be
        // covered by another one.
        pattern += match index {
            index if index == last => "",
            0 if part.is_empty() => r"\S*",
            index if index + 1 == last && normal.get(last).is_some_and(String::is_empty) => r"\S*",
            _ => r"(?:[^.]|\.\S)*",
        };
    }
    let clue = normal.iter().max_by_key(|part| part.len())?.clone();
    Some(Template { clue, pattern })
}

/// The string literals of Rust code, as the program has them.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, after) = rest.split_at(at);
        rest = if after.starts_with("//") {
            after.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(text) = after.strip_prefix('"') {
            let is_raw = before.ends_with('r') || before.ends_with("r#");
            let (text, rest) = if is_raw { raw(text) } else { escaped(text) };
            found.push(text);
            rest
        } else {
            // A character in quotes may be a quote itself.
            let skipped = ["'\"'", "'\\''", "'\\\"'"].iter().find(|quoted| after.starts_with(**quoted));
            after.get(skipped.map_or(1, |quoted| quoted.len())..).unwrap_or_default()
        };
    }
    found
}

fn raw(text: &str) -> (String, &str) {
    let (text, rest) = text.split_once('"').unwrap_or((text, ""));
    (text.to_owned(), rest)
}

fn escaped(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                // The next line's indentation is no part of the text.
                Some((at, '\n')) => {
                    let next = text.get(at + 1..).unwrap_or_default();
                    let indentation = next.len() - next.trim_start().len();
                    characters.by_ref().take(indentation).for_each(drop);
                }
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[test]
fn messages_are_told_from_inventions() -> Result<()> {
    let corpus = Corpus::read()?;
    for line in [
        "├─ ✗ Bind: InvalidCredentials",
        "│    The certificate is trusted and valid until ….",
        "└─ - 3 checks not run, since Bind failed",
        "Auth0's issuers end with a slash. Set spec.issuer to https://acme.eu.auth0.com/.",
        "Keycloak's issuers do not end with a slash. Check spec.issuer. Register https://wandb.example.com/oidc/callback as redirect URI.",
    ] {
        ensure!(corpus.has(line), "not found: {line}");
    }
    for line in [
        "✗ Bind: NoSuchReason",
        "✗ NoSuchCheck: InvalidCredentials",
        "The certificate is believed and valid until today.",
        "The certificate is trusted and valid until today. All is well with it.",
        "Auth0's issuers end with a dot. Set spec.issuer to https://acme.eu.auth0.com/.",
        "Nobody under the sun matches. Check the filter, and that the account may read the entry.",
        "Everything is fine.",
    ] {
        ensure!(!corpus.has(line), "found: {line}");
    }
    Ok(())
}
