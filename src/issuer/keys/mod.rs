//! Parses the keys that an issuer publishes (RFC 7517) into types that know what they can verify.
//!
//! W&B Server decides what is valid, and it uses go-oidc and go-jose. These ignore keys of types and algorithms
//! that they do not know, but read no key at all if one is broken. They ignore `use` and `key_ops`, and a key's
//! `alg` does not restrict it to that algorithm.

mod certificates;
mod jwk;
mod public;

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;

use self::public::VerificationKey;
use super::read_json;
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// A JSON Web Key Set.
pub struct KeySet {
    /// The public keys.
    pub keys: Vec<Key>,
    /// The entries that are not usable public keys.
    pub others: Vec<UnsupportedKey>,
}

/// An entry of a key set that verifies no signature, but does not keep W&B Server from reading the others.
#[derive(Clone, Debug, PartialEq, Eq, strum::Display)]
pub enum UnsupportedKey {
    /// The key is a secret, which must not be in a public document.
    #[strum(to_string = "a symmetric key")]
    Symmetric,
    /// The private half is published, so anybody can sign with the key.
    #[strum(to_string = "a key whose private half is published")]
    Private,
    /// W&B Server does not know the type.
    #[strum(to_string = "a key of an unknown type")]
    UnknownType,
    /// W&B Server does not know the curve.
    #[strum(to_string = "an EC key on an unknown curve")]
    UnknownCurve,
    /// The key is for an algorithm that does not sign ID tokens.
    #[strum(to_string = "a key for {0}")]
    OtherAlgorithm(String),
    /// The RSA key is longer than go-jose reads.
    #[strum(to_string = "an RSA key of more than 4096 bits, which W&B Server does not read")]
    TooLong,
    /// The modulus or exponent is not that of a usable RSA key.
    #[strum(to_string = "an RSA key that cannot verify anything")]
    Useless,
}

/// A key on which W&B Server fails, so that it reads none of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenKey {
    /// The identifier of the key, or its position in the set.
    pub name: String,
    /// What is wrong with the key.
    pub what: String,
}

/// A public key.
pub struct Key {
    /// The identifier by which tokens refer to the key.
    pub kid: Option<String>,
    /// The type and size of the key.
    pub kind: KeyKind,
    /// The purpose that the key declares.
    pub purpose: KeyPurpose,
    /// The algorithm that the key declares (`alg`), if it does.
    pub declared: Option<String>,
    thumbprint: String,
    public: VerificationKey,
}

/// The type and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// The length of the modulus without leading zeros.
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

/// The purpose that a key declares (RFC 7517 sections 4.2 and 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Signatures, or no particular purpose.
    Signatures,
    /// Encryption.
    Encryption,
    /// Any other purpose.
    Other,
}

impl KeySet {
    /// Parses the key set at this URL. The answer must have had the status 200.
    pub fn read(body: &[u8], url: &Url) -> Result<Self, Problem> {
        let object = read_json(body, url)?;
        let shown = quote(url.as_str());
        let problem = |message: String| Problem::new(Reason::InvalidDocument, message);
        let keys = object.get("keys").and_then(Value::as_array).ok_or_else(|| {
            problem(format!("{shown} has no list of keys. Check that jwks_uri leads to a JSON Web Key Set."))
        })?;
        Self::of(keys).map_err(|BrokenKey { name, what }| {
            problem(format!(
                "{shown} has a broken key, {}: {}. Then W&B Server reads none of the keys. Correct or remove that key at the issuer.",
                quote(&name),
                quote(&what)
            ))
        })
    }

    /// Parses the keys of a set. The error is the first key because of which W&B Server would read none.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<Self, BrokenKey> {
        let mut set = Self { keys: Vec::new(), others: Vec::new() };
        for (index, value) in values.into_iter().enumerate() {
            match jwk::read(value) {
                Ok(key) => set.keys.push(key),
                Err(jwk::Rejection::LeftOut(unsupported)) => set.others.push(unsupported),
                Err(jwk::Rejection::Broken(what)) => {
                    let kid = value.get("kid").and_then(Value::as_str).filter(|kid| !kid.is_empty());
                    let name =
                        kid.map_or_else(|| format!("number {}", index + 1), |kid| format!("\"{kid}\""));
                    return Err(BrokenKey { name, what });
                }
            }
        }
        Ok(set)
    }
}

impl Key {
    /// The key's identifier or, without one, its thumbprint (RFC 7638).
    pub fn name(&self) -> &str {
        self.kid.as_deref().unwrap_or(&self.thumbprint)
    }

    /// The key's thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether W&B Server verifies signatures by this algorithm with the key. Only the type of the key decides.
    pub fn is_for(&self, algorithm: &str) -> bool {
        self.kind.algorithms().contains(&algorithm)
    }

    /// A declaration of the key that contradicts its use for these algorithms. W&B Server ignores such declarations
    /// and verifies signatures with the key anyway.
    pub fn reservation(&self, algorithms: &[impl AsRef<str>]) -> Option<String> {
        match (self.purpose, &self.declared) {
            (KeyPurpose::Encryption, _) => Some("for encryption".to_owned()),
            (KeyPurpose::Other, _) => Some("for another use".to_owned()),
            (KeyPurpose::Signatures, Some(declared))
                if !algorithms.iter().any(|algorithm| algorithm.as_ref() == declared) =>
            {
                Some(format!("for {declared}"))
            }
            (KeyPurpose::Signatures, _) => None,
        }
    }

    /// Whether this key made the signature (in base64url), by an algorithm of the key's type.
    pub fn verifies(&self, algorithm: &str, message: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.is_for(algorithm) && self.public.verifies(algorithm, message.as_bytes(), &signature)
    }
}

impl KeyKind {
    /// The name of the type in key sets (RFC 7518 section 6.1).
    pub fn key_type(self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::P256 | Self::P384 | Self::P521 => "EC",
            Self::Ed25519 => "OKP",
        }
    }

    /// The size of the key, in bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa { bits } => bits,
            Self::P256 | Self::Ed25519 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// The algorithms for keys of this type (RFC 7518 section 3.1, RFC 8037 section 3.1).
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

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use serde_json::{Map, json};
    use test_support::tokens::{SigningKey, base64url};

    use super::*;

    const TYPES: [&str; 4] = ["RSA", "EC", "OKP", "oct"];
    const CURVES: [&str; 4] = ["P-256", "P-384", "P-521", "Ed25519"];
    const MEMBERS: [&str; 15] =
        ["kty", "crv", "n", "e", "x", "y", "d", "p", "k", "use", "alg", "kid", "key_ops", "x5c", "x5t"];

    /// A key with any members, whose values mostly have the right type.
    fn any_key() -> impl Strategy<Value = Value> {
        let value = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..70).prop_map(|bytes| Value::from(base64url(bytes))),
            any::<String>().prop_map(Value::from),
            any::<String>().prop_map(|text| json!([text])),
            Just(Value::Null),
        ];
        let members = prop::collection::vec((select(&MEMBERS), value), 0..8);
        (select(&TYPES), select(&CURVES), members).prop_map(|(key_type, curve, members)| {
            let fixed = [("kty", Value::from(key_type)), ("crv", Value::from(curve))];
            let all = fixed.into_iter().chain(members).map(|(name, value)| (name.to_owned(), value));
            Value::Object(all.collect::<Map<_, _>>())
        })
    }

    proptest! {
        #[test]
        fn survives_any_key(key in any_key(), signature in any::<Vec<u8>>()) {
            for key in KeySet::of([&key]).into_iter().flat_map(|set| set.keys) {
                for algorithm in key.kind.algorithms() {
                    prop_assert!(!key.verifies(algorithm, "message", &base64url(&signature)));
                }
            }
        }
    }

    #[test]
    fn keys_without_an_identifier_are_named_by_their_thumbprint() {
        // The key and its thumbprint are the example of RFC 7638 section 3.1.
        let key = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
        });
        let set = KeySet::of([&key]).unwrap();
        assert_eq!(set.keys[0].name(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(set.keys[0].kind, KeyKind::Rsa { bits: 2048 });
    }

    #[test]
    fn a_broken_key_is_named_since_it_hides_the_others() {
        let good = SigningKey::p256("good").unwrap().jwk().unwrap();
        for (broken, name, what) in [
            (json!({ "kty": "EC", "crv": "P-256", "kid": "bad", "x": "AA", "y": "AA" }), "\"bad\"", "x"),
            (json!("junk"), "number 2", "not an object"),
        ] {
            let refused = KeySet::of([&good, &broken]).err().unwrap();
            assert_eq!(refused.name, name);
            assert!(refused.what.contains(what), "{}", refused.what);
        }
    }
}
