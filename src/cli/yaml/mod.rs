//! Manifests as kubectl reads them: JSON, or the YAML 1.1 of its library (`sigs.k8s.io/yaml` on `go.yaml.in/yaml/v2`).
//!
//! What a text means must not depend on who reads it: `login: yes` is true for kubectl, `0600` is 384, `<<`
//! merges a map, and a line that begins with `---` ends the document. Libraries that read YAML 1.2 into typed
//! values cannot say whether a `yes` had quotes, so the values are made of the parser's events here.

mod document;
mod json;
mod scalar;

use serde::Serialize;
use serde_json::Value;

pub(super) use document::{Repeated, YamlDocument};

/// What begins files of some editors, and the output of some shells.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Every document of a file that holds something, with the number that it has in the file.
pub(super) fn documents(text: &str) -> Result<Vec<(usize, YamlDocument)>, Fault> {
    if text.trim_start().starts_with('{')
        && let Ok(values) = json::values(text)
    {
        let whole = values.into_iter().map(YamlDocument::from).enumerate();
        return Ok(numbered(whole));
    }
    let mut documents = Vec::new();
    for (index, chunk) in chunks(text)?.iter().enumerate() {
        let document = document::read(&chunk.text).map_err(|fault| Fault {
            document: index + 1,
            line: chunk.line + fault.line,
            ..fault
        })?;
        documents.push((index, document));
    }
    Ok(numbered(documents.into_iter()))
}

fn numbered(documents: impl Iterator<Item = (usize, YamlDocument)>) -> Vec<(usize, YamlDocument)> {
    documents
        .filter(|(_, document)| document.value != Value::Null)
        .map(|(index, document)| (index + 1, document))
        .collect()
}

/// Why a text cannot be read. It repeats nothing of the text, which may be secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The number of the document in the file.
    pub(super) document: usize,
    /// The line in the file.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) what: String,
}

impl Fault {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self { document: 1, line, what: what.into() }
    }
}

/// One document's text, and how many lines of the file come before it.
struct Chunk {
    text: String,
    line: usize,
}

/// Divides a file where lines begin with `---`, as kubectl does before it looks at anything else.
fn chunks(text: &str) -> Result<Vec<Chunk>, Fault> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut current = Chunk { text: String::new(), line: 0 };
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let what = "a line that begins with --- divides documents, and nothing but a comment may follow on it";
                return Err(Fault { document: chunks.len() + 1, line: index + 1, what: what.to_owned() });
            }
            if !current.text.is_empty() {
                chunks.push(current);
                current = Chunk { text: String::new(), line: index + 1 };
                continue;
            }
        }
        if current.text.is_empty() {
            current.text.push_str(line.trim_start_matches(BYTE_ORDER_MARK));
        } else {
            current.text.push_str(line);
        }
        current.text.push('\n');
    }
    chunks.push(current);
    Ok(chunks)
}

/// The text of a file's bytes: UTF-8, or UTF-16 where a byte order mark says so, as Windows shells write it.
pub(super) fn text_of(bytes: &[u8]) -> Option<String> {
    let wide = |unit: fn([u8; 2]) -> u16, rest: &[u8]| {
        let units = rest.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).ok().map(unit));
        String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// A value as YAML that means the same to readers of YAML 1.1 and 1.2.
pub(super) fn write(value: &impl Serialize) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    Ok(serde_saphyr::to_string_with_options(value, options)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Vec<(usize, Value)> {
        documents(text).unwrap().into_iter().map(|(number, document)| (number, document.value)).collect()
    }

    #[test]
    fn divides_files_as_kubectl_does() {
        for (text, expected) in [
            ("a: 1\n---\nb: 2\n", vec![(1, json!({"a": 1})), (2, json!({"b": 2}))]),
            ("---\na: 1\n--- # next\n---\n\n---\nb: 2", vec![(1, json!({"a": 1})), (3, json!({"b": 2}))]),
            ("\u{feff}a: 1\r\n---\r\n\u{feff}b: 2\r\n", vec![(1, json!({"a": 1})), (2, json!({"b": 2}))]),
            ("{\"a\": 1}\n{\"b\": 2}", vec![(1, json!({"a": 1})), (2, json!({"b": 2}))]),
            ("{\"a\": 1}\n---\nb: 2", vec![(1, json!({"a": 1})), (2, json!({"b": 2}))]),
            ("{\n\t\"a\": [1,\n\t\t\"\\u00e9\"]\n}", vec![(1, json!({"a": [1, "é"]}))]),
            ("# nothing\n", vec![]),
            ("", vec![]),
            ("a: |\n  x\n  ---\n  y\n", vec![(1, json!({"a": "x\n---\ny\n"}))]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn says_where_a_fault_is() {
        for (text, document, line) in [
            ("a: 1\n---\nb: [\n", 2, 3),
            ("a: 1\n---\nb: 2\n--- c\n", 2, 4),
            ("a: 1\n\tb: 2\n", 1, 1),
            ("a: b: c\n", 1, 1),
        ] {
            let fault = documents(text).err().unwrap();
            assert_eq!((fault.document, fault.line), (document, line), "{text}: {}", fault.what);
        }
    }

    /// Every text in the reading of kubectl's own library.
    #[test]
    fn means_what_it_means_to_kubectl() {
        let texts = [
            "login: yes\noff: no\ny: n\n",
            "a: 'yes'\nb: \"off\"\nc: |\n  on\nd: !!str no\ne: !!bool on\n",
            "a: [y, Y, yes, Yes, YES, on, On, ON, true, True, TRUE, yEs, oN]\n",
            "a: [n, N, no, No, NO, off, Off, OFF, false, False, FALSE, nO]\n",
            "a: [~, null, Null, NULL, nULL, '', '~']\nb:\nc: !!null\n",
            "mode: 0600\nb: 0o600\nc: 0x1F\nd: 0b101\ne: 1_000\nf: +12\ng: -0\nh: 08\ni: 09.5\nj: -0b11\n",
            "a: 9223372036854775807\nb: 9223372036854775808\nc: 18446744073709551615\nd: 18446744073709551616\n",
            "a: -9223372036854775808\nb: -9223372036854775809\nc: +18446744073709551615\n",
            "a: 1.0\nb: 1e3\nc: 1.5e-7\nd: .5\ne: 5.\nf: 1e400\ng: -1.25\nh: 1e20\ni: 1e21\nj: -0.0\n",
            "a: 1:30\nb: 12:30:45\nc: 190:20:30.15\n",
            "a: 2024-01-31\nb: 2024-01-31T10:00:00Z\nc: 2024-1-2 10:00:00\nd: !!timestamp 2024-01-31\n",
            "a: 5m\nb: 1.2.3\nc: 10.0.0.1\nd: 1e\ne: 0x\nf: _1\ng: 1__0\nh: 0_8\ni: --1\nj: +-1\n",
            "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne:\n  c: 3\n  <<: *x\n",
            "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}\nf: {<<: [*y, *x], g: 1}\nh: {'<<': 1}\n",
            "a: &x [1, 2]\nb: *x\nc: &y text\nd: *y\n*y : e\n",
            "1: a\n1.5: b\ntrue: c\nyes: d\n0x10: e\n2024-01-31: f\n1e6: g\n1e5: h\n1e-5: i\n'1_0': j\n",
            "a: !!binary aGVs\nb: !!int 12\nc: !!float 1\nd: !custom x\ne: ! 12\nf: ! '12'\ng: !!set {a, b}\n",
            "a: |\n  aHVu\n  dGVy\nb: >\n  aHVu\n  dGVy\nc: \"aHVu\\\n  dGVy\"\nd: aHVu\n  dGVy\n",
            "a: |-\n  x\nb: |+\n  x\n\nc: >-\n  x\n  y\n\n  z\nd: |2\n    x\n",
            "a: 'it''s'\nb: \"\\u00e9\\x41\\n\\t\\e\"\nc: \"\\U0001F600\"\n",
            "a:\n- b\n- c: 1\n  d: 2\n-\n  - e\nf: {g: [h, {i: j}], k}\nl: {\"m\":1}\n",
            "a: b # c\nd: 'e # f'\ng: h#i\n# j\n",
            "? a\n: b\n? c\n",
            "a:\tb\n",
            "a: http://b.example:80/c?d=e&f=g\nh: a:b\ni: -x\nj: 'k: l'\n",
            "a: <<\n<<: {b: 1}\n",
            "a: .inf2\nb: .\nc: ..\nd: -.\ne: .5.\n",
            "a: {}\nb: []\nc: ''\n",
            "- a\n- 1\n",
            "text\n",
            "a: 1\n...\nb: 2\n",
            // And what it refuses.
            "a: .inf\n",
            "a: .nan\n",
            "a: b: c\n",
            "a: 1\n\tb: 2\n",
            "a:\n\t- b\n",
            "a: [b\n",
            "a: 'b\n",
            "a: @b\n",
            "a: `b\n",
            "a: %b\n",
            "a: *nowhere\n",
            "a: &x [*x]\n",
            "a: {<<: 1}\n",
            "a: {<<: [1]}\n",
            "? [a]\n: b\n",
            "? {a: b}\n: c\n",
            "~: a\n",
            "a: !!int x\n",
            "a: !!bool 1\n",
            "a: !!binary '?'\n",
            "a: \"\\q\"\n",
            "a: \u{7}\n",
            "a: b\n c: d\n",
            "a:\n  b: 1\n c: 2\n",
            "%YAML 1.2\n",
        ];
        let ours: Vec<_> =
            texts.iter().map(|text| document::read(text).ok().map(|read| read.value)).collect();
        let cases = texts.iter().zip(&ours).map(|(text, reading)| test_support::ManifestCase {
            text: (*text).to_owned(),
            reading: reading.clone(),
        });
        let verdicts =
            test_support::GoOpinion::install().unwrap().manifests(&cases.collect::<Vec<_>>()).unwrap();
        let differences: Vec<_> = texts
            .iter()
            .zip(&ours)
            .zip(verdicts)
            .filter(|((_, ours), verdict)| verdict.accepted != ours.is_some())
            .map(|((text, ours), verdict)| format!("{text:?}: {ours:?}, but kubectl: {}", verdict.error))
            .collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    #[test]
    fn reads_what_windows_writes() {
        let wide =
            |unit: fn(u16) -> [u8; 2]| "\u{feff}a: é".encode_utf16().flat_map(unit).collect::<Vec<_>>();
        for bytes in [wide(u16::to_le_bytes), wide(u16::to_be_bytes), "a: é".into()] {
            assert_eq!(values(&text_of(&bytes).unwrap()), [(1, json!({"a": "é"}))]);
        }
        assert_eq!(text_of(b"\xff\xfea"), None);
        assert_eq!(text_of(b"\xe9"), None);
    }
}
