//! The keys that the provider publishes for its signatures.

use super::{
    OidcPlan,
    discovery::{ProviderMetadata, SHARED},
};
use crate::{
    api::Reason,
    engine::Checked,
    issuer::{Key, KeyKind, KeySet, at, fetch},
    net::HttpClient,
    problem::{Problem, enumerate},
};

/// Whether at least one published key can verify signatures of an advertised algorithm.
pub(super) async fn check(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    metadata: &ProviderMetadata,
) -> Result<Checked, Problem> {
    let keys = read(plan, http, metadata).await?;
    judge(&keys, &metadata.document.algorithms, &http.network.seen_within())
}

/// The keys that the document leads to.
pub(super) async fn read(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    metadata: &ProviderMetadata,
) -> Result<KeySet, Problem> {
    let url = &metadata.document.jwks_uri;
    let advice = || "Check the provider's configuration of its keys";
    let response = fetch(http, plan.ca_bundle.as_ref(), url, SHARED, advice)
        .await
        .map_err(|problem| at("jwks_uri", &problem))?;
    KeySet::read(&response.body, url)
}

/// The age is what is to be told of it beside the keys.
fn judge(set: &KeySet, advertised: &[String], age: &str) -> Result<Checked, Problem> {
    let (fitting, others): (Vec<_>, Vec<_>) =
        set.keys.iter().partition(|key| advertised.iter().any(|algorithm| key.is_for(algorithm)));
    let algorithms = enumerate(advertised);
    if fitting.is_empty() {
        let others = others.iter().map(|key| format!("{} (for no advertised algorithm)", key.kind));
        let seen: Vec<_> = others.chain(set.others.iter().map(ToString::to_string)).collect();
        let seen = if seen.is_empty() { "no key at all".to_owned() } else { enumerate(seen) };
        return Err(Problem::new(
            Reason::NoUsableKey,
            format!(
                "The provider publishes {seen}, but W&B needs a signing key for one of its ID token algorithms ({algorithms}). Add one at the provider.",
            ),
        ));
    }
    let (doubtful, good): (Vec<_>, Vec<_>) =
        fitting.into_iter().partition(|key| key.reservation(advertised).is_some());
    let (weak, strong): (Vec<_>, Vec<_>) = good.into_iter().partition(|key| is_weak(key));
    let kinds = |keys: &[&Key]| enumerate(keys.iter().map(|key| key.kind.to_string()));
    if !strong.is_empty() {
        return Ok(Checked::passed((), format!("The provider publishes {}.{age}", kinds(&strong))));
    }
    // W&B Server would verify signatures of all these keys.
    if !weak.is_empty() {
        return Ok(Checked::warning(
            (),
            Reason::WeakKey,
            format!(
                "The provider publishes {} (too weak), with which others may make tokens that W&B accepts. Replace it by one of at least {RSA_BITS} bits.{age}",
                kinds(&weak)
            ),
        ));
    }
    let doubtful =
        doubtful.iter().filter_map(|key| Some(format!("{} {}", key.kind, key.reservation(advertised)?)));
    Ok(Checked::warning(
        (),
        Reason::NoUsableKey,
        format!(
            "The provider publishes {}, but no key that is marked for signatures by {algorithms}. W&B ignores that mark, but it needs the key that the provider signs with. Try a login (wandb-auth-operator login), and add a signing key at the provider if it fails.{age}",
            enumerate(doubtful)
        ),
    ))
}

/// The fewest bits that an RSA key should have (RFC 7518 section 3.3).
const RSA_BITS: u32 = 2048;

fn is_weak(key: &Key) -> bool {
    matches!(key.kind, KeyKind::Rsa { bits } if bits < RSA_BITS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_support::tokens::{SigningKey, weak_jwk};

    use super::*;
    use crate::{
        api::{CheckName, CheckResult},
        engine::Report,
        sensitive::Redactor,
    };

    fn with(mut key: Value, changes: &Value) -> Value {
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    }

    fn bare(key: &SigningKey) -> Value {
        let mut jwk = key.jwk().unwrap();
        jwk.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "alg" | "use" | "kid"));
        jwk
    }

    fn judged(keys: &[Value], algorithms: &[&str]) -> (CheckResult, Reason, String) {
        let algorithms: Vec<_> = algorithms.iter().map(|name| (*name).to_owned()).collect();
        let mut report = Report::new(Vec::new(), Redactor::default());
        report.record(CheckName::SigningKeys, judge(&KeySet::of(keys).unwrap(), &algorithms, ""));
        let finding = report.finish().list.remove(0);
        (finding.result, finding.reason, finding.message.into())
    }

    #[test]
    fn accepts_keys_that_verify_an_advertised_algorithm() {
        let rsa = || bare(&SigningKey::rsa("a").unwrap());
        let p256 = || bare(&SigningKey::p256("a").unwrap());
        for (key, algorithm) in [
            (rsa(), "RS256"),
            (with(rsa(), &json!({ "use": "sig", "alg": "PS256", "key_ops": ["verify"] })), "PS256"),
            (p256(), "ES256"),
            (with(p256(), &json!({ "alg": "ES256", "kid": "1" })), "ES256"),
            (bare(&SigningKey::p521("a").unwrap()), "ES512"),
            (bare(&SigningKey::ed25519("a").unwrap()), "EdDSA"),
        ] {
            let keys = [json!({ "kty": "from-the-future" }), key.clone()];
            let (result, _, message) = judged(&keys, &["RS384", algorithm]);
            assert_eq!(result, CheckResult::Passed, "{key}: {message}");
        }
    }

    #[test]
    fn says_what_it_saw_instead() {
        let rsa = || bare(&SigningKey::rsa("a").unwrap());
        let warning = CheckResult::Warning;
        for (key, result, reason, seen) in [
            (weak_jwk(), warning, Reason::WeakKey, "an RSA key of 1024 bits (too weak)"),
            (
                with(rsa(), &json!({ "use": "enc" })),
                warning,
                Reason::NoUsableKey,
                "an RSA key of 2048 bits for encryption",
            ),
            (
                with(rsa(), &json!({ "key_ops": ["encrypt"] })),
                warning,
                Reason::NoUsableKey,
                "for another use",
            ),
            (
                with(rsa(), &json!({ "alg": "RS512" })),
                warning,
                Reason::NoUsableKey,
                "an RSA key of 2048 bits for RS512",
            ),
            (
                bare(&SigningKey::p256("a").unwrap()),
                CheckResult::Failed,
                Reason::NoUsableKey,
                "an EC key on P-256 (for no advertised algorithm)",
            ),
            (
                json!({ "kty": "oct", "k": "AAAA" }),
                CheckResult::Failed,
                Reason::NoUsableKey,
                "a symmetric key",
            ),
            (
                json!({ "kty": "from-the-future" }),
                CheckResult::Failed,
                Reason::NoUsableKey,
                "a key of an unknown type",
            ),
            (
                with(rsa(), &json!({ "alg": "RSA-OAEP" })),
                CheckResult::Failed,
                Reason::NoUsableKey,
                "a key for RSA-OAEP",
            ),
        ] {
            let judged = judged(&[key], &["RS256"]);
            assert_eq!((judged.0, judged.1), (result, reason), "{}", judged.2);
            assert!(judged.2.contains(seen), "{}", judged.2);
        }
        let (_, _, message) = judged(&[], &["RS256"]);
        assert!(message.contains("no key at all") && message.contains("RS256"), "{message}");
    }
}
