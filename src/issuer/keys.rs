//! The keys that an issuer publishes (RFC 7517), read once into types that know what they can verify.

use std::fmt;

use jsonwebtoken::{
    DecodingKey, DecodingKeyKind, crypto,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse,
        ThumbprintHash,
    },
};
use serde_json::Value;
use url::Url;

use super::read_json;
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// A JSON Web Key Set.
pub struct KeySet {
    /// The public keys.
    pub keys: Vec<Key>,
    /// What else it contains.
    pub others: Vec<Oddity>,
}

/// Something in a key set that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Oddity {
    /// A secret, which belongs into no public document.
    #[strum(to_string = "a symmetric key")]
    Symmetric,
    /// Anybody can sign with it.
    #[strum(to_string = "a key whose private half is published")]
    Private,
    /// The type is not one that verifies signatures here.
    #[strum(to_string = "a key of an unknown type")]
    UnknownType,
    /// The curve is not one that verifies signatures here.
    #[strum(to_string = "an EC key on an unknown curve")]
    UnknownCurve,
    /// Numbers are missing or wrong.
    #[strum(to_string = "{0} that cannot be read")]
    Broken(&'static str),
    /// Not even a key.
    #[strum(to_string = "an unreadable key")]
    Unreadable,
}

/// A public key.
pub struct Key {
    /// The identifier that tokens name it by.
    pub kid: Option<String>,
    /// Type and size.
    pub kind: KeyKind,
    /// What it is for.
    pub purpose: Purpose,
    /// The only algorithm that it is for, if it says so.
    pub declared: Option<String>,
    thumbprint: String,
    public: DecodingKey,
}

/// Type and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// Of the modulus, without leading zeros.
        bits: u32,
    },
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

/// What a key is for (RFC 7517 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signatures, or nothing in particular.
    Signatures,
    /// Encryption.
    Encryption,
    /// Something else.
    Other,
}

impl KeySet {
    /// Reads the answer of the key set's URL, which is known to be a plain one.
    pub fn read(body: &[u8], url: &Url) -> Result<Self, Problem> {
        let object = read_json(body, url)?;
        let keys = object.get("keys").and_then(Value::as_array).ok_or_else(|| {
            Problem::new(
                Reason::InvalidDocument,
                format!(
                    "{} has no list of keys. Check that jwks_uri leads to a JSON Web Key Set.",
                    quote(url.as_str())
                ),
            )
        })?;
        Ok(keys.iter().collect())
    }
}

impl<'a> FromIterator<&'a Value> for KeySet {
    fn from_iter<T: IntoIterator<Item = &'a Value>>(values: T) -> Self {
        let mut set = Self { keys: Vec::new(), others: Vec::new() };
        for value in values {
            match Key::read(value) {
                Ok(key) => set.keys.push(key),
                Err(oddity) => set.others.push(oddity),
            }
        }
        set
    }
}

impl Key {
    fn read(value: &Value) -> Result<Self, Oddity> {
        let Ok(jwk) = serde_json::from_value::<Jwk>(value.clone()) else {
            return Err(Oddity::Unreadable);
        };
        let (kind, public) = measure(&jwk)?;
        if value.get("d").is_some() {
            return Err(Oddity::Private);
        }
        Ok(Self {
            kind,
            purpose: purpose(&jwk.common),
            declared: value.get("alg").and_then(Value::as_str).map(str::to_owned),
            thumbprint: jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| Oddity::Unreadable)?,
            public,
            kid: jwk.common.key_id,
        })
    }

    /// The key's identifier, or else its thumbprint (RFC 7638).
    pub fn name(&self) -> &str {
        self.kid.as_deref().unwrap_or(&self.thumbprint)
    }

    /// The key's thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether the key's type is the algorithm's, and the key is not for another one only.
    pub fn is_for(&self, algorithm: &str) -> bool {
        self.kind.algorithms().contains(&algorithm)
            && self.declared.as_ref().is_none_or(|declared| declared == algorithm)
    }

    /// Whether this key made the signature (in base64url) by an algorithm that it is for.
    pub fn verifies(&self, algorithm: &str, message: &str, signature: &str) -> bool {
        let library = algorithm.parse().ok().filter(|_| self.is_for(algorithm));
        library.is_some_and(|library| {
            crypto::verify(signature, message.as_bytes(), &self.public, library).unwrap_or(false)
        })
    }
}

impl KeyKind {
    /// The type as key sets spell it (RFC 7518 section 6.1).
    pub fn key_type(self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::P256 | Self::P384 | Self::P521 => "EC",
            Self::Ed25519 => "OKP",
        }
    }

    /// The size.
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa { bits } => bits,
            Self::P256 | Self::Ed25519 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// The algorithms of the key's type (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub fn algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Rsa { .. } => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Self::P256 => &["ES256"],
            Self::P384 => &["ES384"],
            Self::P521 => &["ES512"],
            Self::Ed25519 => &["EdDSA"],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "an RSA key of {bits} bits"),
            Self::P256 => f.write_str("an EC key on P-256"),
            Self::P384 => f.write_str("an EC key on P-384"),
            Self::P521 => f.write_str("an EC key on P-521"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
        }
    }
}

fn purpose(common: &CommonParameters) -> Purpose {
    let verifies = |operations: &[KeyOperations]| operations.contains(&KeyOperations::Verify);
    match (&common.public_key_use, common.key_operations.as_deref()) {
        (Some(PublicKeyUse::Encryption), _) => Purpose::Encryption,
        (None | Some(PublicKeyUse::Signature), operations) if operations.is_none_or(verifies) => {
            Purpose::Signatures
        }
        _ => Purpose::Other,
    }
}

fn measure(jwk: &Jwk) -> Result<(KeyKind, DecodingKey), Oddity> {
    let of_length = |kind: KeyKind, name: &'static str, length: usize| {
        let public = DecodingKey::try_from(jwk).ok();
        let public = public.filter(|key| key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == length));
        public.map(|public| (kind, public)).ok_or(Oddity::Broken(name))
    };
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            let public = DecodingKey::try_from(jwk).map_err(|_| Oddity::Broken("an RSA key"))?;
            let DecodingKeyKind::RsaModulusExponent { n, .. } = public.kind() else {
                return Err(Oddity::Unreadable);
            };
            Ok((KeyKind::Rsa { bits: bits(n) }, public))
        }
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => of_length(KeyKind::P256, "an EC key on P-256", 65),
            EllipticCurve::P384 => of_length(KeyKind::P384, "an EC key on P-384", 97),
            EllipticCurve::P521 => of_length(KeyKind::P521, "an EC key on P-521", 133),
            _ => Err(Oddity::UnknownCurve),
        },
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            of_length(KeyKind::Ed25519, "an Ed25519 key", 32)
        }
        AlgorithmParameters::OctetKey(_) => Err(Oddity::Symmetric),
        _ => Err(Oddity::UnknownType),
    }
}

/// The bits of a big-endian number.
fn bits(number: &[u8]) -> u32 {
    let mut digits = number.iter().skip_while(|byte| **byte == 0);
    let first = digits.next().map_or(0, |byte| 8 - byte.leading_zeros());
    first.saturating_add(u32::try_from(digits.count()).unwrap_or(u32::MAX).saturating_mul(8))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_bits_without_leading_zeros() {
        for (number, expected) in [
            (&[][..], 0),
            (&[0], 0),
            (&[1], 1),
            (&[0xff], 8),
            (&[1, 0], 9),
            (&[0, 0xff, 0], 16),
            (&[0x80, 0, 0], 24),
        ] {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }

    #[test]
    fn keys_without_an_identifier_are_named_by_their_thumbprint() {
        // RFC 7638 section 3.1.
        let key = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
        });
        let key = Key::read(&key).ok().unwrap();
        assert_eq!(key.name(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(key.kind, KeyKind::Rsa { bits: 2048 });
    }
}
