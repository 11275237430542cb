//! The keys that the issuer publishes: fetches them, judges their strength, and lists them in the status.

use url::Url;

use super::{JwtPlan, KeyRejection, TrustedKeys};
use crate::{
    api::{Reason, jwt_issuer::KeyStatus},
    engine::Checked,
    issuer::{self, Key, KeySet, UnsupportedKey, at, expect_encrypted},
    net::{HttpClient, Lasting, Recency},
    problem::{Problem, enumerate, quote},
};

/// The maximum number of keys. No issuer needs more, and a status has no room for more.
const LIMIT: usize = 100;

/// Fetches the key set from the URL that the discovery document names.
pub(super) async fn fetch(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    url: &Url,
    recency: Recency,
) -> Result<Checked<KeySet>, Problem> {
    expect_encrypted("jwks_uri", url, plan.settings.plaintext)?;
    let advice = || "Check the issuer's configuration of its keys";
    let fetched =
        Box::pin(issuer::fetch(http, plan.ca_bundle.as_ref(), url, (Lasting::Found, recency), advice)).await;
    let response = fetched.map_err(|problem| at("jwks_uri", &problem))?;
    let set = KeySet::read(&response.body, url)?;
    let count = set.keys.len() + set.others.len();
    let shown = quote(url.as_str());
    if count > LIMIT {
        return Err(Problem::new(
            Reason::InvalidDocument,
            format!(
                "{shown} has {count} keys, and at most {LIMIT} are read. Check that jwks_uri leads to the issuer's own key set, and remove keys that are no longer used."
            ),
        ));
    }
    let age = http.network.seen_within();
    // What holds for the issuer was told with its document.
    if url.scheme() == "http" && plan.settings.issuer.is_encrypted() {
        return Ok(Checked::warning(
            set,
            Reason::Unencrypted,
            format!(
                "{shown} has the keys, but without TLS anybody on the way can replace them, as spec.insecurePlaintext accepts. Give jwks_uri an https:// address.{age}"
            ),
        ));
    }
    Ok(Checked::passed(set, format!("{shown} has the keys.{age}")))
}

/// The keys for the status.
pub(super) fn status(set: &KeySet) -> Vec<KeyStatus> {
    let mut keys: Vec<_> = set.keys.iter().map(key_status).collect();
    // Some issuers list the keys in another order in each answer, but the status must stay the same.
    keys.sort_by(|one, other| (&one.kid, &one.algorithm).cmp(&(&other.kid, &other.algorithm)));
    keys
}

fn key_status(key: &Key) -> KeyStatus {
    KeyStatus {
        kid: quote(key.name()),
        algorithm: key.declared.as_deref().map_or_else(|| key.kind.key_type().to_owned(), quote),
        bits: key.kind.bits(),
        thumbprint: Some(key.thumbprint().to_owned()),
    }
}

/// Checks that at least one key can be trusted, and that no weak key is published beside it. `advertised` are the
/// algorithms of the issuer's document.
pub(super) fn strength(trusted: TrustedKeys<'_>, advertised: &[String]) -> Result<Checked, Problem> {
    let is_advertised = |key: &Key| advertised.iter().any(|algorithm| key.is_for(algorithm));
    let mut is_any_advertised = false;
    let accepted = trusted.algorithms();
    let mut usable = Vec::new();
    let mut doubtful = Vec::new();
    let mut weak = Vec::new();
    let mut others = Vec::new();
    for key in &trusted.set.keys {
        let words = |misfit: &KeyRejection| format!("{} ({} that {misfit})", key.name(), key.kind);
        match trusted.misfit(key) {
            None => match key.reservation(&accepted) {
                None => {
                    is_any_advertised |= is_advertised(key);
                    usable.push(format!("{} ({})", key.name(), key.kind));
                }
                Some(reservation) => doubtful.push(format!("{} ({} {reservation})", key.name(), key.kind)),
            },
            Some(misfit @ KeyRejection::Weak { .. }) => weak.push(words(&misfit)),
            Some(misfit) => others.push(words(&misfit)),
        }
    }
    for unsupported in &trusted.set.others {
        match unsupported {
            UnsupportedKey::Symmetric | UnsupportedKey::Private => weak.push(unsupported.to_string()),
            UnsupportedKey::UnknownType
            | UnsupportedKey::UnknownCurve
            | UnsupportedKey::OtherAlgorithm(_)
            | UnsupportedKey::TooLong
            | UnsupportedKey::Useless => others.push(unsupported.to_string()),
        }
    }
    // The message must not depend on the order in which the issuer lists its keys.
    for list in [&mut usable, &mut doubtful, &mut weak, &mut others] {
        list.sort_unstable();
    }
    let algorithms = enumerate(accepted);
    if usable.is_empty() && weak.is_empty() && !doubtful.is_empty() {
        return Ok(Checked::warning(
            (),
            Reason::NoUsableKey,
            format!(
                "The issuer publishes {}, but no key that is marked for signatures by {algorithms}. W&B Server ignores that mark, but it needs the key that the issuer signs with: try a token as a sample, and correct the key at the issuer.",
                enumerate(doubtful)
            ),
        ));
    }
    if !usable.is_empty() && weak.is_empty() && !is_any_advertised {
        return Ok(Checked::warning(
            (),
            Reason::NoUsableKey,
            format!(
                "The issuer publishes {}, but the signature algorithms of its discovery document are {} (id_token_signing_alg_values_supported; RS256 where there is none). W&B Server may accept only tokens that are signed by these: add the algorithm that the issuer signs with to its document.",
                enumerate(usable),
                enumerate(advertised)
            ),
        ));
    }
    usable.append(&mut doubtful);
    if !usable.is_empty() && weak.is_empty() {
        return Ok(Checked::passed((), format!("The issuer publishes {}.", enumerate(usable))));
    }
    if !usable.is_empty() {
        return Ok(Checked::warning(
            (),
            Reason::WeakKey,
            format!(
                "The issuer publishes {}, but also {}: whoever has such a key can make tokens that W&B Server may accept. Remove it at the issuer.",
                enumerate(usable),
                enumerate(weak)
            ),
        ));
    }
    let reason = if weak.is_empty() { Reason::NoUsableKey } else { Reason::WeakKey };
    weak.append(&mut others);
    let seen = if weak.is_empty() { "no key at all".to_owned() } else { enumerate(weak) };
    Err(Problem::new(
        reason,
        format!(
            "The issuer publishes {seen}, but a signing key for {algorithms} is needed, RSA with at least {} bits. Add one at the issuer, or change spec.keys.",
            trusted.policy.minimum_rsa_bits
        ),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_support::tokens::{SigningKey, base64url, weak_jwk};

    use super::*;
    use crate::{
        api::{CheckName, CheckResult, jwt_issuer::KeyPolicy},
        engine::Report,
        sensitive::Redactor,
    };

    fn judged(keys: &[Value]) -> (CheckResult, Reason, String) {
        let (set, policy) = (KeySet::of(keys).unwrap(), KeyPolicy::default());
        let mut report = Report::new(Vec::new(), Redactor::default());
        let advertised = ["RS256", "ES256"].map(str::to_owned);
        let trusted = TrustedKeys { set: &set, policy: &policy };
        report.record(CheckName::KeysStrong, strength(trusted, &advertised));
        let finding = report.finish().list.remove(0);
        (finding.result, finding.reason, finding.message.into())
    }

    fn with(mut key: Value, changes: &Value) -> Value {
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    }

    #[test]
    fn one_strong_key_is_enough_and_a_weak_one_is_told() {
        let strong = SigningKey::p256("strong").unwrap().jwk().unwrap();
        let other = SigningKey::p384("p384").unwrap().jwk().unwrap();
        let symmetric = json!({ "kty": "oct", "k": "AAAA" });
        let private = with(strong.clone(), &json!({ "d": base64url([1; 32]) }));
        let encryption = with(strong.clone(), &json!({ "use": "enc" }));
        for (keys, result, reason, words) in [
            (vec![strong.clone()], CheckResult::Passed, Reason::Passed, "strong (an EC key on P-256)"),
            (
                vec![strong.clone(), other.clone(), json!({"kty": "x"})],
                CheckResult::Passed,
                Reason::Passed,
                "strong",
            ),
            (vec![weak_jwk(), strong.clone()], CheckResult::Warning, Reason::WeakKey, "1024 bits"),
            (vec![strong.clone(), symmetric.clone()], CheckResult::Warning, Reason::WeakKey, "symmetric"),
            (vec![strong.clone(), private], CheckResult::Warning, Reason::WeakKey, "private half"),
            (vec![weak_jwk(), other.clone()], CheckResult::Failed, Reason::WeakKey, "shorter than 2048"),
            (vec![symmetric], CheckResult::Failed, Reason::WeakKey, "symmetric"),
            (vec![other], CheckResult::Failed, Reason::NoUsableKey, "none of the accepted algorithms"),
            (vec![encryption.clone()], CheckResult::Warning, Reason::NoUsableKey, "for encryption"),
            (vec![encryption, strong.clone()], CheckResult::Passed, Reason::Passed, "strong"),
            (vec![], CheckResult::Failed, Reason::NoUsableKey, "no key at all"),
        ] {
            let (seen, why, message) = judged(&keys);
            assert_eq!((seen, why), (result, reason), "{message}");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn keys_for_algorithms_that_the_document_does_not_name_are_a_warning() {
        let keys = [SigningKey::p256("strong").unwrap().jwk().unwrap()];
        let (set, policy) = (KeySet::of(&keys).unwrap(), KeyPolicy::default());
        let trusted = TrustedKeys { set: &set, policy: &policy };
        for (advertised, result) in [("RS256", CheckResult::Warning), ("ES256", CheckResult::Passed)] {
            let mut report = Report::new(Vec::new(), Redactor::default());
            report.record(CheckName::KeysStrong, strength(trusted, &[advertised.to_owned()]));
            let finding = report.finish().list.remove(0);
            assert_eq!(finding.result, result, "{}", finding.message);
        }
    }

    #[test]
    fn the_status_has_every_public_key() {
        let keys = [
            with(SigningKey::p384("z").unwrap().jwk().unwrap(), &json!({ "alg": null })),
            weak_jwk(),
            SigningKey::ed25519("a\nb").unwrap().jwk().unwrap(),
            json!({ "kty": "oct", "k": "AAAA" }),
        ];
        let told: Vec<_> = status(&KeySet::of(&keys).unwrap())
            .into_iter()
            .map(|key| format!("{} {} {}", key.kid, key.algorithm, key.bits))
            .collect();
        assert_eq!(told, ["a b EdDSA 256", "weak RS256 1024", "z EC 384"]);
    }
}
