//! The exchange of an identity token for an access token (RFC 7523).

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation, dangerous, decode, decode_header, get_current_timestamp};
use serde_json::{Value, json};

use super::account::AccountKind;
use super::state::State;
use crate::hostile::Response;

pub(super) const PATH: &str = "/oidc/token";

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Why there is no access token: the code of RFC 6749 and a text.
type Refusal = (&'static str, String);

pub(super) fn exchange(state: &mut State, form: &str) -> Response {
    match grant(state, form) {
        Ok(token) => Response::json(&json!({
            "access_token": token,
            "expires_in": state.token_lifetime.as_secs(),
            "token_type": "Bearer",
        })),
        Err((code, description)) => {
            Response::json_status(400, &json!({ "error": code, "error_description": description }))
        }
    }
}

/// Whom a token is about, true or not.
pub(super) fn claimed_subject(form: &str) -> Option<String> {
    let claims: Value = dangerous::insecure_decode_claims(parameter(form, "assertion")?).ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

fn grant(state: &mut State, form: &str) -> Result<String, Refusal> {
    if parameter(form, "grant_type").as_deref() != Some(GRANT_TYPE) {
        return Err(("unsupported_grant_type", format!("the grant type must be {GRANT_TYPE}")));
    }
    let assertion =
        parameter(form, "assertion").ok_or(("invalid_request", "there is no assertion".to_owned()))?;
    let invalid = |description: String| ("invalid_grant", description);
    let subject = verify(state, &assertion).map_err(invalid)?;
    state.add_token(&subject).ok_or_else(|| invalid("there is no such account".to_owned()))
}

fn parameter(form: &str, name: &str) -> Option<String> {
    let (_, value) = form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name)?;
    Some(value.into_owned())
}

/// The subject of a token that keeps every rule; the error names the first that it breaks.
fn verify(state: &State, token: &str) -> Result<String, String> {
    let unverified: Value = dangerous::insecure_decode_claims(token)
        .map_err(|error| format!("the token is no signed JWT: {error}"))?;
    let issuer = claim(&unverified, "iss")?;
    let (_, keys) = state
        .issuers
        .iter()
        .find(|(known, _)| known == issuer)
        .ok_or_else(|| format!("the issuer {issuer} is not registered"))?;
    let claims = verify_signature(keys, token)?;

    // Not a second of leeway, so that a test can tell when a token has expired.
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or("the token has no exp")?;
    #[expect(clippy::cast_precision_loss, reason = "the time is far below what a float holds exactly")]
    let now = get_current_timestamp() as f64;
    if expires <= now {
        return Err("the token has expired".to_owned());
    }
    let audiences = audiences(&claims);
    if !audiences.iter().any(|audience| state.audiences.contains(audience)) {
        return Err(format!("the audience {} is not accepted", audiences.join(", ")));
    }
    let subject = claim(&claims, "sub")?;
    match state.account(subject) {
        Some(account) if account.kind == AccountKind::Federated => Ok(subject.to_owned()),
        _ => Err(format!("no service account has the subject {subject}")),
    }
}

/// The claims of a token that one of these keys has signed.
fn verify_signature(keys: &JwkSet, token: &str) -> Result<Value, String> {
    let header = decode_header(token).map_err(|error| format!("the token's header is not valid: {error}"))?;
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let may_have_signed = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let mut candidates = keys.keys.iter().filter(may_have_signed).peekable();
    if candidates.peek().is_none() {
        return Err("no key of the issuer has the token's kid".to_owned());
    }
    candidates
        .filter_map(|key| DecodingKey::from_jwk(key).ok())
        .find_map(|key| decode(token, &key, &validation).ok())
        .map(|verified| verified.claims)
        .ok_or_else(|| "the signature does not verify against the issuer's keys".to_owned())
}

fn claim<'a>(claims: &'a Value, name: &str) -> Result<&'a str, String> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| format!("the token has no {name}"))
}

/// One text or a list of them.
fn audiences(claims: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}
