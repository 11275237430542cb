//! The keys that the provider publishes for its signatures.

use openidconnect::core::CoreJwsSigningAlgorithm as Algorithm;
use serde_json::Value;

use super::discovery::Metadata;
use crate::{
    api::Reason,
    engine::Checked,
    issuer::{Key, KeyKind, KeySet, Purpose, at, expect_ok},
    net::{HttpClient, HttpRequest},
    problem::{Problem, enumerate},
};

/// Whether at least one published key can verify signatures of an advertised algorithm.
pub(super) async fn check(http: HttpClient<'_>, metadata: &Metadata) -> Result<Checked, Problem> {
    let url = metadata.jwks_uri().url();
    let response =
        http.send(HttpRequest::get(url.clone())).await.map_err(|problem| at("jwks_uri", &problem))?;
    let advice = || "Check the provider's configuration of its keys";
    expect_ok(&response, url, &http.network.egress, advice)?;
    let keys = KeySet::read(&response.body, url)?;
    judge(&keys, metadata.id_token_signing_alg_values_supported())
}

fn judge(set: &KeySet, advertised: &[Algorithm]) -> Result<Checked, Problem> {
    let advertised: Vec<_> =
        advertised.iter().filter(|algorithm| is_asymmetric(algorithm)).map(name).collect();
    let mut usable = Vec::new();
    let mut others: Vec<_> = set.others.iter().map(ToString::to_string).collect();
    for key in &set.keys {
        match objection(key, &advertised) {
            None => usable.push(key.kind.to_string()),
            Some(objection) => others.push(format!("{} {objection}", key.kind)),
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
            enumerate(advertised)
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
const RSA_BITS: u32 = 2048;

/// Why a key cannot be used.
fn objection(key: &Key, advertised: &[String]) -> Option<String> {
    match (key.purpose, key.kind) {
        (Purpose::Encryption, _) => return Some("for encryption".to_owned()),
        (Purpose::Other, _) => return Some("for another use".to_owned()),
        (Purpose::Signatures, KeyKind::Rsa { bits }) if bits < RSA_BITS => {
            return Some("(too weak)".to_owned());
        }
        (Purpose::Signatures, _) => {}
    }
    if advertised.iter().any(|algorithm| key.is_for(algorithm)) {
        return None;
    }
    Some(match &key.declared {
        Some(declared) => format!("for {declared}"),
        None => "(for no advertised algorithm)".to_owned(),
    })
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
            assert!(judge(&keys.iter().collect(), &[Algorithm::HmacSha256, algorithm]).is_ok(), "{key}");
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
            (with(rsa(2048), &json!({"d": "AAAA"})), "a key whose private half is published"),
            (json!(1), "an unreadable key"),
        ] {
            let problem =
                judge(&[&key].into_iter().collect(), &[Algorithm::RsaSsaPkcs1V15Sha256]).err().unwrap();
            assert_eq!(problem.reason, Reason::NoUsableKey);
            assert!(problem.message.contains(seen), "{}", problem.message);
            assert!(problem.message.contains("RS256"), "{}", problem.message);
        }
        let problem = judge(&[].into_iter().collect(), &[Algorithm::None]).err().unwrap();
        assert!(problem.message.contains("no key at all"), "{}", problem.message);
    }
}
