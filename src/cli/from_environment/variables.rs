//! The variables of a server: those of this process, or those of a file.

use std::{collections::BTreeMap, ffi::OsString, fs, io::Read, path::Path};

use anyhow::{Context, bail};

use crate::{
    import::{Variable, VariableSource},
    problem::quote,
    sensitive::Sensitive,
};

/// Every variable, by name.
pub(super) type Variables = BTreeMap<String, Variable>;

/// The largest file that is read. Linux gives a process 2 MiB of variables by default.
const FILE_LIMIT: u64 = 8 * 1024 * 1024;

/// The variables of this process.
pub(super) fn of_process() -> Variables {
    let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    named.map(|(name, value)| (name, variable(value.into_string().ok()))).collect()
}

/// The variables of a file.
pub(super) fn of_file(file: &Path) -> anyhow::Result<Variables> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(FILE_LIMIT).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", file.display()))?;
    let own = |name: &str| std::env::var_os(name).and_then(|value: OsString| value.into_string().ok());
    parse(&bytes, own).with_context(|| format!("{} is no file of variables", file.display()))
}

fn variable(value: Option<String>) -> Variable {
    Variable { source: VariableSource::Elsewhere, value: value.map(Sensitive::new) }
}

/// Reads a file as docker's `--env-file` does, or, where it has zero bytes, as Linux writes `/proc/<pid>/environ`.
/// `own` is the value of a variable of this process. No message repeats a value, which may be secret.
fn parse(bytes: &[u8], own: impl Fn(&str) -> Option<String>) -> anyhow::Result<Variables> {
    if bytes.contains(&0) {
        return Ok(of_kernel(bytes));
    }
    let text = std::str::from_utf8(bytes).context("it is not text in UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Variables::new();
    for (number, line) in (1..).zip(text.lines()) {
        // White space at the end is a part of the value, and so are quotation marks.
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line, own(line)),
        };
        if name.is_empty() {
            bail!("line {number} has no name before its =");
        }
        if name.contains([' ', '\t']) {
            let first = name.split_whitespace().next().unwrap_or_default();
            bail!(
                "line {number}, which begins with {}, has white space before its =; write NAME=value, without export",
                quote(first)
            );
        }
        if let Some(value) = value {
            variables.insert(name.to_owned(), variable(Some(value)));
        }
    }
    Ok(variables)
}

fn of_kernel(bytes: &[u8]) -> Variables {
    let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let name = std::str::from_utf8(entry.get(..at)?).ok()?;
        let value = String::from_utf8(entry.get(at + 1..)?.to_vec()).ok();
        Some((name.to_owned(), variable(value)))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(String, Option<String>)>, String> {
        let own = |name: &str| (name == "OWN").then(|| "mine".to_owned());
        let variables = parse(text, own).map_err(|error| format!("{error:#}"))?;
        let plain = |value: Sensitive| value.expose().to_owned();
        Ok(variables.into_iter().map(|(name, variable)| (name, variable.value.map(plain))).collect())
    }

    /// As docker's `pkg/kvfile` reads them.
    #[test]
    fn reads_what_docker_reads() {
        for (text, expected) in [
            ("A=1\nB=2\n", vec![("A", "1"), ("B", "2")]),
            ("\u{feff}A=1\r\n\r\n  # comment\n\t A2=x y \n", vec![("A", "1"), ("A2", "x y ")]),
            ("A=\"quoted\"\nB=a=b#c\nC=\n", vec![("A", "\"quoted\""), ("B", "a=b#c"), ("C", "")]),
            ("OWN\nNOBODYS\nA=1\nA=2", vec![("A", "2"), ("OWN", "mine")]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect();
            assert_eq!(read(text.as_bytes()), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn reads_the_variables_of_a_running_process() {
        let expected = [("A", Some("1\n2")), ("B", None), ("C", Some("x=y"))];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(read(b"A=1\n2\0B=\xff\0nothing\0C=x=y\0"), Ok(expected.to_vec()));
    }

    #[test]
    fn a_mistake_is_told_without_the_value() {
        for (text, expected) in [
            ("A=1\n=secret", "line 2 has no name"),
            ("export LDAP_BIND_PW=secret", "begins with export"),
            ("LDAP_BIND_PW = secret", "begins with LDAP_BIND_PW"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        assert!(read(b"A=\xff").unwrap_err().contains("UTF-8"));
    }
}
