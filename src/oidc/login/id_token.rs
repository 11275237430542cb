//! The check `IdTokenVerified`: what go-oidc, which W&B Server uses, asks of an ID token, and the nonce of this login.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::Reason,
    engine::Checked,
    issuer::{Issuer, Key, KeySet},
    problem::{Problem, enumerate, quote},
    token::{Claims, Token},
};

/// What an ID token of this login must be.
pub(super) struct IdTokenRules<'a> {
    /// The issuer.
    pub issuer: &'a Issuer,
    /// The client, which must be among the audiences.
    pub client: &'a str,
    /// The algorithms with which W&B Server accepts signatures.
    pub algorithms: &'a [String],
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// The current time.
    pub now: Timestamp,
}

/// By how much a token's begin may be ahead of the clock: go-oidc allows as much there, and nothing for the end.
const LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// Google's tokens may name their issuer without its scheme, and go-oidc accepts that.
const GOOGLE: (&str, &str) = ("https://accounts.google.com", "accounts.google.com");

impl IdTokenRules<'_> {
    /// Verifies the token, and returns its claims.
    pub(super) fn verify(&self, text: &str, keys: &KeySet) -> Result<Checked<Claims>, Problem> {
        let token = Token::read(text).map_err(|what| {
            Problem::new(
                Reason::TokenMalformed,
                format!("The provider's ID token is not a signed token: {what}."),
            )
        })?;
        self.signature(&token, keys)?;
        let claims = token.claims;
        self.issuer(&claims)?;
        self.audience(&claims)?;
        self.time(&claims)?;
        self.nonce(&claims)?;
        let message = format!(
            "A key of the provider signed the ID token, with {}. It is of {}, for the client {}, for this login and in time, and has {} bytes.",
            quote(&token.header.algorithm),
            self.issuer,
            self.client,
            text.len()
        );
        Ok(Checked::passed(claims, message))
    }

    fn signature(&self, token: &Token<'_>, keys: &KeySet) -> Result<(), Problem> {
        if token.header.is_critical {
            return invalid(
                "The ID token's header requires extensions (crit) that W&B Server does not know. Configure the provider to leave them out.",
            );
        }
        let algorithm = token.header.algorithm.as_str();
        if !self.algorithms.iter().any(|accepted| accepted == algorithm) {
            return invalid(format!(
                "The ID token is signed with {}, but the provider's document names {} (id_token_signing_alg_values_supported), and W&B Server accepts no others. Set the algorithm for the client at the provider.",
                quote(algorithm),
                enumerate(self.algorithms)
            ));
        }
        let kid = token.header.kid.as_deref().filter(|kid| !kid.is_empty());
        let candidates: Vec<&Key> =
            keys.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).collect();
        if candidates.iter().any(|key| key.verifies(algorithm, token.message, token.signature)) {
            return Ok(());
        }
        let published = enumerate(keys.keys.iter().map(Key::name));
        match kid {
            Some(kid) if candidates.is_empty() => invalid(format!(
                "The ID token is signed by the key {}, but the provider publishes {published} at its jwks_uri. Check that all servers of the provider have the same keys.",
                quote(kid)
            )),
            _ => invalid(format!(
                "No key that the provider publishes ({published}) verifies the ID token's signature."
            )),
        }
    }

    fn issuer(&self, claims: &Claims) -> Result<(), Problem> {
        let seen = claims.text("iss").map_err(malformed)?.unwrap_or_default();
        if seen == self.issuer.as_str() || (self.issuer.as_str(), seen) == GOOGLE {
            return Ok(());
        }
        Err(Problem::new(
            Reason::IssuerMismatch,
            format!(
                "The ID token's issuer (iss) is \"{}\", expected \"{}\": {}. W&B compares them character by character. Configure the provider to use one issuer in its document and its tokens.",
                quote(seen),
                self.issuer,
                self.issuer.difference("the token's", seen)
            ),
        ))
    }

    fn audience(&self, claims: &Claims) -> Result<(), Problem> {
        let seen = claims.audiences().map_err(malformed)?;
        if seen.contains(&self.client) {
            return Ok(());
        }
        Err(Problem::new(
            Reason::AudienceMismatch,
            format!(
                "The ID token is for {} (aud), and not for the client {}. Check spec.clientID.",
                enumerate(seen),
                self.client
            ),
        ))
    }

    fn time(&self, claims: &Claims) -> Result<(), Problem> {
        let Some(end) = claims.time("exp").map_err(malformed)? else {
            return Err(malformed("it has no time of expiry (exp)".to_owned()));
        };
        if end < self.now {
            return Err(Problem::new(
                Reason::TokenExpired,
                format!(
                    "The ID token expired at {end:.0} (exp), although it is new: check the clocks of the provider and of this machine."
                ),
            ));
        }
        match claims.time("nbf").map_err(malformed)? {
            Some(begin) if begin.duration_since(self.now) > LEEWAY => Err(Problem::new(
                Reason::TokenNotYetValid,
                format!(
                    "The ID token is valid only from {begin:.0} on (nbf): check the clocks of the provider and of this machine."
                ),
            )),
            _ => Ok(()),
        }
    }

    fn nonce(&self, claims: &Claims) -> Result<(), Problem> {
        if claims.text("nonce").map_err(malformed)? == Some(self.nonce) {
            return Ok(());
        }
        Err(Problem::new(
            Reason::AnswerMismatch,
            "The ID token belongs to another login: its nonce is not the one that was sent. Open the address that was printed last, and give the answer to that.",
        ))
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(Reason::SignatureInvalid, message))
}

/// The problem of a token that cannot be read, with the words in which [`Claims`] describe it.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn malformed(what: String) -> Problem {
    Problem::new(
        Reason::TokenMalformed,
        format!("The ID token cannot be used: {what}. Correct that at the provider."),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_support::tokens::SigningKey;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn verify(issuer: &str, published: &[Value], token: &str) -> Result<(), Problem> {
        let issuer = Issuer::parse(issuer).unwrap();
        let rules = IdTokenRules {
            issuer: &issuer,
            client: "wandb",
            algorithms: &["RS256".to_owned(), "ES256".to_owned()],
            nonce: "n",
            now: Timestamp::from_second(NOW).unwrap(),
        };
        rules.verify(token, &KeySet::of(published).unwrap()).map(drop)
    }

    fn claims(changes: &Value) -> Value {
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "wandb", "sub": "1", "nonce": "n", "exp": NOW + 300, "iat": NOW,
        });
        let fields = claims.as_object_mut().unwrap();
        fields.extend(changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        claims
    }

    #[test]
    fn the_token_of_this_login_and_no_other_is_accepted() {
        let key = SigningKey::p256("one").unwrap();
        let published = [key.jwk().unwrap()];
        let judge = |changes: Value| {
            let token = key.sign(&claims(&changes)).unwrap();
            verify("https://idp.example", &published, &token).map_err(|problem| problem.reason)
        };
        for (changes, expected) in [
            (json!({}), Ok(())),
            (json!({"aud": ["other", "wandb"]}), Ok(())),
            (json!({"nbf": NOW + 300}), Ok(())),
            (json!({"nbf": NOW + 301}), Err(Reason::TokenNotYetValid)),
            (json!({"exp": NOW - 1}), Err(Reason::TokenExpired)),
            (json!({"exp": null}), Err(Reason::TokenMalformed)),
            (json!({"aud": "other"}), Err(Reason::AudienceMismatch)),
            (json!({"aud": null}), Err(Reason::AudienceMismatch)),
            (json!({"iss": "https://idp.example/"}), Err(Reason::IssuerMismatch)),
            (json!({"iss": null}), Err(Reason::IssuerMismatch)),
            (json!({"nonce": "m"}), Err(Reason::AnswerMismatch)),
            (json!({"nonce": null}), Err(Reason::AnswerMismatch)),
        ] {
            assert_eq!(judge(changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn only_published_keys_and_advertised_algorithms_count() {
        let (key, stranger) = (SigningKey::p256("one").unwrap(), SigningKey::p256("one").unwrap());
        let other = SigningKey::ed25519("ed").unwrap();
        let published = [key.jwk().unwrap(), other.jwk().unwrap()];
        for token in [stranger.sign(&claims(&json!({}))), other.sign(&claims(&json!({})))] {
            let problem = verify("https://idp.example", &published, &token.unwrap()).unwrap_err();
            assert_eq!(problem.reason, Reason::SignatureInvalid, "{}", problem.message);
        }
        let token = key.sign(&claims(&json!({}))).unwrap();
        let problem = verify("https://idp.example", &[], &token).unwrap_err();
        assert!(
            problem.message.contains("the key one, but the provider publishes none"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn extensions_that_the_server_does_not_know_are_refused() {
        let key = SigningKey::p256("one").unwrap();
        let header = json!({ "alg": "ES256", "kid": "one", "crit": ["x"], "x": 1 });
        let token = key.sign_with(&header, &claims(&json!({}))).unwrap();
        let problem = verify("https://idp.example", &[key.jwk().unwrap()], &token).unwrap_err();
        assert_eq!(problem.reason, Reason::SignatureInvalid);
        assert!(problem.message.contains("(crit)"), "{}", problem.message);
    }

    #[test]
    fn googles_issuer_may_lack_its_scheme_and_nobody_elses() {
        let key = SigningKey::p256("one").unwrap();
        let published = [key.jwk().unwrap()];
        let of = |issuer: &str| key.sign(&claims(&json!({ "iss": issuer }))).unwrap();
        let google = of("accounts.google.com");
        assert!(verify("https://accounts.google.com", &published, &google).is_ok());
        let other = of("idp.example");
        assert!(verify("https://idp.example", &published, &other).is_err());
    }
}
