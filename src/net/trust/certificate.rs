//! Reads a certificate as Go's `x509.ParseCertificate` does. Pure.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use x509_parser::{
    asn1_rs::{Any, Oid, Tag, oid},
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension, X509Extension},
    x509::X509Name,
};

use super::{
    constraints::NameConstraints,
    key::{PublicKey, SignatureAlgorithm},
    policies::Policies,
    uri::Uri,
};
use crate::problem::quote;

/// The parts of a certificate that decide whether it is trusted.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The whole certificate in DER.
    pub der: Arc<[u8]>,
    /// The version, from 1 to 3.
    pub version: u32,
    /// The issuer in DER.
    pub issuer: Vec<u8>,
    /// The subject in DER.
    pub subject: Vec<u8>,
    /// The subject's key in DER.
    pub key_info: Vec<u8>,
    /// The subject as text for people.
    pub subject_name: String,
    /// The issuer as text for people.
    pub issuer_name: String,
    /// The first second of its validity, in seconds since 1970.
    pub not_before: i64,
    /// The last second of its validity, in seconds since 1970.
    pub not_after: i64,
    /// The subject's key.
    pub key: PublicKey,
    /// The algorithm of its signature.
    pub algorithm: SignatureAlgorithm,
    /// The bytes that are signed.
    pub signed: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The extension `basicConstraints`, if it has one.
    pub authority: Option<BasicConstraints>,
    /// Whether it has no key usage, or one with keyCertSign.
    pub may_sign: bool,
    /// Whether it has no extended key usage, or one with serverAuth.
    pub serves: bool,
    /// The extension `subjectAltName`, if it has one.
    pub names: Option<AlternativeNames>,
    /// The extension `nameConstraints`, if it has one: the names that certificates below it may carry.
    pub constraints: Option<NameConstraints>,
    /// Its certificate policies.
    pub policies: Policies,
    /// The identifier of a critical extension that Go does not know, if it has one.
    pub unknown_critical: Option<String>,
}

/// The extension `basicConstraints`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    /// Whether the certificate is one of an authority.
    pub is_authority: bool,
    /// How many intermediate certificates may be below it.
    pub path_length: Option<u32>,
}

/// The extension `subjectAltName`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct AlternativeNames {
    /// The extension in DER.
    pub encoded: Vec<u8>,
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// URIs.
    pub uris: Vec<Uri>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.subject_name).finish()
    }
}

impl Certificate {
    /// Reads a certificate. The error says why Go cannot read it.
    pub fn parse(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(der).map_err(|_| "it is malformed")?;
        if !rest.is_empty() {
            return Err("something follows it in the same block");
        }
        let X509Certificate { tbs_certificate: tbs, signature_algorithm, signature_value, .. } = &parsed;
        if tbs.version.0 > 2 {
            return Err("its version is unknown");
        }
        if tbs.raw_serial().first().is_some_and(|first| *first >= 0x80) {
            return Err("its serial number is negative");
        }
        if tbs.signature != *signature_algorithm {
            return Err("it names two signature algorithms");
        }
        for name in [&tbs.subject, &tbs.issuer] {
            well_formed(name)?;
        }
        let serial = tbs.raw_serial_as_string();
        let mut certificate = Self {
            der: der.into(),
            version: tbs.version.0 + 1,
            issuer: tbs.issuer.as_raw().to_vec(),
            subject: tbs.subject.as_raw().to_vec(),
            key_info: tbs.subject_pki.raw.to_vec(),
            subject_name: shown(&tbs.subject).unwrap_or_else(|| quote(&format!("serial number {serial}"))),
            issuer_name: shown(&tbs.issuer).unwrap_or_else(|| "an authority without a name".to_owned()),
            not_before: tbs.validity.not_before.timestamp(),
            not_after: tbs.validity.not_after.timestamp(),
            key: PublicKey::read(&tbs.subject_pki)?,
            algorithm: SignatureAlgorithm::read(signature_algorithm),
            signed: tbs.as_ref().to_vec(),
            signature: signature_value.data.to_vec(),
            authority: None,
            may_sign: true,
            serves: true,
            names: None,
            constraints: None,
            policies: Policies::default(),
            unknown_critical: None,
        };
        // Go reads extensions only in certificates of version 3.
        if certificate.version == 3 {
            let mut known = BTreeSet::new();
            for extension in tbs.extensions() {
                if !known.insert(extension.oid.as_bytes()) {
                    return Err("it has the same extension twice");
                }
                certificate.extend(extension)?;
            }
        }
        Ok(certificate)
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The extension `subjectAltName` in DER.
    pub fn encoded_names(&self) -> Option<&[u8]> {
        Some(self.names.as_ref()?.encoded.as_slice())
    }

    fn extend(&mut self, extension: &X509Extension<'_>) -> Result<(), &'static str> {
        let mut is_known = true;
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } if READ_BY_GO.contains(&extension.oid) => {
                return Err("one of its extensions is malformed");
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.authority = Some(BasicConstraints {
                    is_authority: constraints.ca,
                    path_length: constraints.path_len_constraint,
                });
            }
            // Go treats a key usage without any bit like no key usage.
            ParsedExtension::KeyUsage(usage) => self.may_sign = usage.flags == 0 || usage.key_cert_sign(),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let others = [
                    usage.client_auth,
                    usage.code_signing,
                    usage.email_protection,
                    usage.time_stamping,
                    usage.ocsp_signing,
                ];
                let is_limited = others.contains(&true) || !usage.other.is_empty();
                self.serves = usage.any || usage.server_auth || !is_limited;
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = alternative_names(&names.general_names, extension.value)?;
                is_known = !names.is_empty();
                self.names = Some(names);
            }
            ParsedExtension::NameConstraints(constraints) => {
                let constraints = NameConstraints::read(constraints)?;
                is_known = constraints.is_understood();
                self.constraints = Some(constraints);
            }
            ParsedExtension::CertificatePolicies(policies) => self.policies.read_policies(policies)?,
            ParsedExtension::PolicyMappings(mappings) => self.policies.read_mappings(mappings),
            ParsedExtension::PolicyConstraints(constraints) => {
                self.policies.require_explicit = constraints.require_explicit_policy;
                self.policies.inhibit_mapping = constraints.inhibit_policy_mapping;
            }
            ParsedExtension::InhibitAnyPolicy(inhibit) => {
                self.policies.inhibit_any = Some(inhibit.skip_certs);
            }
            ParsedExtension::CRLDistributionPoints(_) => {}
            // RFC 5280 forbids marking these extensions as critical, and Go reads no certificate that does so.
            ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::AuthorityInfoAccess(_) => {
                if extension.critical {
                    return Err("it marks an extension as critical that must not be");
                }
            }
            _ => is_known = false,
        }
        if extension.critical && !is_known {
            self.unknown_critical = Some(quote(&extension.oid.to_id_string()));
        }
        Ok(())
    }
}

impl AlternativeNames {
    fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.addresses.is_empty() && self.emails.is_empty() && self.uris.is_empty()
    }
}

/// The extensions whose content Go reads. It refuses a certificate in which one of them is malformed.
const READ_BY_GO: [Oid<'_>; 13] = [
    oid!(2.5.29.14),
    oid!(2.5.29.15),
    oid!(2.5.29.17),
    oid!(2.5.29.19),
    oid!(2.5.29.30),
    oid!(2.5.29.31),
    oid!(2.5.29.32),
    oid!(2.5.29.33),
    oid!(2.5.29.35),
    oid!(2.5.29.36),
    oid!(2.5.29.37),
    oid!(2.5.29.54),
    oid!(1.3.6.1.5.5.7.1.1),
];

fn alternative_names(names: &[GeneralName<'_>], encoded: &[u8]) -> Result<AlternativeNames, &'static str> {
    let mut read = AlternativeNames { encoded: encoded.to_vec(), ..AlternativeNames::default() };
    for name in names {
        match name {
            GeneralName::DNSName(name) if name.is_ascii() => read.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) if name.is_ascii() => read.emails.push((*name).to_owned()),
            GeneralName::URI(name) if name.is_ascii() => read.uris.push(Uri::read(name)?),
            GeneralName::IPAddress(bytes) => read.addresses.push(address(bytes)?),
            GeneralName::Invalid(Tag(1 | 2 | 6 | 7), _)
            | GeneralName::DNSName(_)
            | GeneralName::RFC822Name(_)
            | GeneralName::URI(_) => return Err("one of its names is malformed"),
            _ => {}
        }
    }
    Ok(read)
}

fn address(bytes: &[u8]) -> Result<IpAddr, &'static str> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(four.into());
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| "one of its IP addresses has a wrong length")
}

/// Go reads no certificate whose subject or issuer has a character that its string type does not allow.
fn well_formed(name: &X509Name<'_>) -> Result<(), &'static str> {
    let is_well_formed = |value: &Any<'_>| match value.tag() {
        Tag::T61String => true,
        Tag::PrintableString => value.data.iter().copied().all(is_printable),
        Tag::Utf8String => std::str::from_utf8(value.data).is_ok(),
        Tag::BmpString => value.data.len().is_multiple_of(2),
        Tag::Ia5String => value.data.is_ascii(),
        Tag::NumericString => value.data.iter().all(|byte| byte.is_ascii_digit() || *byte == b' '),
        _ => false,
    };
    if name.iter_attributes().all(|attribute| is_well_formed(attribute.attr_value())) {
        Ok(())
    } else {
        Err("its subject or issuer has a character that its kind of text does not allow")
    }
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte)
}

fn shown(name: &X509Name<'_>) -> Option<String> {
    Some(quote(&name.to_string())).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_support::certificate_draft::{Critical, Draft, DraftKey, der, host_name};

    use super::*;

    /// A certificate with every extension that is read.
    fn example() -> Vec<u8> {
        let names = [host_name("example.com")];
        Draft::authority("Root")
            .key_usage(0x04)
            .extended_key_usage(&["1.3.6.1.5.5.7.3.1"])
            .alternative_names(&["localhost", "127.0.0.1", "https://a.example/"])
            .name_constraints(&names, &names)
            .extension("2.5.29.36", Critical::Yes, &[0x30, 3, 0x80, 1, 0])
            .self_signed(&DraftKey::p256().unwrap())
            .unwrap()
    }

    #[test]
    fn reads_what_decides() {
        let certificate = Certificate::parse(&example()).unwrap();
        assert!(certificate.is_self_issued() && certificate.may_sign && certificate.serves);
        assert_eq!(certificate.authority.unwrap().path_length, None);
        assert_eq!(certificate.policies.require_explicit, Some(0));
        let names = certificate.names.unwrap();
        assert_eq!(names.dns, ["localhost"]);
        assert_eq!(names.addresses, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(names.uris.iter().map(Uri::domain).collect::<Vec<_>>(), [Some("a.example")]);
        assert_eq!(certificate.unknown_critical, None);
    }

    #[test]
    fn long_texts_are_cut() {
        let arcs = format!("1.2.3{}", ".4".repeat(500));
        let draft = Draft::of("a").subject(der::sequence(&[])).serial(&[0x11; 1000]);
        let draft = draft.extension(&arcs, Critical::Yes, &[5, 0]);
        let certificate =
            Certificate::parse(&draft.self_signed(&DraftKey::p256().unwrap()).unwrap()).unwrap();
        for text in [certificate.subject_name, certificate.unknown_critical.unwrap()] {
            assert_eq!(text.chars().count(), 201, "{text}");
        }
    }

    #[test]
    fn thousands_of_extensions_are_read() {
        let draft = |last: &str| {
            let numbers = (0..3000).map(|number| format!("1.2.3.{number}"));
            let add = |draft: Draft, oid: String| draft.extension(&oid, Critical::No, &[5, 0]);
            numbers.chain([last.to_owned()]).fold(Draft::of("a"), add)
        };
        let key = DraftKey::p256().unwrap();
        let read = |last| Certificate::parse(&draft(last).self_signed(&key).unwrap()).err();
        assert_eq!(read("1.2.3.3000"), None);
        assert_eq!(read("1.2.3.2999"), Some("it has the same extension twice"));
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut der = example();
            for (index, byte) in changes {
                let at = index.index(der.len());
                if let Some(changed) = der.get_mut(at) {
                    *changed = byte;
                }
            }
            let _ = Certificate::parse(&der);
        }
    }
}
