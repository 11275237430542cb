//! Certificates with everything that a library for making them would not do: old versions, broken
//! algorithms, short keys, extensions that contradict each other.

use std::net::IpAddr;

use anyhow::{Context, Result};
use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rsa::{
    BigUint, Pkcs1v15Sign, RsaPrivateKey,
    rand_core::OsRng,
    sha2::{Digest, Sha256},
    traits::PublicKeyParts,
};

/// The encoding of ASN.1 that certificates have.
pub mod der {
    /// A tag, the length of the contents and the contents.
    pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        let length = contents.len().to_be_bytes();
        let digits: Vec<_> = length.into_iter().skip_while(|digit| *digit == 0).collect();
        match digits.as_slice() {
            [] => bytes.push(0),
            [short @ 0..=0x7f] => bytes.push(*short),
            long => {
                bytes.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
                bytes.extend(long);
            }
        }
        bytes.extend(contents);
        bytes
    }

    /// A sequence of elements.
    pub fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
        element(0x30, &elements.concat())
    }

    /// An object identifier in its usual spelling.
    pub fn oid(text: &str) -> Vec<u8> {
        let arcs: Vec<u64> = text.split('.').filter_map(|arc| arc.parse().ok()).collect();
        let (first, rest) = arcs.split_at(arcs.len().min(2));
        let first = first.iter().fold(0, |sum, arc| sum * 40 + arc);
        let mut contents = Vec::new();
        for mut arc in std::iter::once(first).chain(rest.iter().copied()) {
            let mut digits = vec![u8::try_from(arc & 0x7f).unwrap_or_default()];
            while arc >= 0x80 {
                arc >>= 7;
                digits.push(0x80 | u8::try_from(arc & 0x7f).unwrap_or_default());
            }
            contents.extend(digits.into_iter().rev());
        }
        element(0x06, &contents)
    }

    /// Bits without unused ones.
    pub fn bits(contents: &[u8]) -> Vec<u8> {
        element(0x03, &[&[0], contents].concat())
    }

    /// A number that is not negative.
    pub fn number(digits: &[u8]) -> Vec<u8> {
        let sign: &[u8] = if digits.first().is_none_or(|digit| *digit >= 0x80) { &[0] } else { &[] };
        element(0x02, &[sign, digits].concat())
    }
}

use der::{bits, element, number, oid, sequence};

/// A key that certificates are made for and signed with.
pub enum DraftKey {
    /// One of a common kind.
    Common(KeyPair),
    /// A short RSA key.
    ShortRsa(Box<RsaPrivateKey>),
    /// A public key of which nobody has the private one, as it is encoded.
    PublicOnly(Vec<u8>),
}

/// What a certificate says it is signed with; the signature itself is the key's own where it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedWith {
    /// As the key usually does.
    TheKey,
    /// MD5 with RSA.
    Md5,
    /// SHA-1 with ECDSA.
    Sha1,
}

/// A certificate that is not signed yet.
#[derive(Clone)]
pub struct Draft {
    version: u8,
    serial: Vec<u8>,
    subject: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: Vec<Vec<u8>>,
    signed_with: SignedWith,
    trailing: Vec<u8>,
}

impl DraftKey {
    /// ECDSA on P-256.
    pub fn p256() -> Result<Self> {
        Ok(Self::Common(KeyPair::generate()?))
    }

    /// ECDSA on P-384.
    pub fn p384() -> Result<Self> {
        Ok(Self::Common(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?))
    }

    /// ECDSA on P-521.
    pub fn p521() -> Result<Self> {
        Ok(Self::Common(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512)?))
    }

    /// Ed25519.
    pub fn ed25519() -> Result<Self> {
        Ok(Self::Common(KeyPair::generate_for(&rcgen::PKCS_ED25519)?))
    }

    /// RSA with 2048 bits.
    pub fn rsa() -> Result<Self> {
        Ok(Self::Common(KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?))
    }

    /// RSA with fewer bits.
    pub fn short_rsa(bits: usize) -> Result<Self> {
        Ok(Self::ShortRsa(Box::new(RsaPrivateKey::new(&mut OsRng, bits)?)))
    }

    /// An RSA key of this length that nobody can sign with.
    pub fn public_rsa(bits: usize) -> Self {
        let modulus = vec![0xff; bits / 8];
        Self::PublicOnly(rsa_info(&modulus, &[1, 0, 1]))
    }

    /// A key on the elliptic curve of this identifier that nobody can sign with.
    pub fn public_ec(curve: &str, point: &[u8]) -> Self {
        let algorithm = sequence(&[oid("1.2.840.10045.2.1"), oid(curve)]);
        Self::PublicOnly(sequence(&[algorithm, self::bits(point)]))
    }

    /// The private key for a TLS server, where there is one that TLS servers take.
    pub fn pkcs8(&self) -> Option<Vec<u8>> {
        match self {
            Self::Common(key) => Some(key.serialize_der()),
            _ => None,
        }
    }

    fn info(&self) -> Vec<u8> {
        match self {
            Self::Common(key) => key.subject_public_key_info(),
            Self::ShortRsa(key) => rsa_info(&key.n().to_bytes_be(), &BigUint::to_bytes_be(key.e())),
            Self::PublicOnly(info) => info.clone(),
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        let Self::Common(key) = self else { return rsa_algorithm("1.2.840.113549.1.1.11") };
        let algorithm = key.algorithm();
        let plain = |text| sequence(&[oid(text)]);
        if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
            plain("1.2.840.10045.4.3.3")
        } else if algorithm == &rcgen::PKCS_ECDSA_P521_SHA512 {
            plain("1.2.840.10045.4.3.4")
        } else if algorithm == &rcgen::PKCS_ED25519 {
            plain("1.3.101.112")
        } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
            rsa_algorithm("1.2.840.113549.1.1.11")
        } else {
            plain("1.2.840.10045.4.3.2")
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Common(key) => Ok(key.sign(message)?),
            Self::ShortRsa(key) => Ok(key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))?),
            Self::PublicOnly(_) => anyhow::bail!("nobody has this key"),
        }
    }
}

fn rsa_algorithm(identifier: &str) -> Vec<u8> {
    sequence(&[oid(identifier), element(0x05, &[])])
}

fn rsa_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = sequence(&[number(modulus), number(exponent)]);
    sequence(&[rsa_algorithm("1.2.840.113549.1.1.1"), bits(&key)])
}

/// A subject or issuer with only a common name, in this kind of text (12 is UTF-8, 19 is printable).
pub fn name(kind: u8, common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[oid("2.5.4.3"), element(kind, common_name.as_bytes())]);
    sequence(&[element(0x31, &attribute)])
}

impl Draft {
    /// A certificate of version 3 for this common name, valid from 2020 to 2045.
    pub fn of(common_name: &str) -> Self {
        Self {
            version: 3,
            serial: number(&[0x12, 0x34]),
            subject: name(12, common_name),
            not_before: year(2020),
            not_after: year(2045),
            extensions: Vec::new(),
            signed_with: SignedWith::TheKey,
            trailing: Vec::new(),
        }
    }

    /// An authority's.
    pub fn authority(common_name: &str) -> Self {
        Self::of(common_name).basic_constraints(Some(true), None)
    }

    /// A server's, for this host name or address.
    pub fn server(host: &str) -> Self {
        Self::of(host).alternative_names(&[host])
    }

    /// Of another version.
    #[must_use]
    pub fn version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    /// With this serial number as it is encoded.
    #[must_use]
    pub fn serial(self, serial: &[u8]) -> Self {
        Self { serial: element(0x02, serial), ..self }
    }

    /// With another subject as it is encoded.
    #[must_use]
    pub fn subject(self, subject: Vec<u8>) -> Self {
        Self { subject, ..self }
    }

    /// Valid from the beginning of one year to the beginning of another.
    #[must_use]
    pub fn years(self, from: i16, to: i16) -> Self {
        Self { not_before: year(from), not_after: year(to), ..self }
    }

    /// Valid until so many days from now.
    #[must_use]
    pub fn until_in_days(self, days: i64) -> Self {
        let not_after = Timestamp::from_second(Timestamp::now().as_second() + days * 24 * 60 * 60);
        Self { not_after: not_after.unwrap_or(self.not_after), ..self }
    }

    /// Signed with another algorithm, in words only.
    #[must_use]
    pub fn signed_with(self, signed_with: SignedWith) -> Self {
        Self { signed_with, ..self }
    }

    /// With bytes after its end.
    #[must_use]
    pub fn trailing(self, trailing: &[u8]) -> Self {
        Self { trailing: trailing.to_vec(), ..self }
    }

    /// With one more extension.
    #[must_use]
    pub fn extension(mut self, identifier: &str, critical: Critical, value: &[u8]) -> Self {
        let mut parts = vec![oid(identifier)];
        if critical == Critical::Yes {
            parts.push(element(0x01, &[0xff]));
        }
        parts.push(element(0x04, value));
        self.extensions.push(sequence(&parts));
        self
    }

    /// With `basicConstraints`.
    #[must_use]
    pub fn basic_constraints(self, authority: Option<bool>, path_length: Option<u8>) -> Self {
        let flag = authority.filter(|authority| *authority).map(|_| element(0x01, &[0xff]));
        let length = path_length.map(|length| number(&[length]));
        let value = sequence(&flag.into_iter().chain(length).collect::<Vec<_>>());
        self.extension("2.5.29.19", Critical::Yes, &value)
    }

    /// With `keyUsage`, the first usage in the highest bit.
    #[must_use]
    pub fn key_usage(self, usages: u8) -> Self {
        self.extension("2.5.29.15", Critical::Yes, &bits(&[usages]))
    }

    /// With `extendedKeyUsage`.
    #[must_use]
    pub fn extended_key_usage(self, usages: &[&str]) -> Self {
        let usages: Vec<_> = usages.iter().map(|usage| oid(usage)).collect();
        self.extension("2.5.29.37", Critical::No, &sequence(&usages))
    }

    /// With `subjectAltName`; addresses are told from names.
    #[must_use]
    pub fn alternative_names(self, names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| general_name(name)).collect();
        self.extension("2.5.29.17", Critical::No, &sequence(&names))
    }

    /// With a critical `nameConstraints` of what is permitted and what is excluded, as general names.
    #[must_use]
    pub fn name_constraints(self, permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Self {
        let subtrees = |tag, names: &[Vec<u8>]| {
            let subtrees: Vec<_> = names.iter().map(|name| sequence(std::slice::from_ref(name))).collect();
            (!names.is_empty()).then(|| element(tag, &subtrees.concat()))
        };
        let parts: Vec<_> = subtrees(0xa0, permitted).into_iter().chain(subtrees(0xa1, excluded)).collect();
        self.extension("2.5.29.30", Critical::Yes, &sequence(&parts))
    }

    /// Signed by itself.
    pub fn self_signed(&self, key: &DraftKey) -> Result<Vec<u8>> {
        self.signed_by(key, &self.subject, key)
    }

    /// Signed by an authority of this common name.
    pub fn issued(&self, key: &DraftKey, issuer: &str, issuer_key: &DraftKey) -> Result<Vec<u8>> {
        self.signed_by(key, &name(12, issuer), issuer_key)
    }

    /// Signed by an authority of this name as it is encoded.
    pub fn signed_by(&self, key: &DraftKey, issuer: &[u8], issuer_key: &DraftKey) -> Result<Vec<u8>> {
        let algorithm = match self.signed_with {
            SignedWith::TheKey => issuer_key.algorithm(),
            SignedWith::Md5 => rsa_algorithm("1.2.840.113549.1.1.4"),
            SignedWith::Sha1 => sequence(&[oid("1.2.840.10045.4.1")]),
        };
        let mut parts = Vec::new();
        if self.version > 1 {
            parts.push(element(0xa0, &number(&[self.version - 1])));
        }
        parts.extend([
            self.serial.clone(),
            algorithm.clone(),
            issuer.to_vec(),
            sequence(&[time(self.not_before)?, time(self.not_after)?]),
            self.subject.clone(),
            key.info(),
        ]);
        if !self.extensions.is_empty() && self.version == 3 {
            parts.push(element(0xa3, &sequence(&self.extensions)));
        }
        let signed = sequence(&parts);
        let signature = issuer_key.sign(&signed)?;
        let mut certificate = sequence(&[signed, algorithm, bits(&signature)]);
        certificate.extend(&self.trailing);
        Ok(certificate)
    }
}

/// Whether an extension must be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Critical {
    /// It must.
    Yes,
    /// It need not.
    No,
}

/// A general name: an address, a URI, or a host name.
pub fn general_name(text: &str) -> Vec<u8> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => element(0x87, &address.octets()),
        Ok(IpAddr::V6(address)) => element(0x87, &address.octets()),
        Err(_) if text.contains("://") => element(0x86, text.as_bytes()),
        Err(_) => host_name(text),
    }
}

/// A host name as a general name, even where it looks like an address.
pub fn host_name(text: &str) -> Vec<u8> {
    element(0x82, text.as_bytes())
}

/// A certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = vec!["-----BEGIN CERTIFICATE-----".to_owned()];
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push(line.to_owned());
        rest = after;
    }
    lines.push("-----END CERTIFICATE-----\n".to_owned());
    lines.join("\n")
}

fn year(year: i16) -> Timestamp {
    let first = k8s_openapi::jiff::civil::date(year, 1, 1).to_zoned(TimeZone::UTC);
    first.map(|time| time.timestamp()).unwrap_or_default()
}

fn time(time: Timestamp) -> Result<Vec<u8>> {
    let text = time.strftime("%y%m%d%H%M%SZ").to_string();
    let text = text.get(..13).context("a time has 13 characters")?;
    Ok(element(0x17, text.as_bytes()))
}
