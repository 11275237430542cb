//! What a scalar means, as `go.yaml.in/yaml/v2` resolves it (`resolve.go`).

use granit_parser::ScalarStyle;
use serde_json::{Number, Value};

/// A scalar that was resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond the signed ones.
    Large(u64),
    Float(f64),
    Text(String),
}

const PREFIX: &str = "tag:yaml.org,2002:";

/// The meaning of a scalar with its whole tag, if it has one; only plain ones can mean anything but text.
pub(super) fn resolve(tag: Option<&str>, style: ScalarStyle, text: &str) -> Result<Scalar, String> {
    let tag = match tag {
        None if style != ScalarStyle::Plain => return Ok(Scalar::Text(text.to_owned())),
        None => return Ok(plain(text)),
        Some(tag) => tag,
    };
    let Some(kind) = tag.strip_prefix(PREFIX) else { return Ok(Scalar::Text(text.to_owned())) };
    let scalar = plain(text);
    match (kind, &scalar) {
        ("bool", Scalar::Bool(_))
        | ("int", Scalar::Integer(_) | Scalar::Large(_))
        | ("float", Scalar::Float(_))
        | ("null", Scalar::Null) => Ok(scalar),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a floating-point number")]
        ("float", Scalar::Integer(number)) => Ok(Scalar::Float(*number as f64)),
        ("bool" | "int" | "float" | "null", _) => Err(format!("a value is not of its type !!{kind}")),
        ("binary", _) => match crate::cli::objects::base64(text) {
            Some(bytes) => Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned())),
            None => Err("the value of a !!binary is not base64".to_owned()),
        },
        _ => Ok(Scalar::Text(text.to_owned())),
    }
}

fn plain(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes() {
        [b'.', ..] => float(text),
        [b'+' | b'-' | b'0'..=b'9', ..] => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    number.unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

/// An integer in any of the bases that Go's literals have; a zero in front makes it octal.
fn integer(text: &str) -> Option<Scalar> {
    let (is_negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..)?),
        [b'+', ..] => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (digits, base) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (digits.get(2..)?, 16),
        [b'0', b'b' | b'B', ..] => (digits.get(2..)?, 2),
        [b'0', b'o' | b'O', ..] => (digits.get(2..)?, 8),
        [b'0', _, ..] => (digits.get(1..)?, 8),
        _ => (digits, 10),
    };
    // The standard library would take another sign here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if is_negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Scalar::Integer);
    }
    match i64::try_from(magnitude) {
        Ok(number) => Some(Scalar::Integer(number)),
        // With a sign, Go reads it as a floating-point number.
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(Scalar::Large(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<Scalar> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    };
    if !is_mantissa || exponent.is_some_and(|exponent| !is_digits(exponent)) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(Scalar::Float(value))
}

/// The first floating-point number that no 64-bit integer can be.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

impl Scalar {
    /// The scalar as a value of JSON.
    pub(super) fn into_value(self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Integer(number) => number.into(),
            Self::Large(number) => number.into(),
            Self::Float(number) => {
                return json_number(number).map(Value::Number).ok_or_else(|| {
                    "infinity and NaN cannot be written as JSON, which the API server reads".to_owned()
                });
            }
            Self::Text(text) => text.into(),
        })
    }

    /// The scalar as a key of JSON.
    pub(super) fn into_key(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bool(value) => Ok(value.to_string()),
            Self::Integer(number) => Ok(number.to_string()),
            Self::Float(number) => Ok(float_key(number)),
            Self::Null => Err("a key is empty".to_owned()),
            Self::Large(_) => Err("a number that large cannot be a key".to_owned()),
        }
    }
}

/// Go writes a whole number without a fraction, so that the API server reads an integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the bounds are looked at first"
)]
fn json_number(number: f64) -> Option<Number> {
    if number.fract() != 0.0 || (number == 0.0 && number.is_sign_negative()) {
        return Number::from_f64(number);
    }
    if (i64::MIN as f64..i64::MAX as f64).contains(&number) {
        return Some((number as i64).into());
    }
    if (0.0..BEYOND).contains(&number) {
        return Some((number as u64).into());
    }
    Number::from_f64(number)
}

/// A floating-point number as Go writes it into a key: `strconv.FormatFloat(number, 'g', -1, 32)`.
#[expect(clippy::cast_possible_truncation, reason = "Go writes keys in single precision")]
fn float_key(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_scalars_mean_anything_but_text() {
        for text in ["yes", "12", "0600", "~", "1e3", ""] {
            assert_eq!(resolve(None, ScalarStyle::DoubleQuoted, text), Ok(Scalar::Text(text.to_owned())));
            assert!(!matches!(resolve(None, ScalarStyle::Plain, text), Ok(Scalar::Text(_))), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (text, expected) in [
            ("12", Scalar::Integer(12)),
            ("0600", Scalar::Integer(384)),
            ("0o17", Scalar::Integer(15)),
            ("-0x1F", Scalar::Integer(-31)),
            ("0b101", Scalar::Integer(5)),
            ("1_000", Scalar::Integer(1000)),
            ("-9223372036854775808", Scalar::Integer(i64::MIN)),
            ("18446744073709551615", Scalar::Large(u64::MAX)),
            ("18446744073709551616", Scalar::Float(BEYOND)),
            ("08", Scalar::Float(8.0)),
            ("1.", Scalar::Float(1.0)),
            (".5", Scalar::Float(0.5)),
            ("1e3", Scalar::Float(1000.0)),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        for text in
            ["1:30", "2024-01-31", "2024-01-31T10:00:00Z", "1.2.3", "+", "-", ".", "0x", "1e400", "--1", "5m"]
        {
            assert_eq!(plain(text), Scalar::Text(text.to_owned()));
        }
    }

    #[test]
    fn a_tag_decides_or_is_refused() {
        let tagged =
            |kind: &str, text: &str| resolve(Some(&format!("{PREFIX}{kind}")), ScalarStyle::Plain, text);
        assert_eq!(tagged("str", "12"), Ok(Scalar::Text("12".to_owned())));
        assert_eq!(tagged("int", "12"), Ok(Scalar::Integer(12)));
        assert_eq!(tagged("float", "12"), Ok(Scalar::Float(12.0)));
        assert_eq!(tagged("binary", "aGk="), Ok(Scalar::Text("hi".to_owned())));
        for (kind, text) in [("int", "x"), ("bool", "1"), ("null", "x"), ("binary", "?")] {
            assert!(tagged(kind, text).is_err(), "{kind} {text}");
        }
    }
}
