//! The keys that the provider publishes for its signatures.

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use openidconnect::core::CoreJwsSigningAlgorithm as Algorithm;
use serde_json::Value;

use super::discovery::Metadata;
use crate::{
    api::Reason,
    engine::Checked,
    issuer::{at, expect_ok, read_json},
    net::{HttpClient, HttpRequest},
    problem::{Problem, enumerate, quote},
};

/// Whether at least one published key can verify signatures of an advertised algorithm.
pub(super) async fn check(http: HttpClient<'_>, metadata: &Metadata) -> Result<Checked, Problem> {
    let url = metadata.jwks_uri().url();
    let response =
        http.send(HttpRequest::get(url.clone())).await.map_err(|problem| at("jwks_uri", &problem))?;
    let advice = || "Check the provider's configuration of its keys";
    expect_ok(&response, url, &http.network.egress, advice)?;
    let object = read_json(&response.body, url)?;
    let Some(keys) = object.get("keys").and_then(Value::as_array) else {
        return Err(Problem::new(
            Reason::InvalidDocument,
            format!(
                "{} has no list of keys. Check that jwks_uri leads to a JSON Web Key Set.",
                quote(url.as_str())
            ),
        ));
    };
    judge(keys, metadata.id_token_signing_alg_values_supported())
}

fn judge(keys: &[Value], advertised: &[Algorithm]) -> Result<Checked, Problem> {
    let advertised: Vec<_> = advertised.iter().filter(|algorithm| is_asymmetric(algorithm)).collect();
    let mut usable = Vec::new();
    let mut others = Vec::new();
    for key in keys {
        match describe(key, &advertised) {
            Ok(description) => usable.push(description),
            Err(description) => others.push(description),
        }
    }
    if !usable.is_empty() {
        return Ok(Checked::passed((), format!("The provider publishes {}.", enumerate(usable))));
    }
    let seen = if others.is_empty() { "no key at all".to_owned() } else { enumerate(others) };
    Err(Problem::new(
        Reason::NoUsableKey,
        format!(
            "The provider publishes {seen}, but W&B needs a signing key for one of its ID token algorithms ({}), RSA with at least 2048 bits. Add one at the provider.",
            enumerate(advertised.iter().map(|algorithm| name(algorithm)))
        ),
    ))
}

/// Signatures that a public key verifies; the others are not signatures, or need the client's secret.
fn is_asymmetric(algorithm: &Algorithm) -> bool {
    !matches!(
        algorithm,
        Algorithm::HmacSha256 | Algorithm::HmacSha384 | Algorithm::HmacSha512 | Algorithm::None
    )
}

/// The algorithm as documents spell it.
fn name(algorithm: &Algorithm) -> String {
    match serde_json::to_value(algorithm) {
        Ok(Value::String(name)) => name,
        _ => format!("{algorithm:?}"),
    }
}

/// The fewest bits of an RSA key that are accepted (RFC 7518 section 3.3).
const RSA_BITS: usize = 2048;

/// Describes a key: `Ok` when it can be used, else with the reason why not.
fn describe(key: &Value, advertised: &[&Algorithm]) -> Result<String, String> {
    let Ok(jwk) = serde_json::from_value::<Jwk>(key.clone()) else {
        return Err("an unreadable key".to_owned());
    };
    let (kind, is_strong) = measure(&jwk)?;
    match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => {}
        Some(PublicKeyUse::Encryption) => return Err(format!("{kind} for encryption")),
        Some(_) => return Err(format!("{kind} for another use")),
    }
    if !is_strong {
        return Err(format!("{kind} (too weak)"));
    }
    let declared = key.get("alg").and_then(Value::as_str);
    let fits = |algorithm: &&&Algorithm| {
        fits(&jwk.algorithm, algorithm) && declared.is_none_or(|declared| declared == name(algorithm))
    };
    match (advertised.iter().find(fits), declared) {
        (Some(_), _) => Ok(kind),
        (None, Some(declared)) => Err(format!("{kind} for {declared}")),
        (None, None) => Err(format!("{kind} (for no advertised algorithm)")),
    }
}

/// What the key is, and whether it is strong enough.
fn measure(jwk: &Jwk) -> Result<(String, bool), String> {
    let unreadable = |kind: &str| format!("{kind} that cannot be read");
    let decode = || DecodingKey::try_from(jwk).ok();
    match &jwk.algorithm {
        AlgorithmParameters::RSA(parameters) => match decode() {
            Some(_) => {
                let bits = bits(&parameters.n);
                Ok((format!("an RSA key of {bits} bits"), bits >= RSA_BITS))
            }
            None => Err(unreadable("an RSA key")),
        },
        AlgorithmParameters::EllipticCurve(parameters) => {
            let (curve, length) = match parameters.curve {
                EllipticCurve::P256 => ("P-256", 65),
                EllipticCurve::P384 => ("P-384", 97),
                EllipticCurve::P521 => ("P-521", 133),
                _ => return Err("an EC key on an unknown curve".to_owned()),
            };
            let kind = format!("an EC key on {curve}");
            if has_length(decode().as_ref(), length) { Ok((kind, true)) } else { Err(unreadable(&kind)) }
        }
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            let kind = "an Ed25519 key";
            if has_length(decode().as_ref(), 32) {
                Ok((kind.to_owned(), true))
            } else {
                Err(unreadable(kind))
            }
        }
        AlgorithmParameters::OctetKey(_) => Err("a symmetric key".to_owned()),
        _ => Err("a key of an unknown type".to_owned()),
    }
}

fn has_length(key: Option<&DecodingKey>, length: usize) -> bool {
    key.and_then(|key| key.try_get_as_bytes().ok()).is_some_and(|bytes| bytes.len() == length)
}

/// The bits of a big-endian number in base64url, of which each digit is six.
fn bits(number: &str) -> usize {
    let number = number.trim_end_matches('=');
    let written = number.len() * 6 / 8 * 8;
    let significant = number.trim_start_matches('A');
    let leading = match significant.bytes().next() {
        Some(b'B') => 5,
        Some(b'C' | b'D') => 4,
        Some(b'E'..=b'H') => 3,
        Some(b'I'..=b'P') => 2,
        Some(b'Q'..=b'Z' | b'a'..=b'f') => 1,
        _ => 0,
    };
    written.saturating_sub((number.len() - significant.len()) * 6 + leading)
}

/// Whether the key's type is the algorithm's (RFC 7518 section 3.1).
fn fits(key: &AlgorithmParameters, algorithm: &Algorithm) -> bool {
    match (key, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RsaSsaPkcs1V15Sha256
            | Algorithm::RsaSsaPkcs1V15Sha384
            | Algorithm::RsaSsaPkcs1V15Sha512
            | Algorithm::RsaSsaPssSha256
            | Algorithm::RsaSsaPssSha384
            | Algorithm::RsaSsaPssSha512,
        )
        | (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDsa) => true,
        (AlgorithmParameters::EllipticCurve(key), algorithm) => matches!(
            (&key.curve, algorithm),
            (EllipticCurve::P256, Algorithm::EcdsaP256Sha256)
                | (EllipticCurve::P384, Algorithm::EcdsaP384Sha384)
                | (EllipticCurve::P521, Algorithm::EcdsaP521Sha512)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(bits: usize) -> Value {
        // In base64url, `_` is six bits of ones and `A` six of zeros; 2048 bits are 341⅓ digits.
        json!({"kty": "RSA", "e": "AQAB", "n": "_".repeat(bits / 6) + ["", "", "w", "", "8"][bits % 6]})
    }

    fn with(mut key: Value, changes: &Value) -> Value {
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    }

    fn p256() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)})
    }

    #[test]
    fn accepts_keys_that_verify_an_advertised_algorithm() {
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)});
        for (key, algorithm) in [
            (rsa(2048), Algorithm::RsaSsaPkcs1V15Sha256),
            (with(rsa(4096), &json!({"use": "sig", "alg": "PS256"})), Algorithm::RsaSsaPssSha256),
            (p256(), Algorithm::EcdsaP256Sha256),
            (with(p256(), &json!({"alg": "ES256", "kid": "1", "x5c": ["MII"]})), Algorithm::EcdsaP256Sha256),
            (ed25519, Algorithm::EdDsa),
        ] {
            let keys = [json!({"kty": "from-the-future"}), json!("junk"), key.clone()];
            assert!(judge(&keys, &[Algorithm::HmacSha256, algorithm]).is_ok(), "{key}");
        }
    }

    #[test]
    fn says_what_it_saw_instead() {
        for (key, seen) in [
            (rsa(1024), "an RSA key of 1024 bits (too weak)"),
            (with(rsa(2048), &json!({"use": "enc"})), "an RSA key of 2048 bits for encryption"),
            (with(rsa(2048), &json!({"alg": "RS512"})), "an RSA key of 2048 bits for RS512"),
            (with(rsa(2048), &json!({"n": "ä"})), "an RSA key that cannot be read"),
            (with(p256(), &json!({"crv": "P-384"})), "an EC key on P-384 that cannot be read"),
            (p256(), "an EC key on P-256 (for no advertised algorithm)"),
            (json!({"kty": "oct", "k": "AAAA"}), "a symmetric key"),
            (json!({"kty": "from-the-future"}), "a key of an unknown type"),
            (json!(1), "an unreadable key"),
        ] {
            let problem = judge(&[key], &[Algorithm::RsaSsaPkcs1V15Sha256]).err().unwrap();
            assert_eq!(problem.reason, Reason::NoUsableKey);
            assert!(problem.message.contains(seen), "{}", problem.message);
            assert!(problem.message.contains("RS256"), "{}", problem.message);
        }
        let problem = judge(&[], &[Algorithm::None]).err().unwrap();
        assert!(problem.message.contains("no key at all"), "{}", problem.message);
    }

    #[test]
    fn counts_bits_without_leading_zeros() {
        // In hexadecimal: nothing, 00, 01, ff, 0100, 00ff00, 800000.
        for (number, expected) in
            [("", 0), ("AA", 0), ("AQ", 1), ("_w", 8), ("AQA", 9), ("AP8A", 16), ("gAAA", 24), ("gAAA==", 24)]
        {
            assert_eq!(bits(number), expected, "{number}");
        }
    }
}
