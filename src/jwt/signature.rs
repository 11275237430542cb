//! The rule Signature: a trusted key of the issuer must verify the token.

use super::{Token, TrustedKeys};
use crate::{
    api::{Reason, jwt_issuer::Algorithm},
    issuer::Key,
    problem::{Problem, enumerate, quote},
};

/// Checks that a trusted key made the token's signature.
pub(super) fn verify(token: &Token<'_>, trusted: TrustedKeys<'_>) -> Result<(), Problem> {
    let header = &token.header;
    if header.is_critical {
        return invalid(
            "The token's header requires extensions (crit) that W&B Server does not know. Configure the issuer to leave them out.",
        );
    }
    let algorithm = trusted_algorithm(&header.algorithm, trusted)?;
    let kid = header.kid.as_ref().filter(|kid| !kid.is_empty());
    let candidates = match kid {
        Some(kid) => named(kid, trusted)?,
        None => trusted.set.keys.iter().collect(),
    };
    let fitting: Vec<_> =
        candidates.iter().filter(|key| trusted.misfit(key).is_none() && key.is_for(&algorithm)).collect();
    if fitting.iter().any(|key| key.verifies(&algorithm, token.message, token.signature)) {
        return Ok(());
    }
    let names = enumerate(fitting.iter().map(|key| key.name()));
    match (fitting.is_empty(), kid) {
        (true, Some(kid)) => invalid(format!(
            "The token is signed with {algorithm} by the key \"{}\", but the published one {}.",
            quote(kid),
            enumerate(candidates.iter().map(|key| mismatch(key, &algorithm, trusted)))
        )),
        (true, None) => invalid(format!(
            "The token is signed with {algorithm} and names no key, but the issuer publishes no trusted key for that algorithm."
        )),
        (false, _) => invalid(format!(
            "No published key ({names}) verifies the token's signature. Check that the token is whole and unchanged."
        )),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(Reason::SignatureInvalid, message))
}

/// The algorithm in the token's header, if the spec accepts it. The header alone must not decide, because anybody
/// can write it.
fn trusted_algorithm(stated: &str, trusted: TrustedKeys<'_>) -> Result<String, Problem> {
    if stated.eq_ignore_ascii_case("none") {
        return invalid(
            "The token is not signed (alg: none), so anybody could have made it. Configure the issuer to sign it.",
        );
    }
    if stated.starts_with("HS") {
        return invalid(format!(
            "The token is signed with a shared secret ({}), which no published key can verify. Configure the issuer to sign with {}.",
            quote(stated),
            list(trusted)
        ));
    }
    match stated.parse::<Algorithm>() {
        Ok(algorithm) if trusted.policy.algorithms.contains(&algorithm) => Ok(algorithm.to_string()),
        _ => invalid(format!(
            "The token is signed with {}, but expected is one of {}.",
            quote(stated),
            list(trusted)
        )),
    }
}

fn list(trusted: TrustedKeys<'_>) -> String {
    enumerate(trusted.policy.algorithms.iter().map(ToString::to_string))
}

fn named<'a>(kid: &str, trusted: TrustedKeys<'a>) -> Result<Vec<&'a Key>, Problem> {
    let keys: Vec<_> = trusted.set.keys.iter().filter(|key| key.kid.as_deref() == Some(kid)).collect();
    if !keys.is_empty() {
        return Ok(keys);
    }
    let known = enumerate(trusted.set.keys.iter().map(Key::name));
    invalid(format!(
        "The token names the key \"{}\", but the issuer publishes {known}. Make a new token if the issuer has replaced its keys since.",
        quote(kid)
    ))
}

fn mismatch(key: &Key, algorithm: &str, trusted: TrustedKeys<'_>) -> String {
    match trusted.misfit(key) {
        Some(misfit) => format!("is {} and {misfit}", key.kind),
        None => format!("is {} and not for {algorithm}", key.kind),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use test_support::tokens::{SigningKey, base64url, hs256, unsigned, weak_jwk, weak_token};

    use super::*;
    use crate::{api::jwt_issuer::KeyPolicy, issuer::KeySet};

    static RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::rsa("rsa").unwrap());

    fn claims() -> Value {
        json!({ "sub": "ci@example.org" })
    }

    fn policy(changes: &Value) -> KeyPolicy {
        serde_json::from_value(changes.clone()).unwrap()
    }

    fn judge(token: &str, keys: &[Value], policy: &KeyPolicy) -> Result<(), Problem> {
        let set = KeySet::of(keys).unwrap();
        verify(&Token::read(token).unwrap(), TrustedKeys { set: &set, policy })
    }

    #[track_caller]
    fn assert_refused(token: &str, keys: &[Value], policy: &KeyPolicy, words: &[&str]) {
        let problem = judge(token, keys, policy).unwrap_err();
        assert_eq!(problem.reason, Reason::SignatureInvalid);
        for word in words {
            assert!(problem.message.contains(word), "{word:?} is not in: {}", problem.message);
        }
    }

    fn with(mut key: Value, changes: &Value) -> Value {
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    }

    #[test]
    fn every_algorithm_verifies() {
        let algorithms =
            ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
        let policy = policy(&json!({ "algorithms": algorithms }));
        for algorithm in algorithms {
            let key = match algorithm {
                "ES256" => SigningKey::p256("key"),
                "ES384" => SigningKey::p384("key"),
                "ES512" => SigningKey::p521("key"),
                "EdDSA" => SigningKey::ed25519("key"),
                _ => SigningKey::rsa("key").and_then(|key| key.signing_with(algorithm)),
            };
            let key = key.unwrap();
            let keys = [RSA.jwk().unwrap(), key.jwk().unwrap()];
            assert_eq!(judge(&key.sign(&claims()).unwrap(), &keys, &policy), Ok(()), "{algorithm}");
            // The header need not name the key.
            let header = json!({ "alg": algorithm });
            let token = key.sign_with(&header, &claims()).unwrap();
            assert_eq!(judge(&token, &keys, &policy), Ok(()), "{algorithm}");
        }
    }

    #[test]
    fn tokens_without_a_signature_of_a_key_are_refused() {
        let (keys, policy) = ([RSA.jwk().unwrap()], KeyPolicy::default());
        for algorithm in ["none", "None", "NONE"] {
            let header = json!({ "alg": algorithm, "kid": "rsa" });
            assert_refused(&unsigned(&header, &claims()), &keys, &policy, &["not signed"]);
        }
        // These tokens are signed with the public key as the secret, which everybody knows.
        let header = json!({ "alg": "HS256", "kid": "rsa" });
        let modulus = keys[0]["n"].as_str().unwrap();
        for secret in [modulus.to_owned(), keys[0].to_string()] {
            let token = hs256(secret.as_bytes(), &header, &claims()).unwrap();
            assert_refused(&token, &keys, &policy, &["shared secret", "RS256, ES256"]);
            let symmetric = json!({ "kty": "oct", "kid": "rsa", "alg": "HS256", "k": base64url(secret) });
            assert_refused(&token, &[symmetric], &policy, &["shared secret"]);
        }
    }

    #[test]
    fn only_trusted_algorithms_count() {
        let keys = [RSA.jwk().unwrap()];
        let token = RSA.sign(&claims()).unwrap();
        assert_eq!(judge(&token, &keys, &KeyPolicy::default()), Ok(()));
        let other = policy(&json!({ "algorithms": ["ES256"] }));
        assert_refused(&token, &keys, &other, &["signed with RS256", "expected is one of ES256"]);
        let header = json!({ "alg": "from-the-future", "kid": "rsa" });
        assert_refused(
            &RSA.sign_with(&header, &claims()).unwrap(),
            &keys,
            &KeyPolicy::default(),
            &["from-the-future"],
        );
        // An algorithm for elliptic curves in the header does not make an RSA key suitable for it.
        let header = json!({ "alg": "ES256", "kid": "rsa" });
        let token = RSA.sign_with(&header, &claims()).unwrap();
        let words = ["is an RSA key of 2048 bits and not for ES256"];
        assert_refused(&token, &keys, &KeyPolicy::default(), &words);
    }

    #[test]
    fn keys_that_are_not_to_be_trusted_verify_nothing() {
        let (key, token) = (RSA.jwk().unwrap(), RSA.sign(&claims()).unwrap());
        let default = KeyPolicy::default();
        // W&B Server ignores keys for algorithms that do not sign ID tokens.
        let encrypting = with(key.clone(), &json!({ "alg": "RSA-OAEP" }));
        assert_refused(&token, &[encrypting], &default, &["publishes none"]);
        // W&B Server ignores other declarations of a key about its use.
        for changes in [
            json!({ "use": "enc" }),
            json!({ "use": "tls" }),
            json!({ "key_ops": ["encrypt"] }),
            json!({ "key_ops": ["verify"] }),
            json!({ "alg": "RS512" }),
        ] {
            assert_eq!(judge(&token, &[with(key.clone(), &changes)], &default), Ok(()), "{changes}");
        }
        let long = policy(&json!({ "minimumRSABits": 3072 }));
        assert_refused(&token, &[key], &long, &["2048 bits", "shorter than 3072"]);
        assert_refused(&weak_token(), &[weak_jwk()], &default, &["1024 bits", "shorter than 2048"]);
    }

    #[test]
    fn the_named_key_and_no_other_has_to_verify() {
        let other = SigningKey::rsa("other").unwrap();
        let policy = KeyPolicy::default();
        let token = RSA.sign(&claims()).unwrap();
        let known = [other.jwk().unwrap(), with(RSA.jwk().unwrap(), &json!({ "kid": "renamed" }))];
        assert_refused(&token, &known, &policy, &["the key \"rsa\"", "publishes other, renamed"]);
        assert_refused(&token, &[], &policy, &["publishes none"]);
        let swapped = [with(other.jwk().unwrap(), &json!({ "kid": "rsa" }))];
        assert_refused(&token, &swapped, &policy, &["(rsa) verifies"]);
        let header = json!({ "alg": "RS256" });
        let nameless = RSA.sign_with(&header, &claims()).unwrap();
        assert_refused(&nameless, &swapped, &policy, &["(rsa) verifies"]);
        assert_refused(&nameless, &[], &policy, &["names no key"]);
    }

    #[test]
    fn demands_of_the_header_are_refused() {
        let header = json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false });
        let token = RSA.sign_with(&header, &claims()).unwrap();
        assert_refused(&token, &[RSA.jwk().unwrap()], &KeyPolicy::default(), &["crit"]);
    }

    #[test]
    fn keys_in_the_header_are_not_believed() {
        let stranger = SigningKey::rsa("rsa").unwrap();
        let header = json!({ "alg": "RS256", "jwk": stranger.jwk().unwrap(), "jku": "https://evil.example" });
        let token = stranger.sign_with(&header, &claims()).unwrap();
        assert_refused(&token, &[RSA.jwk().unwrap()], &KeyPolicy::default(), &["(rsa) verifies"]);
    }

    proptest! {
        #[test]
        fn a_changed_signature_is_refused(position in any::<prop::sample::Index>(), letter in "[-_a-zA-Z0-9]") {
            static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::p256("key").unwrap());
            let token = KEY.sign(&claims()).unwrap();
            let begin = token.rfind('.').unwrap() + 1;
            let at = begin + position.index(token.len() - begin);
            let mut changed = token.clone();
            changed.replace_range(at..=at, &letter);
            let judged = judge(&changed, &[KEY.jwk().unwrap()], &KeyPolicy::default());
            prop_assert_eq!(judged.is_ok(), changed == token);
        }
    }
}
