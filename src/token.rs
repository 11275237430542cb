//! Parses a compact JWS (RFC 7515 section 7.1) without verifying it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::quoting::quote;

/// The maximum length of a token, in bytes. An HTTP header has room for less.
const LIMIT: usize = 16 * 1024;

/// A token whose parts could be parsed. Nothing about it has been verified.
pub struct Token<'a> {
    /// The header of the token.
    pub(crate) header: Header,
    /// The claims in the payload.
    pub claims: Claims,
    /// The text that was signed.
    pub(crate) message: &'a str,
    /// The signature, in base64url.
    pub(crate) signature: &'a str,
}

/// The relevant part of a token's header. Keys and URLs of keys in the header must not be trusted, so they are not
/// read.
pub(crate) struct Header {
    pub algorithm: String,
    pub kid: Option<String>,
    /// Whether the header demands extensions (RFC 7515 section 4.1.11).
    pub is_critical: bool,
}

impl<'a> Token<'a> {
    /// Parses a token. The error describes what the text is instead.
    pub fn read(text: &'a str) -> Result<Self, String> {
        if text.len() > LIMIT {
            return Err(format!("it has {} characters, more than {LIMIT}", text.len()));
        }
        let (message, signature) = text.rsplit_once('.').ok_or("it has no dots, and a token has two")?;
        let (header, claims) = match message.split_once('.') {
            Some((header, claims)) if !claims.contains('.') => (header, claims),
            Some(_) if text.split('.').count() == 5 => return Err("it is encrypted (JWE)".to_owned()),
            _ => {
                return Err(format!(
                    "it has {} parts between dots, and a token has 3",
                    text.split('.').count()
                ));
            }
        };
        let header = Header::read(&object(header, "header")?)?;
        let claims = Claims(object(claims, "payload")?);
        if !signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err("its signature is not base64url".to_owned());
        }
        Ok(Self { header, claims, message, signature })
    }
}

fn object(part: &str, name: &str) -> Result<Map<String, Value>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("its {name} is not base64url"))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(format!("its {name} is JSON, but not an object")),
        Err(_) => Err(format!("its {name} is not JSON")),
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("its header has a {name} that is not a text")),
        };
        Ok(Self {
            algorithm: text("alg")?.ok_or("its header has no alg")?,
            kid: text("kid")?,
            is_critical: header.contains_key("crit"),
        })
    }
}

/// The claims of a token (RFC 7519 section 4). Each is parsed only when its rule is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

impl Claims {
    /// Every claim.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A claim that must be a text, if it is present.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("its {name} is {}, and should be a text", quote(&other.to_string()))),
        }
    }

    /// The audiences. The claim `aud` is a text or a list of texts.
    pub fn audiences(&self) -> Result<Vec<&str>, String> {
        match self.0.get("aud") {
            None => Ok(Vec::new()),
            Some(Value::String(audience)) => Ok(vec![audience]),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                Ok(list.iter().filter_map(Value::as_str).collect())
            }
            Some(other) => Err(format!(
                "its aud is {}, and should be a text or a list of texts",
                quote(&other.to_string())
            )),
        }
    }

    /// A claim that must be a time in seconds since 1970, if it is present. A time that cannot be represented
    /// becomes the last or first one that can.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().ok_or_else(|| {
            format!(
                "its {name} is {}, and should be a number of seconds since 1970",
                quote(&value.to_string())
            )
        })?;
        let ends = if seconds < 0.0 { Timestamp::MIN } else { Timestamp::MAX };
        let since = SignedDuration::try_from_secs_f64(seconds).ok();
        Ok(Some(since.and_then(|since| Timestamp::from_duration(since).ok()).unwrap_or(ends)))
    }

    /// The name of a claim with an e-mail address that has this value.
    pub(crate) fn email_claim_with(&self, address: &str) -> Option<&str> {
        let has =
            |(name, value): &(&String, &Value)| name.contains("email") && value.as_str() == Some(address);
        self.0.iter().find(has).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use test_support::tokens::base64url;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn says_what_is_there_instead_of_a_token() {
        let part = |json: &str| base64url(json);
        let header = part(r#"{"alg":"RS256"}"#);
        for (text, word) in [
            (String::new(), "no dots"),
            ("a-key-of-wandb".to_owned(), "no dots"),
            (format!("{header}.{}", part("{}")), "2 parts"),
            (format!("{header}.a.b.c"), "4 parts"),
            (format!("{header}.a.b.c.d"), "encrypted"),
            (format!("{header}=.{}.c", part("{}")), "header is not base64url"),
            (format!("{}.{}.c", part("{"), part("{}")), "header is not JSON"),
            (format!("{}.{}.c", part("[]"), part("{}")), "not an object"),
            (format!("{}.{}.c", part("{}"), part("{}")), "no alg"),
            (format!("{}.{}.c", part(r#"{"alg":1}"#), part("{}")), "alg that is not a text"),
            (format!("{}.{}.c", part(r#"{"alg":"RS256","kid":7}"#), part("{}")), "kid that is not a text"),
            (format!("{header}.{}.c", part("\"x\"")), "payload is JSON, but not an object"),
            (format!("{header}.{}.c+", part("{}")), "signature is not base64url"),
            (format!("{header}.{}.{}", part("{}"), "x".repeat(LIMIT)), "more than 16384"),
        ] {
            let seen = Token::read(&text).err().unwrap();
            assert!(seen.contains(word), "{text}: {seen}");
        }
    }

    #[test]
    fn reads_audiences_and_times_in_all_their_forms() {
        assert_eq!(claims(json!({"aud": "a"})).audiences().unwrap(), ["a"]);
        assert_eq!(claims(json!({"aud": ["a", "b"]})).audiences().unwrap(), ["a", "b"]);
        assert!(claims(json!({})).audiences().unwrap().is_empty());
        assert!(claims(json!({"aud": ["a", 1]})).audiences().is_err());
        assert!(claims(json!({"aud": null})).audiences().is_err());

        let time = |value: Value| claims(json!({ "exp": value })).time("exp").map(Option::unwrap);
        assert_eq!(time(json!(1)).unwrap().as_second(), 1);
        assert_eq!(time(json!(1.5)).unwrap().as_millisecond(), 1500);
        assert_eq!(time(json!(1e300)).unwrap(), Timestamp::MAX);
        assert_eq!(time(json!(u64::MAX)).unwrap(), Timestamp::MAX);
        assert_eq!(time(json!(-1e300)).unwrap(), Timestamp::MIN);
        assert!(time(json!("1")).is_err());
        assert!(time(json!(null)).is_err());
    }

    proptest! {
        #[test]
        fn survives_any_text(text in any::<String>()) {
            let _ = Token::read(&text);
        }

        #[test]
        fn survives_any_parts(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in "[-_a-zA-Z0-9]*") {
            let text = format!("{}.{}.{signature}", base64url(&header), base64url(&payload));
            let _ = Token::read(&text);
        }
    }
}
