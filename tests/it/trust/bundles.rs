//! The table of bundles: what Go reads of a text, what the operator does, and what it publishes.

use std::fmt::Write;

use anyhow::{Result, ensure};
use test_support::{
    GoOpinion,
    certificate_draft::{Critical, Draft, DraftKey, der, host_name, pem},
};
use wandb_auth_operator::net::CaBundle;

/// Why the operator refuses a bundle of which Go reads a certificate.
const PRIVATE_KEY: &str = "A private key in a bundle would be published with it, were it not refused";

fn authority(name: &str) -> Result<String> {
    Ok(pem(&Draft::authority(name).self_signed(&DraftKey::p256()?)?))
}

/// The generator of P-256 as a compressed point.
const GENERATOR: [u8; 33] = [
    0x03, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
];

fn with_uri(uri: &str) -> Result<String> {
    let names = der::sequence(&[host_name("host"), der::element(0x86, uri.as_bytes())]);
    let draft = Draft::authority("URI").extension("2.5.29.17", Critical::No, &names);
    Ok(pem(&draft.self_signed(&DraftKey::p256()?)?))
}

/// A title, a text, and why the operator refuses it where Go reads a certificate.
type Case = (&'static str, Vec<u8>, Option<&'static str>);

fn cases() -> Result<Vec<Case>> {
    let one = authority("One")?;
    let two = authority("Two")?;
    let trimmed = one.trim_end();
    let negative = pem(&Draft::authority("Negative").serial(&[0x80]).self_signed(&DraftKey::p256()?)?);
    let compressed = DraftKey::public_ec("1.2.840.10045.3.1.7", &GENERATOR);
    let compressed = pem(&Draft::authority("Compressed").issued(&compressed, "Root", &DraftKey::p256()?)?);
    let key = |label: &str| format!("-----BEGIN {label}-----\nAQIDBA==\n-----END {label}-----\n");
    let text = |text: String| text.into_bytes();
    let label = |label: &str| text(one.replace("CERTIFICATE", label));
    let base64: String = one.lines().filter(|line| !line.starts_with('-')).collect();
    let der_of_one = Draft::authority("Binary").self_signed(&DraftKey::p256()?)?;
    let utf16: Vec<u8> =
        std::iter::once(0xfeff).chain(one.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let case = |title, bytes| (title, bytes, None);
    let refused = |title, bytes| (title, bytes, Some(PRIVATE_KEY));
    Ok(vec![
        case("one certificate", text(one.clone())),
        case("two certificates", text(format!("{one}{two}"))),
        case("the same certificate twice", text(format!("{one}{one}"))),
        case("two certificates glued together", text(format!("{trimmed}{two}"))),
        case(
            "two certificates glued together, and one more",
            text(format!("{trimmed}{two}{}", authority("Three")?)),
        ),
        case("no line break at the end", text(trimmed.to_owned())),
        case("line breaks of Windows", text(one.replace('\n', "\r\n"))),
        case("line breaks of old Macs", text(one.replace('\n', "\r"))),
        case("a byte order mark", text(format!("\u{feff}{one}"))),
        case("a byte order mark before the first of two", text(format!("\u{feff}{one}{two}"))),
        case("indented", text(format!("  {}", one.replace('\n', "\n  ")))),
        case("indented content", text(one.replace("\nMI", "\n  MI"))),
        case("tabs at the ends of the lines", text(one.replace('\n', "\t\n"))),
        case("blank lines in it", text(one.replace('\n', "\n\n"))),
        case("comments around it", text(format!("# One, of 2020\n{one}\nThe end.\n"))),
        case("a comment before it on its line", text(format!("One: {one}"))),
        case("a comment in another encoding", [b"# Beh\xf6rde\n".as_slice(), one.as_bytes()].concat()),
        case("a comment with a zero byte", [b"#\0\n".as_slice(), one.as_bytes()].concat()),
        case(
            "the content on one line",
            text(format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")),
        ),
        case(
            "everything on one line",
            text(format!("-----BEGIN CERTIFICATE-----{base64}-----END CERTIFICATE-----\n")),
        ),
        case("line breaks as the characters \\n", text(one.replace('\n', "\\n"))),
        case("header lines", text(one.replace("-----\nMI", "-----\nSubject: One\n\nMI"))),
        case("the content cut off", text(one.chars().take(200).collect())),
        case("the end of another block", text(one.replace("END CERTIFICATE", "END CERTIFICATES"))),
        case(
            "too few dashes",
            text(one.replace("-----BEGIN CERTIFICATE-----", "----BEGIN CERTIFICATE-----")),
        ),
        case("small letters", text(one.to_lowercase())),
        case("a character that is not base64", text(one.replacen("MI", "M*", 1))),
        case(
            "base64 that is no certificate",
            text("-----BEGIN CERTIFICATE-----\nAQIDBA==\n-----END CERTIFICATE-----\n".to_owned()),
        ),
        case(
            "an empty certificate",
            text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned()),
        ),
        case("a certificate with a negative serial number", text(negative.clone())),
        case(
            "a certificate with a negative serial number beside a good one",
            text(format!("{negative}{one}")),
        ),
        case("a certificate with a host and a port as URI", text(with_uri("10.0.0.1:636")?)),
        case("a certificate with a URI whose host has a dot at its end", text(with_uri("https://host./")?)),
        case("a certificate with a good URI", text(with_uri("https://host:636/")?)),
        case("a certificate with a compressed point", text(compressed)),
        case("TRUSTED CERTIFICATE", label("TRUSTED CERTIFICATE")),
        case("X509 CERTIFICATE", label("X509 CERTIFICATE")),
        case("CERTIFICATE REQUEST", label("CERTIFICATE REQUEST")),
        case("PKCS7", label("PKCS7")),
        case("a public key beside the certificate", text(format!("{}{one}", key("PUBLIC KEY")))),
        case("a revocation list beside the certificate", text(format!("{one}{}", key("X509 CRL")))),
        case("nothing", Vec::new()),
        case("words", text("see the wiki".to_owned())),
        case("base64 without lines around it", text(base64)),
        case("a binary file", der_of_one),
        case("text in UTF-16", utf16),
        refused("a private key before the certificate", text(format!("{}{one}", key("PRIVATE KEY")))),
        refused("a private key after the certificate", text(format!("{one}{}", key("PRIVATE KEY")))),
        refused("a private RSA key", text(format!("{one}{}", key("RSA PRIVATE KEY")))),
        refused("a private EC key", text(format!("{one}{}", key("EC PRIVATE KEY")))),
        refused("an encrypted private key", text(format!("{one}{}", key("ENCRYPTED PRIVATE KEY")))),
        refused("a private key of SSH", text(format!("{one}{}", key("OPENSSH PRIVATE KEY")))),
        refused("an indented private key", text(format!("{one}  {}", key("PRIVATE KEY")))),
        refused("a private key that is cut off", text(format!("{one}-----BEGIN PRIVATE KEY-----\nAQID\n"))),
        case("a private key glued to the certificate", text(format!("{trimmed}{}", key("PRIVATE KEY")))),
        case("a private key alone", text(key("PRIVATE KEY"))),
    ])
}

#[test]
fn every_bundle_is_read_as_go_reads_it() -> Result<()> {
    let cases = cases()?;
    let opinion = GoOpinion::install()?;
    // The opinion takes text; what is not UTF-8 is no line of PEM in any case.
    let texts: Vec<_> =
        cases.iter().map(|(_, bytes, _)| String::from_utf8_lossy(bytes).into_owned()).collect();
    let verdicts = opinion.bundles(&texts)?;
    let mut table = String::new();
    let mut published = Vec::new();
    let mut differences = Vec::new();
    for ((title, bytes, stricter), go) in cases.iter().zip(verdicts) {
        let ours = CaBundle::parse(bytes);
        let we_say = match &ours {
            Ok(reading) if reading.passed_over.is_empty() => "read".to_owned(),
            Ok(reading) => format!("read, without: {}", reading.passed_over.join("; ")),
            Err(fault) => format!("refused: {}. {}", fault.seen, fault.advice),
        };
        let go_says = if go.accepted { "read" } else { "nothing" };
        writeln!(table, "{title}\n  Go:  {go_says}\n  we:  {we_say}")?;
        if let Some(why) = stricter {
            writeln!(table, "  why: {why}")?;
        }
        if ours.is_ok() != (go.accepted && stricter.is_none()) {
            differences.push(*title);
        }
        published.extend(ours.ok().map(|reading| reading.bundle.pem().to_owned()));
    }
    ensure!(differences.is_empty(), "without an explanation: {differences:?}\n{table}");
    for text in &published {
        let lines = text.lines().filter(|line| line.contains("-----"));
        ensure!(lines.clone().count() >= 2, "{text}");
        for line in lines {
            ensure!(["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"].contains(&line), "{line}");
        }
        let again = CaBundle::parse(text.as_bytes()).map_err(|fault| anyhow::anyhow!(fault.seen))?;
        ensure!(again.bundle.pem() == text && again.passed_over.is_empty());
    }
    ensure!(opinion.bundles(&published)?.iter().all(|verdict| verdict.accepted), "what is published is read");
    insta::assert_snapshot!(table);
    Ok(())
}

#[test]
fn a_bundle_of_more_than_a_mebibyte_is_refused() -> Result<()> {
    let large = format!("{}{}", authority("One")?, "#\n".repeat(1 << 20));
    let fault = CaBundle::parse(large.as_bytes()).err();
    ensure!(fault.is_some_and(|fault| fault.seen.contains("larger than 1 MiB")));
    Ok(())
}

#[test]
fn a_bundle_of_tens_of_thousands_of_blocks_is_read() -> Result<()> {
    let text = format!("{}{}", authority("One")?, "-----BEGIN A-----\n-----END A-----\n".repeat(29_000));
    let reading = CaBundle::parse(text.as_bytes()).map_err(|fault| anyhow::anyhow!(fault.seen))?;
    ensure!(reading.passed_over.last().is_some_and(|last| last == "and 28997 more"));
    Ok(())
}
