//! Explains why a server's certificates are not accepted, in words for people. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::ServerName;

use super::{
    certificate::Certificate,
    chain::{CertificateSubject, Role},
    names,
};
use crate::{
    api::Reason,
    problem::{Problem, capitalized, enumerate},
};

/// Why a server's certificates are not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrustRefusal {
    /// The server presented no certificate.
    NothingPresented,
    /// No authority is trusted.
    NobodyTrusted,
    /// Go cannot read the certificate at this position of those that the server sent.
    Unreadable(usize, &'static str),
    /// The certificate expired at this second.
    Expired(CertificateSubject, i64),
    /// The certificate is valid only from this second on.
    NotYetValid(CertificateSubject, i64),
    /// The certificate has a critical extension that Go does not know.
    UnknownExtension(CertificateSubject, String),
    /// The certificate is for other names.
    OtherName { host: String, names: Vec<String>, why: OtherName },
    /// The issuer of the chain's last certificate is not known. `itself` is true if that certificate issued
    /// itself.
    UnknownIssuer { issuer: String, itself: bool },
    /// An authority of this name is known, but another key signed the certificate.
    OtherKey(CertificateSubject),
    /// The certificate is not an authority's.
    NoAuthority(CertificateSubject),
    /// The authority's key may not sign certificates.
    NoSigning(CertificateSubject),
    /// More intermediates are below the authority than it allows.
    PathTooLong(CertificateSubject, u32),
    /// The certificate of this subject is signed with a broken algorithm.
    BrokenSignature(String, &'static str),
    /// The key is too short; it has this many bits.
    ShortKey(CertificateSubject, usize),
    /// The key is longer than Go accepts.
    LongKey(CertificateSubject),
    /// The key is of a kind with which signatures are not verified.
    UnsupportedKey(CertificateSubject),
    /// The certificate is for other purposes than servers.
    OtherUsage(CertificateSubject),
    /// The authority of this subject may not sign for this name.
    Constraint(String, String),
    /// The chain does not fulfil the policies that it requires.
    Policy,
    /// The server sent certificates that can be combined in too many ways.
    TooManySignatures,
    /// There are too many names, constraints or policies to compare.
    TooManyComparisons,
}

/// Why a certificate is not for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherName {
    /// It is for other names.
    Others,
    /// It has no names; its version may be the cause.
    NoNames { version: u32 },
    /// The host is an address, which the certificate has only as a host name.
    AddressAsText,
    /// The host is an address, and the certificate has only host names.
    NoAddress,
}

impl TrustRefusal {
    /// The refusal of a certificate that is not for this host.
    pub fn name(certificate: &Certificate, host: &ServerName<'_>) -> Self {
        let address = match host {
            ServerName::IpAddress(address) => Some(IpAddr::from(*address)),
            _ => None,
        };
        let alternative = certificate.names.clone().unwrap_or_default();
        let addresses = alternative.addresses.iter().map(ToString::to_string);
        let names: Vec<_> = alternative.dns.iter().cloned().chain(addresses).collect();
        let why = match address {
            _ if names.is_empty() => OtherName::NoNames { version: certificate.version },
            Some(address) if names::carries_as_text(&alternative, address) => OtherName::AddressAsText,
            Some(_) if alternative.addresses.is_empty() => OtherName::NoAddress,
            _ => OtherName::Others,
        };
        Self::OtherName { host: host.to_str().into_owned(), names, why }
    }

    /// The refusal of a certificate whose issuer is not known.
    pub fn unknown_issuer(certificate: &Certificate) -> Self {
        Self::UnknownIssuer { issuer: certificate.issuer_name.clone(), itself: certificate.is_self_issued() }
    }

    /// How helpful the refusal is for people. Of several refusals, the one with the highest rank is reported.
    pub fn rank(&self) -> u8 {
        match self {
            Self::UnknownIssuer { itself: false, .. } => 0,
            Self::UnknownIssuer { itself: true, .. } => 1,
            Self::OtherKey(_) => 2,
            _ => 3,
        }
    }

    /// The refusal as a problem for a condition.
    pub fn problem(&self) -> Problem {
        let (reason, message) = self.words();
        Problem::new(reason, capitalized(&message))
    }

    fn words(&self) -> (Reason, String) {
        let failed = Reason::TlsHandshakeFailed;
        match self {
            Self::NothingPresented => (failed, "the server sends no certificate. Give it one.".to_owned()),
            Self::NobodyTrusted => (
                Reason::UnknownAuthority,
                "the operator trusts no authority at all. Put the authority of the server's certificate into tls.caBundle.".to_owned(),
            ),
            Self::Unreadable(index, why) => {
                let which = match index {
                    0 => "the server's certificate".to_owned(),
                    index => format!("certificate {} of those that the server sends", index + 1),
                };
                (failed, format!("{which} cannot be read by W&B Server: {why}. Issue a new one."))
            }
            Self::Expired(subject, since) => (
                Reason::CertificateExpired,
                format!("{} expired on {}. {}", subject.what(), day(*since), subject.renewal()),
            ),
            Self::NotYetValid(subject, from) => (
                Reason::CertificateNotYetValid,
                format!(
                    "{} is valid only from {} on. Check the clocks of the server and of the node.",
                    subject.what(),
                    day(*from)
                ),
            ),
            Self::OtherName { host, names, why } => (Reason::NameMismatch, name_words(host, names, *why)),
            Self::UnknownIssuer { .. }
            | Self::OtherKey(_)
            | Self::NoAuthority(_)
            | Self::NoSigning(_)
            | Self::PathTooLong(..) => (Reason::UnknownAuthority, self.authority_words()),
            Self::UnknownExtension(subject, extension) => (
                failed,
                format!(
                    "{} has the critical extension {extension}, which W&B Server does not know. Issue it without that extension, or not as critical.",
                    subject.what()
                ),
            ),
            Self::BrokenSignature(subject, algorithm) => (
                failed,
                format!(
                    "the certificate {subject} is signed with {algorithm}, which W&B Server does not accept. Issue it again with SHA-256."
                ),
            ),
            Self::ShortKey(subject, bits) => (
                failed,
                format!(
                    "the key of {} is too short: it has {bits} bits, and at least 1024 are needed. Issue it again with an RSA key of 2048 bits or more.",
                    subject.what()
                ),
            ),
            Self::LongKey(subject) => (
                failed,
                format!(
                    "the key of {} is longer than the 8192 bits that W&B Server accepts. Issue it again with a shorter one.",
                    subject.what()
                ),
            ),
            Self::UnsupportedKey(subject) => (
                failed,
                format!(
                    "the key or signature of {} is of a kind that cannot be verified. Issue it again with an RSA key of 2048 bits, or an ECDSA key on P-256.",
                    subject.what()
                ),
            ),
            Self::OtherUsage(subject) => (
                failed,
                format!(
                    "{} is for other purposes than servers (its extendedKeyUsage lacks serverAuth). Issue it again with serverAuth.",
                    subject.what()
                ),
            ),
            Self::Constraint(authority, name) => (
                failed,
                format!(
                    "the authority {authority} may not sign for {name}, which the certificates below it carry (nameConstraints). Issue the server's certificate without that name, or from another authority."
                ),
            ),
            Self::Policy => (
                failed,
                "the server's certificates do not satisfy the certificate policies that their own authorities demand. Issue them with these policies.".to_owned(),
            ),
            Self::TooManyComparisons => (
                failed,
                "the certificates of the server and of its authorities have too many names, name constraints or policies to compare them all. Issue the server's certificate with fewer names, or from an authority with fewer nameConstraints.".to_owned(),
            ),
            Self::TooManySignatures => (
                failed,
                "the server sends too many certificates that may belong to each other. Configure it to send only its own certificate and the intermediates above it.".to_owned(),
            ),
        }
    }

    fn authority_words(&self) -> String {
        match self {
            Self::UnknownIssuer { issuer, itself: true } => format!(
                "the server's chain ends at a self-signed certificate that is not trusted ({issuer}). Put that certificate into tls.caBundle."
            ),
            Self::UnknownIssuer { issuer, itself: false } => format!(
                "the server's certificate comes from an authority that is not trusted ({issuer}). Put that authority's certificate into tls.caBundle; if it is an intermediate one, the server should also send it."
            ),
            Self::OtherKey(subject) => format!(
                "the server's certificate names a trusted authority ({}), but another key signed it: the authority was probably created again. Put its present certificate into tls.caBundle.",
                subject.name
            ),
            Self::NoAuthority(subject) => format!(
                "{} is not marked as an authority's (basicConstraints CA:TRUE), so what it signed is not trusted. {}",
                subject.what(),
                as_authority(subject)
            ),
            Self::NoSigning(subject) => format!(
                "{} may not sign certificates (its keyUsage lacks keyCertSign), so what it signed is not trusted. {}",
                subject.what(),
                as_authority(subject)
            ),
            Self::PathTooLong(subject, limit) => format!(
                "{} allows at most {limit} intermediate certificates below it (pathlen), but the server's chain has more. Issue the server's certificate from an authority nearer to it.",
                subject.what()
            ),
            _ => String::new(),
        }
    }
}

fn as_authority(subject: &CertificateSubject) -> &'static str {
    match subject.role {
        Role::BundleAuthority | Role::SystemAuthority => {
            "Put the certificate of the real authority into tls.caBundle, or the server's own certificate."
        }
        Role::Server | Role::Intermediate => "Issue the server's certificate from an authority.",
    }
}

fn name_words(host: &str, names: &[String], why: OtherName) -> String {
    let listed = enumerate(names);
    match why {
        OtherName::Others => format!(
            "the server's certificate is for {listed}, not for {host}. Use a name of the certificate in the address, or issue a certificate that also has {host}."
        ),
        OtherName::NoNames { version: 3 } => format!(
            "the server's certificate has no subjectAltName, so it is for no host: W&B Server does not read the common name. Issue a certificate with {host} as subjectAltName."
        ),
        OtherName::NoNames { version } => format!(
            "the server's certificate is of X.509 version {version}, which has no subjectAltName, so it is for no host: W&B Server does not read the common name. Issue a certificate of version 3 with {host} as subjectAltName."
        ),
        OtherName::AddressAsText => format!(
            "the server's certificate has {host} as a DNS name, where an address does not count. Issue a certificate that has it as an IP address (subjectAltName IP:{host}), or use a host name of the certificate in the address."
        ),
        OtherName::NoAddress => format!(
            "the server's certificate is for {listed}, not for the address {host}. Use a name of the certificate in the address, or issue a certificate that also has {host} as an IP address."
        ),
    }
}

/// The UTC day of a time in seconds since 1970.
pub(in crate::net) fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| "an unknown day".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
