//! Reads PEM as Go's `encoding/pem` does, because what Go ignores never reaches W&B Server. Pure.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// One block of a PEM text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The text after `BEGIN`.
    pub label: String,
    /// Whether header lines such as `Proc-Type: 4,ENCRYPTED` are before the content.
    pub has_headers: bool,
    /// The decoded content.
    pub content: Vec<u8>,
    /// The line number of its `BEGIN`, counted from 1.
    pub line: usize,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Every block that Go reads, in order.
pub(super) fn blocks(text: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = 0;
    let mut lines = Lines { text, position: 0, line: 1 };
    while let Some((block, after)) = next(text, rest, &mut lines) {
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// Counts the lines of a text only once, for positions that are asked for in their order.
struct Lines<'a> {
    text: &'a [u8],
    position: usize,
    line: usize,
}

impl Lines<'_> {
    fn line_of(&mut self, position: usize) -> usize {
        let passed = self.text.get(self.position..position).unwrap_or_default();
        self.line += passed.split(|byte| *byte == b'\n').skip(1).count();
        self.position = position;
        self.line
    }
}

/// The first block from a position on, and the position after it.
fn next(text: &[u8], mut from: usize, lines: &mut Lines<'_>) -> Option<(Block, usize)> {
    loop {
        let end = from + find(text.get(from..)?, END)?;
        let after_end = end + END.len();
        match block(text, from, end, lines) {
            PemCandidate::Block(block) => return Some((block, line(text, after_end).1)),
            PemCandidate::Malformed => from = after_end,
            PemCandidate::Unfinished => return None,
        }
    }
}

enum PemCandidate {
    Block(Block),
    /// This `END` belongs to no block, but a later one may.
    Malformed,
    /// Go ignores the whole rest of the text.
    Unfinished,
}

/// The block that ends at `end`. It begins at the last `BEGIN` before that.
fn block(text: &[u8], from: usize, end: usize, lines: &mut Lines<'_>) -> PemCandidate {
    let slice = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let Some(begin) = rfind(slice(from, end), BEGIN).map(|at| from + at) else {
        return PemCandidate::Malformed;
    };
    if begin > from && text.get(begin - 1) != Some(&b'\n') {
        return PemCandidate::Malformed;
    }
    let (first_line, mut content) = line(text, begin + BEGIN.len());
    let Some(label) = first_line.strip_suffix(DASHES) else { return PemCandidate::Malformed };
    let mut has_headers = false;
    loop {
        if content >= text.len() {
            return PemCandidate::Unfinished;
        }
        let (header, after) = line(text, content);
        if !header.contains(&b':') {
            break;
        }
        has_headers = true;
        content = after;
    }
    let after_end = end + END.len();
    if has_headers && end < content {
        return if after_end < content { PemCandidate::Unfinished } else { PemCandidate::Malformed };
    }
    let last_line = slice(after_end, text.len());
    let closing = last_line.strip_prefix(label).and_then(|rest| rest.strip_prefix(DASHES));
    if closing.is_none_or(|rest| !line(rest, 0).0.is_empty()) {
        return PemCandidate::Malformed;
    }
    let encoded: Vec<u8> =
        slice(content, end).iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
    let Ok(decoded) = BASE64.decode(encoded) else { return PemCandidate::Malformed };
    let label = String::from_utf8_lossy(label).into_owned();
    PemCandidate::Block(Block { label, has_headers, content: decoded, line: lines.line_of(begin) })
}

/// The line at a position, without white space at its end, and the position of the next line.
fn line(text: &[u8], from: usize) -> (&[u8], usize) {
    let rest = text.get(from..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
    let line = if length.is_some() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    let kept = line.iter().rposition(|byte| !b" \t".contains(byte)).map_or(0, |last| last + 1);
    (line.get(..kept).unwrap_or_default(), from + length.map_or(rest.len(), |length| length + 1))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn rfind(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|window| window == wanted)
}

/// The certificate as PEM.
pub(super) fn encode_certificate(der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, Vec<u8>, usize)> {
        blocks(text.as_bytes()).into_iter().map(|block| (block.label, block.content, block.line)).collect()
    }

    #[test]
    fn reads_what_go_reads() {
        let one = "-----BEGIN A-----\nAQI=\n-----END A-----\n";
        let block = |line| ("A".to_owned(), vec![1, 2], line);
        for (text, blocks) in [
            (one.to_owned(), vec![block(1)]),
            (one.trim_end().to_owned(), vec![block(1)]),
            (one.replace('\n', "\r\n"), vec![block(1)]),
            (format!("words\n\n{one}more words"), vec![block(3)]),
            (one.replace("AQI=", " A\tQ\n I="), vec![block(1)]),
            (one.replace("-----\n", "----- \t\n"), vec![block(1)]),
            ("-----BEGIN A-----\n-----END A-----".to_owned(), vec![("A".to_owned(), vec![], 1)]),
            (format!("-----BEGIN A-----\nAQ\n{one}"), vec![block(3)]),
            // Texts that Go ignores.
            (format!("\u{feff}{one}"), vec![]),
            (format!(" {one}"), vec![]),
            (format!("{}{one}", one.trim_end()), vec![]),
            (one.replace("END A", "END B"), vec![]),
            (one.replace("AQI=", "AQI"), vec![]),
            (one.replace("AQI=", "A!"), vec![]),
            (one.replace("BEGIN A-----", "BEGIN A----"), vec![]),
            (one.replace('\n', "\r"), vec![]),
            (format!("{}-----END A-----", one.replace("-----END A-----", "")), vec![block(1)]),
        ] {
            assert_eq!(read(&text), blocks, "{text:?}");
        }
        let headers = "-----BEGIN A-----\nProc-Type: 4\n\nAQI=\n-----END A-----\n";
        assert!(blocks(headers.as_bytes()).iter().all(|block| block.has_headers));
    }

    /// Thousands of blocks would take minutes if the lines before each of them were counted anew.
    #[test]
    fn many_blocks_have_their_lines() {
        let text = "-----BEGIN A-----\n-----END A-----\n".repeat(29_000);
        let lines = blocks(text.as_bytes()).into_iter().map(|block| block.line);
        assert!(lines.eq((0..29_000).map(|index| 2 * index + 1)));
    }

    proptest! {
        #[test]
        fn reads_its_own_certificates(contents in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let text: String = contents.iter().map(|content| encode_certificate(content)).collect();
            let read: Vec<_> = blocks(text.as_bytes()).into_iter().map(|block| block.content).collect();
            prop_assert_eq!(read, contents);
        }

        #[test]
        fn ends_on_every_text(text in "(-----BEGIN A-----|-----END A-----|\n|:|AQI=| |\r){0,12}") {
            let lines = text.lines().count();
            prop_assert!(blocks(text.as_bytes()).iter().all(|block| block.line <= lines));
        }
    }
}
