//! Parses one JSON Web Key, member by member, as go-jose does.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use super::{Key, KeyKind, KeyPurpose, UnsupportedKey, certificates, public::VerificationKey};
use crate::problem::quote;

/// Why an entry of a key set is not a usable public key.
#[derive(Debug)]
pub(super) enum Rejection {
    /// W&B Server ignores the entry.
    LeftOut(UnsupportedKey),
    /// W&B Server refuses the whole set because of it.
    Broken(String),
}

impl From<String> for Rejection {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

/// The algorithms that go-oidc knows. It ignores keys that declare another one.
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// The members that must be texts, and those that must be bytes in base64url, for keys of every type.
const TEXTS: [&str; 8] = ["use", "kty", "kid", "crv", "alg", "x5u", "x5t", "x5t#S256"];
const BYTES: [&str; 13] = ["k", "x", "y", "n", "e", "pub", "priv", "d", "p", "q", "dp", "dq", "qi"];

/// The longest RSA key that go-jose reads, in bits.
const LONGEST_RSA_BITS: u32 = 4096;

pub(super) fn read(value: &Value) -> Result<Key, Rejection> {
    let Value::Object(members) = value else { return Err("it is not an object".to_owned().into()) };
    let jwk = Jwk(members);
    if let Some(algorithm) = jwk.text("alg")?.filter(|algorithm| !ALGORITHMS.contains(algorithm)) {
        return Err(Rejection::LeftOut(jwk.of_another_algorithm(algorithm)));
    }
    for name in TEXTS {
        jwk.text(name)?;
    }
    for name in BYTES {
        jwk.bytes(name)?;
    }
    let chain = certificates::chain(members.get("x5c"))?;
    let (kind, public) = match jwk.text("kty")? {
        None => return Err("it has no kty".to_owned().into()),
        Some("RSA") => jwk.rsa()?,
        Some("EC") => jwk.elliptic_curve()?,
        Some("OKP") if jwk.text("crv")? == Some("Ed25519") => jwk.ed25519()?,
        Some("oct") if !chain.is_empty() => {
            return Err("it is a symmetric key with certificates (x5c)".to_owned().into());
        }
        Some("oct") => {
            jwk.required("k")?;
            return Err(Rejection::LeftOut(UnsupportedKey::Symmetric));
        }
        Some(_) => return Err(Rejection::LeftOut(UnsupportedKey::UnknownType)),
    };
    certificates::expect_same_key(&chain, &public)?;
    let thumbprints = [("x5t", jwk.bytes("x5t")?), ("x5t#S256", jwk.bytes("x5t#S256")?)];
    certificates::expect_thumbprints(&chain, thumbprints)?;
    if jwk.has("d") {
        return Err(Rejection::LeftOut(UnsupportedKey::Private));
    }
    if !public.can_verify() {
        return Err(Rejection::LeftOut(UnsupportedKey::Useless));
    }
    Ok(Key {
        kid: jwk.text("kid")?.map(str::to_owned),
        kind,
        purpose: jwk.purpose()?,
        declared: jwk.text("alg")?.map(str::to_owned),
        thumbprint: public.thumbprint(kind),
        public,
    })
}

/// The members of a key.
struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    /// A member; null counts as absent, as in Go.
    fn member(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// A member that must be a text; an empty one counts as absent, as in Go.
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("its {name} is not a text")),
        }
    }

    /// A member that must be bytes in base64url.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                decode(text).map(Some).ok_or_else(|| format!("its {name} is not base64url without padding"))
            }
            Some(_) => Err(format!("its {name} is not a text")),
        }
    }

    fn required(&self, name: &str) -> Result<Vec<u8>, String> {
        self.bytes(name)?.ok_or_else(|| format!("it has no {name}"))
    }

    fn of_another_algorithm(&self, algorithm: &str) -> UnsupportedKey {
        if self.text("kty") == Ok(Some("oct")) {
            UnsupportedKey::Symmetric
        } else if self.has("d") {
            UnsupportedKey::Private
        } else {
            UnsupportedKey::OtherAlgorithm(quote(algorithm))
        }
    }

    fn purpose(&self) -> Result<KeyPurpose, String> {
        let verifies = |operations: &Value| {
            operations.as_array().is_none_or(|list| list.iter().any(|operation| operation == "verify"))
        };
        Ok(match self.text("use")? {
            Some("enc") => KeyPurpose::Encryption,
            None | Some("sig") if self.member("key_ops").is_none_or(verifies) => KeyPurpose::Signatures,
            _ => KeyPurpose::Other,
        })
    }

    fn rsa(&self) -> Result<(KeyKind, VerificationKey), Rejection> {
        if self.has("d") {
            self.required("p")?;
            self.required("q")?;
        }
        let public = VerificationKey::rsa(&self.required("n")?, &self.required("e")?);
        let bits = public.bits();
        if bits > LONGEST_RSA_BITS {
            return Err(Rejection::LeftOut(UnsupportedKey::TooLong));
        }
        public
            .exponent()
            .filter(|exponent| *exponent >= 2)
            .ok_or_else(|| "its e is no exponent".to_owned())?;
        Ok((KeyKind::Rsa { bits }, public))
    }

    fn elliptic_curve(&self) -> Result<(KeyKind, VerificationKey), Rejection> {
        let (kind, size) = match self.text("crv")? {
            Some("P-256") => (KeyKind::P256, 32),
            Some("P-384") => (KeyKind::P384, 48),
            Some("P-521") => (KeyKind::P521, 66),
            _ => return Err(Rejection::LeftOut(UnsupportedKey::UnknownCurve)),
        };
        let (x, y) = (self.required("x")?, self.required("y")?);
        for (name, number) in [("x", Some(&x)), ("y", Some(&y)), ("d", self.bytes("d")?.as_ref())] {
            // RFC 7518 section 6.2.1.2 requires the full length, with leading zeros.
            if number.is_some_and(|number| number.len() != size) {
                return Err(format!("its {name} has not {size} bytes").into());
            }
        }
        let public =
            VerificationKey::point(kind, &x, &y).ok_or_else(|| "its point is not on its curve".to_owned())?;
        Ok((kind, public))
    }

    fn ed25519(&self) -> Result<(KeyKind, VerificationKey), Rejection> {
        let x = self.required("x")?;
        if let Some(seed) = self.bytes("d")? {
            Ed25519KeyPair::from_seed_and_public_key(&seed, &x)
                .map_err(|_| "its d does not belong to its x".to_owned())?;
        }
        let public =
            VerificationKey::ed25519(x).ok_or_else(|| "its x is no point that is safe to use".to_owned())?;
        Ok((KeyKind::Ed25519, public))
    }
}

/// Decodes base64url as Go does: line breaks are ignored, and so are surplus bits at the end.
fn decode(text: &str) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true),
    );
    ENGINE.decode(text.replace(['\r', '\n'], "")).ok()
}
