//! Parses the spec into types that cannot express invalid settings.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Audiences, Claims};
use crate::{
    api::{
        self, JwtIssuerSpec,
        jwt_issuer::{KeyPolicy, TokenExpectation, TokenRule},
    },
    instance::BaseUrl,
    issuer::{self, Issuer, Plaintext},
    problem::{Problem, quote, quote_exactly},
};

/// A valid spec.
pub struct JwtSettings {
    /// The issuer, exactly as it was written.
    pub issuer: Issuer,
    /// Whether issuer endpoints without TLS are accepted.
    pub plaintext: Plaintext,
    /// The audiences that are published.
    pub listed_audiences: Vec<String>,
    /// The audiences that W&B Server accepts with the published values.
    pub audiences: Audiences,
    /// The requirements for trusted signing keys.
    pub keys: KeyPolicy,
    /// The samples. The token of a sample is represented by the field of the spec that refers to it.
    pub samples: Vec<Sample<String>>,
    /// The W&B Server at which tokens are exchanged.
    pub instance: Option<BaseUrl>,
    /// The time limit of all checks together.
    pub time_limit: Duration,
}

/// A token or claims, with the expected result of judging them.
#[derive(Clone)]
pub struct Sample<T> {
    /// The name of the sample in the spec.
    pub name: Arc<str>,
    /// The token or claims to judge.
    pub proof: SampleProof<T>,
    /// The expected result.
    pub expect: TokenExpectation,
}

/// What a sample consists of.
#[derive(Clone)]
pub enum SampleProof<T> {
    /// A signed token.
    Token(T),
    /// Claims without a signature.
    Claims(Claims),
}

impl JwtSettings {
    /// Judges the spec by itself, and tells every field that is wrong. The schema's rules are repeated here, since `check` has no API server.
    pub fn parse(spec: &JwtIssuerSpec) -> Result<Self, Problem> {
        let plaintext = Plaintext::from(spec.insecure_plaintext);
        let risk = "keys travel unencrypted, so anybody on the way can replace them";
        let issuer = issuer::validate(&spec.issuer, plaintext, risk);
        let instance = spec.instance.as_ref().map(BaseUrl::parse).transpose();
        let listed_audiences = audiences(spec);
        let algorithms = algorithms(spec);
        let samples = samples(spec);
        let protected = match (&issuer, &instance) {
            (Ok(issuer), Ok(instance)) => tls(spec, issuer, instance.as_ref()),
            _ => Ok(()),
        };
        let problems = [
            issuer.as_ref().err(),
            instance.as_ref().err(),
            listed_audiences.as_ref().err(),
            algorithms.as_ref().err(),
            samples.as_ref().err(),
            protected.as_ref().err(),
        ];
        Problem::all(problems.into_iter().flatten().cloned())?;
        let listed_audiences = listed_audiences?;
        Ok(Self {
            plaintext,
            audiences: accepted_audiences(spec, &listed_audiences),
            listed_audiences,
            keys: spec.keys.clone(),
            samples: samples?,
            instance: instance?,
            time_limit: spec.common.check_timeout.get(),
            issuer: issuer?,
        })
    }
}

/// The field of the spec that refers to the token of a sample.
pub(super) fn token_field(sample: &str) -> String {
    format!("spec.samples[{sample}].tokenSecretRef")
}

fn algorithms(spec: &JwtIssuerSpec) -> Result<(), Problem> {
    if spec.keys.algorithms.is_empty() {
        return Problem::invalid_spec("spec.keys.algorithms must name at least one algorithm");
    }
    Ok(())
}

fn tls(spec: &JwtIssuerSpec, issuer: &Issuer, instance: Option<&BaseUrl>) -> Result<(), Problem> {
    let is_encrypted = issuer.is_encrypted() || instance.is_some_and(BaseUrl::is_encrypted);
    if spec.common.tls.is_some() && !is_encrypted {
        return Problem::invalid_spec("spec.tls has no effect without an https:// URL");
    }
    Ok(())
}

fn audiences(spec: &JwtIssuerSpec) -> Result<Vec<String>, Problem> {
    let audiences: Vec<_> = spec.audiences.iter().map(|audience| audience.0.clone()).collect();
    if audiences.is_empty() && !spec.skip_audience_validation {
        return Problem::invalid_spec(
            "spec.audiences must name at least one audience; set skipAudienceValidation: true only if tokens for any audience are to be accepted",
        );
    }
    if let Some(unusable) = audiences.iter().find(|audience| !is_audience(audience)) {
        return Problem::invalid_spec(format!(
            "spec.audiences has \"{}\", but an audience is a text without commas, and without white space at its ends: a comma separates audiences in the published value",
            quote_exactly(unusable)
        ));
    }
    if audiences.iter().collect::<BTreeSet<_>>().len() < audiences.len() {
        return Problem::invalid_spec("spec.audiences must name each audience once");
    }
    Ok(audiences)
}

/// A self-managed W&B Server accepts this audience in addition to those of the spec.
const OWN_AUDIENCE: &str = "wandb";

/// The audiences that W&B Server accepts with these values.
fn accepted_audiences(spec: &JwtIssuerSpec, listed: &[String]) -> Audiences {
    if spec.skip_audience_validation {
        return Audiences::Any;
    }
    let own = (!listed.iter().any(|audience| audience == OWN_AUDIENCE)).then(|| OWN_AUDIENCE.to_owned());
    Audiences::OneOf(listed.iter().cloned().chain(own).collect())
}

fn is_audience(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(',')
}

fn samples(spec: &JwtIssuerSpec) -> Result<Vec<Sample<String>>, Problem> {
    let names: BTreeSet<_> = spec.samples.iter().map(|sample| &sample.name).collect();
    if names.len() < spec.samples.len() {
        return Problem::invalid_spec("spec.samples must have each name once");
    }
    spec.samples.iter().map(sample).collect()
}

fn sample(sample: &api::jwt_issuer::SampleSpec) -> Result<Sample<String>, Problem> {
    let name = quote(&sample.name);
    if sample.expect.valid && sample.expect.rule.is_some() {
        return Problem::invalid_spec(format!(
            "The sample {name} in spec.samples names the rule that refuses it, so it needs valid: false"
        ));
    }
    let proof = match (&sample.token_secret_ref, &sample.claims) {
        (Some(_), None) => SampleProof::Token(token_field(&sample.name)),
        (None, Some(_)) if sample.expect.rule == Some(TokenRule::Signature) => {
            return Problem::invalid_spec(format!(
                "The sample {name} in spec.samples has claims and no signature, so the rule Signature cannot refuse it"
            ));
        }
        (None, Some(claims)) => SampleProof::Claims(claims.clone().into()),
        _ => {
            return Problem::invalid_spec(format!(
                "The sample {name} in spec.samples must have exactly one of tokenSecretRef and claims"
            ));
        }
    };
    Ok(Sample { name: sample.name.as_str().into(), proof, expect: sample.expect.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;

    fn parse(changes: &Value) -> Result<JwtSettings, Problem> {
        let mut spec = json!({ "issuer": "https://token.example.com", "audiences": ["my-org"] });
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        JwtSettings::parse(&serde_json::from_value(spec).unwrap())
    }

    fn sample(changes: &Value) -> Value {
        let mut sample = json!({ "name": "ci", "expect": { "valid": false } });
        sample.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "samples": [sample] })
    }

    #[test]
    fn takes_the_defaults() {
        let settings = parse(&json!({})).ok().unwrap();
        assert_eq!(settings.audiences, Audiences::OneOf(vec!["my-org".to_owned(), "wandb".to_owned()]));
        assert_eq!(settings.keys, KeyPolicy::default());
        assert!(settings.samples.is_empty() && settings.instance.is_none());
        let any = parse(&json!({ "audiences": [], "skipAudienceValidation": true })).ok().unwrap();
        assert_eq!(any.audiences, Audiences::Any);
    }

    #[test]
    fn every_rule_of_the_schema_has_its_sentence() {
        let token = json!({ "name": "t", "key": "k" });
        for (changes, word) in [
            (json!({ "issuer": "token.example.com" }), "spec.issuer is"),
            (json!({ "issuer": "http://token.example.com" }), "anybody on the way can replace them"),
            (json!({ "issuer": "https://a.example/.well-known/oidc-configuration" }), "well-known"),
            (json!({ "audiences": [] }), "at least one audience"),
            (json!({ "audiences": ["a,b"] }), "without commas"),
            (json!({ "audiences": [" a"] }), "white space"),
            (json!({ "audiences": [""] }), "an audience is"),
            (json!({ "audiences": ["a", "a"] }), "each audience once"),
            (json!({ "keys": { "algorithms": [] } }), "at least one algorithm"),
            (json!({ "instance": { "baseURL": "wandb" } }), "spec.instance.baseURL is"),
            (json!({ "instance": { "baseURL": "http://wandb.example.com" } }), "insecurePlaintext"),
            (
                json!({ "issuer": "http://a.example", "insecurePlaintext": true, "tls": { "caBundle": {} } }),
                "no effect",
            ),
            (sample(&json!({})), "exactly one of"),
            (sample(&json!({ "claims": {}, "tokenSecretRef": token })), "exactly one of"),
            (sample(&json!({ "claims": {}, "expect": { "valid": true, "rule": "Issuer" } })), "valid: false"),
            (
                sample(&json!({ "claims": {}, "expect": { "valid": false, "rule": "Signature" } })),
                "no signature",
            ),
            (
                json!({ "samples": [
                    { "name": "a", "claims": {}, "expect": { "valid": false } },
                    { "name": "a", "claims": {}, "expect": { "valid": false } },
                ] }),
                "each name once",
            ),
        ] {
            let problem = parse(&changes).err().unwrap();
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }

    #[test]
    fn tls_counts_for_the_instance_alone_too() {
        let changes = json!({
            "issuer": "http://a.example",
            "insecurePlaintext": true,
            "instance": { "baseURL": "https://wandb.example.com" },
            "tls": { "caBundle": { "secretKeyRef": { "name": "a", "key": "b" } } },
        });
        assert!(parse(&changes).is_ok());
    }
}
