//! Reads a CA bundle as W&B Server does, and writes only its certificates. Pure.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{certificate::Certificate, pem};
use crate::problem::quote;

/// The certificates of a CA bundle, without the rest of the text in which they were found.
///
/// All code that publishes or delivers a bundle takes this type, so a private key that somebody stored beside the
/// certificates is never copied.
#[derive(Clone, Debug)]
pub struct CaBundle {
    pem: Arc<str>,
    certificates: Arc<[Certificate]>,
}

/// The result of reading a CA bundle.
#[derive(Clone, Debug)]
pub struct BundleReading {
    /// The certificates.
    pub bundle: CaBundle,
    /// Descriptions of the parts that Go, and so W&B Server, ignores; empty if there are none.
    pub passed_over: Vec<String>,
}

/// Why a text is not a CA bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFault {
    /// What is wrong, as words that follow the bundle's name.
    pub seen: String,
    /// What a person should do.
    pub advice: &'static str,
}

/// The largest CA bundle that is read, in bytes. It is many times the size of a whole system's bundle, so a
/// larger one must be a mistake.
const BUNDLE_LIMIT: usize = 1024 * 1024;

/// How many places of a bundle a message names at most.
const NAMED_PLACES: usize = 3;

const STORE_PEM: &str =
    "Store the authorities' certificates there as PEM, each beginning with -----BEGIN CERTIFICATE-----.";

impl CaBundle {
    /// Reads a bundle. A bundle is refused if it has no certificate that Go can read, or has a private key.
    pub fn parse(text: &[u8]) -> Result<BundleReading, BundleFault> {
        let fault = |seen: String| BundleFault { seen, advice: STORE_PEM };
        if text.len() > BUNDLE_LIMIT {
            return Err(fault("is larger than 1 MiB".to_owned()));
        }
        if let Some(line) = private_key(text) {
            return Err(BundleFault {
                seen: format!("holds a private key (line {line}), which does not belong in a CA bundle"),
                advice: "Take it out, and consider replacing that key: everybody who may read the bundle could read it.",
            });
        }
        let (certificates, passed_over) = read(text);
        if certificates.is_empty() {
            return Err(fault(if passed_over.is_empty() {
                no_pem(text).to_owned()
            } else {
                format!("holds no certificate that W&B Server can read: {}", shorten(passed_over).join("; "))
            }));
        }
        Ok(BundleReading { bundle: Self::of(certificates), passed_over: shorten(passed_over) })
    }

    /// The certificates of a text that was published before, whatever else it contains.
    pub fn certificates_of(text: &str) -> Option<Self> {
        let (certificates, _) = read(text.as_bytes());
        (!certificates.is_empty()).then(|| Self::of(certificates))
    }

    /// The certificates as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    fn of(certificates: Vec<Certificate>) -> Self {
        let pem: String =
            certificates.iter().map(|certificate| pem::encode_certificate(&certificate.der)).collect();
        Self { pem: pem.into(), certificates: certificates.into() }
    }
}

/// The certificates that Go finds in a text, whether it can read them or not.
pub fn certificates_in(text: &str) -> Vec<Vec<u8>> {
    let blocks = pem::blocks(text.as_bytes()).into_iter();
    blocks.filter(is_certificate).map(|block| block.content).collect()
}

/// The text reduced to its certificates.
pub fn only_certificates(text: &str) -> String {
    certificates_in(text).iter().map(|certificate| pem::encode_certificate(certificate)).collect()
}

fn is_certificate(block: &pem::Block) -> bool {
    block.label == "CERTIFICATE" && !block.has_headers
}

impl PartialEq for CaBundle {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for CaBundle {}

impl Hash for CaBundle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pem.hash(state);
    }
}

/// The certificates that Go reads, each once, and descriptions of what it ignores.
pub(super) fn read(text: &[u8]) -> (Vec<Certificate>, Vec<String>) {
    let mut certificates: Vec<Certificate> = Vec::new();
    let mut known: BTreeSet<Arc<[u8]>> = BTreeSet::new();
    let mut passed_over = Vec::new();
    let mut lines_read = BTreeSet::new();
    for block in pem::blocks(text) {
        lines_read.insert(block.line);
        let line = block.line;
        if block.label != "CERTIFICATE" {
            passed_over
                .push((line, format!("line {line} begins a block {}, not CERTIFICATE", quote(&block.label))));
        } else if block.has_headers {
            passed_over.push((line, format!("the certificate in line {line} has header lines")));
        } else {
            match Certificate::parse(&block.content) {
                Ok(certificate) if known.insert(certificate.der.clone()) => certificates.push(certificate),
                Ok(_) => {}
                Err(why) => {
                    passed_over.push((line, format!("the certificate in line {line} cannot be read: {why}")));
                }
            }
        }
    }
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        if line.contains("-----BEGIN ") && !lines_read.contains(&number) {
            passed_over.push((number, unread_line(number, &line)));
        }
    }
    passed_over.sort_by_key(|(line, _)| *line);
    (certificates, passed_over.into_iter().map(|(_, text)| text).collect())
}

/// Why a line with a `BEGIN` does not begin a block.
fn unread_line(number: usize, line: &str) -> String {
    let why = match line.split("-----BEGIN ").next().unwrap_or_default() {
        "" => "begins a block that is not complete or not well-formed",
        "\u{feff}" => "begins with a byte order mark, so its certificate is not found",
        before if before.contains("-----END ") => {
            "has an END and a BEGIN, so the certificates on both sides of it are not found; put a line break between them"
        }
        before if before.trim().is_empty() => "is indented, so its certificate is not found",
        _ => "has a BEGIN that is not at the start of the line, so its certificate is not found",
    };
    format!("line {number} {why}")
}

/// The line of a private key in any form of PEM, well-formed or not.
fn private_key(text: &[u8]) -> Option<usize> {
    let is_key = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        line.split("-----BEGIN ").skip(1).any(|label| label.contains("PRIVATE KEY"))
    };
    text.split(|byte| *byte == b'\n').position(is_key).map(|index| index + 1)
}

/// The description of a text that has no line of PEM.
fn no_pem(text: &[u8]) -> &'static str {
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is text in UTF-16, which W&B Server cannot read",
        [0x30, 0x80..=0x84, ..] => "is a binary (DER) file, which W&B Server cannot read",
        _ => "holds no certificate",
    }
}

fn shorten(mut passed_over: Vec<String>) -> Vec<String> {
    let more = passed_over.len().saturating_sub(NAMED_PLACES);
    passed_over.truncate(NAMED_PLACES);
    if more > 0 {
        passed_over.push(format!("and {more} more"));
    }
    passed_over
}
