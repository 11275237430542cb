//! The five rules by which W&B Server accepts a token. They are applied in order, and the first that refuses
//! decides.

use jiff::{SignedDuration, Timestamp};

use super::{Claims, Token, TrustedKeys, signature};
use crate::{
    api::{Reason, jwt_issuer::TokenRule},
    issuer::Issuer,
    problem::{Problem, enumerate, quote},
};

/// The requirements for the claims of a token.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The issuer whose tokens are accepted.
    pub issuer: &'a Issuer,
    /// The expected subject, if it is known.
    pub subject: Option<&'a str>,
    /// The accepted audiences.
    pub audiences: &'a Audiences,
    /// The current time.
    pub now: Timestamp,
}

/// The accepted audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// Any audience is accepted (`skipAudienceValidation`).
    Any,
    /// The token must have one of these audiences.
    OneOf(Vec<String>),
}

/// The claims of an accepted token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedToken {
    /// The subject of the token.
    pub subject: String,
    /// When the token expires.
    pub expires: Timestamp,
}

/// The rule that refuses a token, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRefusal {
    /// The first rule that refuses the token.
    pub rule: TokenRule,
    /// What was seen and what was expected. The caller adds the advice, which depends on whose token it is.
    pub problem: Problem,
}

/// By how much the clocks of issuer, operator and W&B Server may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

impl Rules<'_> {
    /// Judges a token by all five rules.
    pub fn judge_token(&self, text: &str, trusted: TrustedKeys<'_>) -> Result<AcceptedToken, RuleRefusal> {
        let refuse = |problem| RuleRefusal { rule: TokenRule::Signature, problem };
        let token = Token::read(text).map_err(|what| {
            refuse(Problem::new(
                Reason::TokenMalformed,
                format!("This is not a signed token: {what}. Store the token alone, exactly as the issuer makes it (header.payload.signature)."),
            ))
        })?;
        signature::verify(&token, trusted).map_err(refuse)?;
        self.judge_claims(&token.claims)
    }

    /// Judges claims without a signature by the other four rules.
    pub fn judge_claims(&self, claims: &Claims) -> Result<AcceptedToken, RuleRefusal> {
        let by = |rule| move |problem| RuleRefusal { rule, problem };
        self.issuer(claims).map_err(by(TokenRule::Issuer))?;
        let subject = self.subject(claims).map_err(by(TokenRule::Subject))?.to_owned();
        self.audience(claims).map_err(by(TokenRule::Audience))?;
        let expires = self.expiry(claims).map_err(by(TokenRule::Expiry))?;
        Ok(AcceptedToken { subject, expires })
    }

    /// Judges a token that is used at once, so that its end by this clock is its end.
    pub fn judge_token_in_use(
        &self,
        text: &str,
        trusted: TrustedKeys<'_>,
    ) -> Result<AcceptedToken, RuleRefusal> {
        let accepted = self.judge_token(text, trusted)?;
        if accepted.expires <= self.now {
            return Err(RuleRefusal { rule: TokenRule::Expiry, problem: expired(accepted.expires) });
        }
        Ok(accepted)
    }

    fn issuer(&self, claims: &Claims) -> Result<(), Problem> {
        let Some(seen) = claims.text("iss").map_err(malformed)? else {
            return mismatch(
                Reason::IssuerMismatch,
                format!("The token names no issuer (iss), expected {}.", self.issuer),
            );
        };
        if seen == self.issuer.as_str() {
            return Ok(());
        }
        let difference = spelling(self.issuer.as_str(), seen)
            .map_or_else(|| self.issuer.difference("the token's", seen), str::to_owned);
        mismatch(
            Reason::IssuerMismatch,
            format!(
                "The token's issuer (iss) is {}, expected \"{}\": {difference}. W&B compares them character by character.",
                visible(seen),
                self.issuer
            ),
        )
    }

    fn subject<'c>(&self, claims: &'c Claims) -> Result<&'c str, Problem> {
        let Some(seen) = claims.text("sub").map_err(malformed)?.filter(|subject| !subject.is_empty()) else {
            return mismatch(
                Reason::SubjectMismatch,
                "The token names no subject (sub), by which W&B finds a user's e-mail or a service account.",
            );
        };
        let Some(expected) = self.subject.filter(|expected| *expected != seen) else { return Ok(seen) };
        let difference = spelling(expected, seen).map_or_else(String::new, |words| format!(" ({words})"));
        let hint = claims.email_claim_with(expected).map_or_else(String::new, |name| {
            format!(" The claim {} has the expected one, but W&B looks at sub first.", quote(name))
        });
        mismatch(
            Reason::SubjectMismatch,
            format!(
                "The token's subject (sub) is {}, expected {}{difference}. W&B compares them character by character.{hint}",
                visible(seen),
                visible(expected)
            ),
        )
    }

    fn audience(&self, claims: &Claims) -> Result<(), Problem> {
        let seen = claims.audiences().map_err(malformed)?;
        let Audiences::OneOf(expected) = self.audiences else { return Ok(()) };
        if seen.iter().any(|audience| expected.iter().any(|accepted| accepted == audience)) {
            return Ok(());
        }
        let wanted = enumerate(expected.iter().map(|audience| visible(audience)));
        if seen.is_empty() {
            return mismatch(
                Reason::AudienceMismatch,
                format!("The token names no audience (aud), expected one of {wanted}."),
            );
        }
        let close = |audience: &str| expected.iter().find_map(|accepted| spelling(accepted, audience));
        let difference = seen
            .iter()
            .find_map(|audience| close(audience))
            .map_or_else(String::new, |words| format!(" ({words})"));
        mismatch(
            Reason::AudienceMismatch,
            format!(
                "The token's audience (aud) is {}, expected one of {wanted}{difference}.",
                enumerate(seen.iter().map(|audience| visible(audience)))
            ),
        )
    }

    fn expiry(&self, claims: &Claims) -> Result<Timestamp, Problem> {
        let not_before = claims.time("nbf").map_err(malformed)?;
        claims.time("iat").map_err(malformed)?;
        let Some(expires) = claims.time("exp").map_err(malformed)? else {
            return mismatch(
                Reason::TokenMalformed,
                "The token has no time of expiry (exp), and W&B needs one in the future. Configure the issuer to set one.",
            );
        };
        // The current time is left out of the message, so that repeated checks produce an identical status.
        if self.now.duration_since(expires) >= LEEWAY {
            return Err(expired(expires));
        }
        match not_before {
            Some(begin) if begin.duration_since(self.now) > LEEWAY => mismatch(
                Reason::TokenNotYetValid,
                format!(
                    "The token is valid only from {begin:.0} on (nbf). Wait until then, or check the clocks if it is meant to be valid now."
                ),
            ),
            _ => Ok(expires),
        }
    }
}

/// How to correct the cause of a refusal, as a further sentence; empty where the refusal says so itself.
pub(super) fn advice(rule: TokenRule, reason: Reason) -> &'static str {
    match (rule, reason) {
        // A malformed token is not caused by the spec, so no field can be named.
        (_, Reason::TokenMalformed) | (TokenRule::Expiry, _) => "",
        (TokenRule::Signature, _) => {
            " Check that it comes from spec.issuer, and change spec.keys if such tokens are to be accepted."
        }
        (TokenRule::Issuer, _) => " Use a token of spec.issuer, or correct that.",
        (TokenRule::Subject, _) => " Configure the issuer to set that subject.",
        (TokenRule::Audience, _) => {
            " Configure the issuer to set one of these, or add the token's to spec.audiences."
        }
    }
}

fn expired(end: Timestamp) -> Problem {
    Problem::new(
        Reason::TokenExpired,
        format!(
            "The token expired at {end:.0} (exp). Get a new one from the issuer, and check the clocks if this one is new."
        ),
    )
}

/// The problem of a malformed token, with the words in which [`Claims`] describe it.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn malformed(what: String) -> Problem {
    Problem::new(
        Reason::TokenMalformed,
        format!("The token cannot be used: {what}. Correct that at the issuer."),
    )
}

fn mismatch<T>(reason: Reason, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(reason, message))
}

/// The text in quotation marks, with escapes for control characters and other invisible ones.
fn visible(text: &str) -> String {
    quote(&format!("{text:?}"))
}

/// How two texts that look alike differ, if they do look alike.
fn spelling(expected: &str, seen: &str) -> Option<&'static str> {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    if bare(expected) == bare(seen) {
        Some("they differ in white space only")
    } else if expected.to_lowercase() == seen.to_lowercase() {
        Some("they differ in upper and lower case only")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use test_support::tokens::SigningKey;

    use super::*;
    use crate::{api::jwt_issuer::KeyPolicy, issuer::KeySet};

    const NOW: i64 = 1_800_000_000;

    fn good() -> Value {
        json!({ "iss": "https://issuer.example/x", "sub": "ci@example.org", "aud": "my-org", "exp": NOW + 300 })
    }

    /// Valid claims with these changes. A change to null removes the claim.
    fn with(changes: &Value) -> Value {
        let mut claims = good();
        let fields = claims.as_object_mut().unwrap();
        fields.extend(changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        claims
    }

    fn under_rules<T>(audiences: &Audiences, judge: impl FnOnce(Rules<'_>) -> T) -> T {
        let issuer = Issuer::parse("https://issuer.example/x").unwrap();
        let now = Timestamp::from_second(NOW).unwrap();
        judge(Rules { issuer: &issuer, subject: Some("ci@example.org"), audiences, now })
    }

    fn ruling(claims: Value) -> Result<AcceptedToken, RuleRefusal> {
        let claims = Claims::from(serde_json::from_value::<serde_json::Map<_, _>>(claims).unwrap());
        let audiences = Audiences::OneOf(vec!["my-org".to_owned(), "wandb".to_owned()]);
        under_rules(&audiences, |rules| rules.judge_claims(&claims))
    }

    #[test]
    fn accepts_what_keeps_all_rules() {
        for changes in [
            json!({}),
            json!({ "aud": "wandb" }),
            json!({ "aud": ["other", "my-org"] }),
            json!({ "nbf": NOW, "iat": NOW - 1 }),
            json!({ "exp": 1_800_000_300.5 }),
            json!({ "exp": u64::MAX }),
        ] {
            let accepted = ruling(with(&changes)).unwrap();
            assert_eq!(accepted.subject, "ci@example.org");
        }
    }

    #[test]
    fn the_first_rule_that_is_broken_refuses() {
        use Reason::{
            AudienceMismatch, IssuerMismatch, SubjectMismatch, TokenExpired, TokenMalformed, TokenNotYetValid,
        };
        use TokenRule::{Audience, Expiry, Issuer, Subject};
        for (changes, rule, reason, words) in [
            (json!({ "iss": null }), Issuer, IssuerMismatch, "no issuer"),
            (json!({ "iss": 1 }), Issuer, TokenMalformed, "its iss is 1"),
            (
                json!({ "iss": "https://issuer.example/x/" }),
                Issuer,
                IssuerMismatch,
                "the token's ends with a slash",
            ),
            (json!({ "iss": "https://issuer.example/x " }), Issuer, IssuerMismatch, "white space only"),
            (
                json!({ "iss": "https://Issuer.example/x" }),
                Issuer,
                IssuerMismatch,
                "upper and lower case only",
            ),
            (json!({ "iss": "http://other.example/x" }), Issuer, IssuerMismatch, "the scheme and the host"),
            (json!({ "iss": "x", "sub": "x", "aud": "x", "exp": 0 }), Issuer, IssuerMismatch, "not a URL"),
            (json!({ "sub": null }), Subject, SubjectMismatch, "no subject"),
            (json!({ "sub": "" }), Subject, SubjectMismatch, "no subject"),
            (json!({ "sub": ["ci@example.org"] }), Subject, TokenMalformed, "its sub is"),
            (
                json!({ "sub": "ci@example.org\n" }),
                Subject,
                SubjectMismatch,
                r#""ci@example.org\n", expected"#,
            ),
            (json!({ "sub": "ci@example.org " }), Subject, SubjectMismatch, "white space only"),
            (json!({ "sub": "CI@example.org" }), Subject, SubjectMismatch, "upper and lower case only"),
            (
                json!({ "sub": "123", "work_email": "ci@example.org" }),
                Subject,
                SubjectMismatch,
                "The claim work_email has the expected one",
            ),
            (json!({ "aud": null }), Audience, AudienceMismatch, "no audience"),
            (json!({ "aud": [] }), Audience, AudienceMismatch, "no audience"),
            (json!({ "aud": 1 }), Audience, TokenMalformed, "its aud is 1"),
            (json!({ "aud": "my-org " }), Audience, AudienceMismatch, "white space only"),
            (
                json!({ "aud": ["a", "b"] }),
                Audience,
                AudienceMismatch,
                r#""a", "b", expected one of "my-org", "wandb""#,
            ),
            (json!({ "exp": null }), Expiry, TokenMalformed, "no time of expiry"),
            (json!({ "exp": "tomorrow" }), Expiry, TokenMalformed, "its exp is"),
            (json!({ "iat": "today" }), Expiry, TokenMalformed, "its iat is"),
            (json!({ "exp": NOW - 60 }), Expiry, TokenExpired, "expired at 2027-01-15T07:59:00Z"),
            (json!({ "exp": -1e300 }), Expiry, TokenExpired, "expired at"),
            (json!({ "nbf": NOW + 61 }), Expiry, TokenNotYetValid, "only from 2027-01-15T08:01:01Z"),
        ] {
            let refusal = ruling(with(&changes)).unwrap_err();
            assert_eq!((refusal.rule, refusal.problem.reason), (rule, reason), "{changes}");
            assert!(refusal.problem.message.contains(words), "{changes}: {}", refusal.problem.message);
        }
    }

    #[test]
    fn clocks_may_be_a_minute_apart() {
        for (changes, accepted) in [
            (json!({ "exp": NOW - 59 }), true),
            (json!({ "exp": NOW - 60 }), false),
            (json!({ "nbf": NOW + 60 }), true),
            (json!({ "nbf": NOW + 61 }), false),
        ] {
            assert_eq!(ruling(with(&changes)).is_ok(), accepted, "{changes}");
        }
    }

    #[test]
    fn any_audience_is_accepted_where_the_spec_says_so() {
        let judge = |changes: Value| {
            let claims =
                Claims::from(serde_json::from_value::<serde_json::Map<_, _>>(with(&changes)).unwrap());
            under_rules(&Audiences::Any, |rules| rules.judge_claims(&claims)).is_ok()
        };
        assert!(judge(json!({ "aud": "anybody" })));
        assert!(judge(json!({ "aud": null })));
        assert!(!judge(json!({ "aud": 1 })));
    }

    #[test]
    fn a_token_is_judged_by_its_signature_first() {
        let key = SigningKey::p256("key").unwrap();
        let jwk = key.jwk().unwrap();
        let (set, policy) = (KeySet::of([&jwk]).unwrap(), KeyPolicy::default());
        let judge = |token: &str| {
            let trusted = TrustedKeys { set: &set, policy: &policy };
            let audiences = Audiences::OneOf(vec!["my-org".to_owned(), "wandb".to_owned()]);
            under_rules(&audiences, |rules| rules.judge_token(token, trusted))
        };
        assert_eq!(judge(&key.sign(&good()).unwrap()).unwrap().expires.as_second(), NOW + 300);
        let expired = key.sign(&with(&json!({ "exp": 0 }))).unwrap();
        assert_eq!(judge(&expired).unwrap_err().rule, TokenRule::Expiry);
        // A token that is used at once has no minute more than it says.
        let in_use = |end: i64| {
            let token = key.sign(&with(&json!({ "exp": end }))).unwrap();
            assert!(judge(&token).is_ok(), "{end}");
            let trusted = TrustedKeys { set: &set, policy: &policy };
            let used = under_rules(&Audiences::Any, |rules| rules.judge_token_in_use(&token, trusted));
            used.map(|_| ()).map_err(|refusal| (refusal.rule, refusal.problem.reason))
        };
        assert_eq!(in_use(NOW + 1), Ok(()));
        for end in [NOW, NOW - 1, NOW - 59] {
            assert_eq!(in_use(end), Err((TokenRule::Expiry, Reason::TokenExpired)), "{end}");
        }
        let stranger = SigningKey::p256("key").unwrap();
        let expired = stranger.sign(&with(&json!({ "exp": 0 }))).unwrap();
        assert_eq!(judge(&expired).unwrap_err().rule, TokenRule::Signature);
        let refusal = judge("not a token").unwrap_err();
        assert_eq!((refusal.rule, refusal.problem.reason), (TokenRule::Signature, Reason::TokenMalformed));
    }

    proptest! {
        #[test]
        fn no_text_is_accepted_by_accident(text in any::<String>()) {
            let (set, policy) = (KeySet::of([]).unwrap(), KeyPolicy::default());
            let trusted = TrustedKeys { set: &set, policy: &policy };
            let refusal = under_rules(&Audiences::Any, |rules| rules.judge_token(&text, trusted)).unwrap_err();
            prop_assert_eq!(refusal.rule, TokenRule::Signature);
        }
    }
}
