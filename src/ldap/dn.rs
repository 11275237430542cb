//! Distinguished names as text (RFC 4514).

use std::fmt;

/// The name of a directory entry. Equal when the directory would very probably call them equal:
/// letter case, the space around separators and the order within a multi-valued part do not count.
#[derive(Clone, Debug)]
pub struct Dn {
    text: String,
    /// Types and values of each part, normalised and sorted within the part.
    parts: Vec<Vec<Assertion>>,
}

/// One `type=value`, unescaped, in lower case and with single spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Assertion {
    attribute: String,
    value: String,
}

impl Dn {
    /// Reads a name; the error says what is wrong in words that continue "it".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let mut parts = Vec::new();
        for part in split_unescaped(text, ',') {
            let mut assertions =
                split_unescaped(part, '+').into_iter().map(parse_assertion).collect::<Result<Vec<_>, _>>()?;
            assertions.sort_unstable();
            parts.push(assertions);
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The attribute types of every part, in lower case.
    pub fn attribute_types(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flatten().map(|assertion| assertion.attribute.as_str())
    }

    /// The value of the first part, which names the entry among its neighbours.
    pub fn first_value(&self) -> Option<&str> {
        self.parts.first()?.first().map(|assertion| assertion.value.as_str())
    }

    /// Whether it is this entry or one below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.parts.ends_with(&ancestor.parts)
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// One spelling for every name that is equal to this one.
    pub fn normal_form(&self) -> String {
        let part = |assertions: &Vec<Assertion>| {
            let texts =
                assertions.iter().map(|Assertion { attribute, value }| format!("{attribute}={value:?}"));
            texts.collect::<Vec<_>>().join("+")
        };
        self.parts.iter().map(part).collect::<Vec<_>>().join(",")
    }
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Dn {}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Cuts at a separator wherever no backslash stands before it.
fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut escaped = false;
    text.split(|character| {
        let cut = character == separator && !escaped;
        escaped = character == '\\' && !escaped;
        cut
    })
    .collect()
}

fn parse_assertion(text: &str) -> Result<Assertion, String> {
    let text = trim_unescaped(text);
    let Some((attribute, value)) = text.split_once('=') else {
        return Err(if text.is_empty() {
            "has an empty part".to_owned()
        } else {
            format!("has a part without \"=\", {text:?}")
        });
    };
    let attribute = attribute.trim_end_matches(' ');
    if !is_attribute_type(attribute) {
        return Err(format!("names an attribute {attribute:?}, which is not an attribute name"));
    }
    let value = value.trim_start_matches(' ');
    let value = match value.strip_prefix('#') {
        Some(digits) if is_hex_string(digits) => value.to_owned(),
        Some(_) => return Err(format!("has a value {value:?} that is not hexadecimal after \"#\"")),
        None => unescape(value)?,
    };
    Ok(Assertion { attribute: attribute.to_lowercase(), value: normalise(&value) })
}

/// Removes spaces from both ends, except a last one that is escaped.
fn trim_unescaped(text: &str) -> &str {
    let text = text.trim_start_matches(' ');
    let trimmed = text.trim_end_matches(' ');
    let backslashes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    let kept = trimmed.len() + usize::from(backslashes % 2 == 1 && trimmed.len() < text.len());
    text.get(..kept).unwrap_or(trimmed)
}

/// A name (`cn`) or a numeric object identifier (`2.5.4.3`).
fn is_attribute_type(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(first) if first.is_ascii_alphabetic() => {
            bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }
        Some(first) if first.is_ascii_digit() => text
            .split('.')
            .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
        _ => false,
    }
}

fn is_hex_string(digits: &str) -> bool {
    !digits.is_empty()
        && digits.len().is_multiple_of(2)
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Resolves `\,` and `\2C`; characters that must be escaped but are not make it fail.
fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => bytes.extend(read_escape(&mut characters)?),
            '"' | ';' | '<' | '>' | '\0' => {
                return Err(format!("has {character:?} in a value without a backslash before it"));
            }
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("has a value {text:?} that is not UTF-8"))
}

/// What follows a backslash: a special character or two hexadecimal digits.
fn read_escape(characters: &mut std::str::Chars<'_>) -> Result<Vec<u8>, String> {
    let invalid = || "has a backslash that escapes nothing".to_owned();
    let first = characters.next().ok_or_else(invalid)?;
    if matches!(first, '\\' | '"' | '+' | ',' | ';' | '<' | '>' | ' ' | '#' | '=') {
        return Ok(vec![u8::try_from(first).map_err(|_| invalid())?]);
    }
    let high = first.to_digit(16).ok_or_else(invalid)?;
    let low = characters.next().and_then(|second| second.to_digit(16)).ok_or_else(invalid)?;
    Ok(vec![u8::try_from(high * 16 + low).map_err(|_| invalid())?])
}

fn normalise(value: &str) -> String {
    value.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_names_are_equal() {
        for (left, right) in [
            ("dc=example,dc=org", "DC=Example, dc = ORG"),
            ("cn=Smith\\, John,dc=org", "cn=Smith\\2C John,dc=org"),
            ("cn=a+uid=b,dc=org", "uid=b+cn=a,dc=org"),
            ("cn=J\\c3\\bcrgen", "cn=JÜRGEN"),
            ("2.5.4.3=#0402ABCD", "2.5.4.3=#0402abcd"),
            ("cn=x\\ ,dc=org", "cn=x,dc=org"),
            ("cn=a=b", "cn=A\\=B"),
            // Only spaces separate, so that this value does not begin with a number sign.
            ("cn=\t#x", "cn=\\09\\#x"),
            ("cn=", "CN = "),
        ] {
            assert_eq!(Dn::parse(left).unwrap(), Dn::parse(right).unwrap(), "{left}");
        }
        for (left, right) in [
            ("dc=example,dc=org", "dc=org,dc=example"),
            ("cn=a,cn=b", "cn=a+cn=b"),
            ("cn=a\\,cn=b", "cn=a,cn=b"),
        ] {
            assert_ne!(Dn::parse(left).unwrap(), Dn::parse(right).unwrap(), "{left}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, complaint) in [
            ("", "is empty"),
            ("example.org", "has a part without \"=\", \"example.org\""),
            ("dc=example,", "has an empty part"),
            ("dc=example,,dc=org", "has an empty part"),
            ("d c=example", "names an attribute \"d c\", which is not an attribute name"),
            ("=example", "names an attribute \"\", which is not an attribute name"),
            ("2..5=x", "names an attribute \"2..5\", which is not an attribute name"),
            ("cn=\"a,b\"", "has '\"' in a value without a backslash before it"),
            ("dc=a;dc=b", "has ';' in a value without a backslash before it"),
            ("cn=a\\", "has a backslash that escapes nothing"),
            ("cn=a\\g0", "has a backslash that escapes nothing"),
            ("cn=\\ff", "has a value \"\\\\ff\" that is not UTF-8"),
            ("cn=#0", "has a value \"#0\" that is not hexadecimal after \"#\""),
        ] {
            assert_eq!(Dn::parse(text).unwrap_err(), complaint, "{text}");
        }
    }

    #[test]
    fn knows_its_attribute_types() {
        let dn = Dn::parse("email=mail,Group=gidNumber").unwrap();
        assert_eq!(dn.attribute_types().collect::<Vec<_>>(), ["email", "group"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = Dn::parse(&text);
        }

        #[test]
        fn never_panics_on_what_looks_like_a_name(text in "[a,+=\\\\ #;2é\"]{0,12}") {
            let _ = Dn::parse(&text);
        }

        #[test]
        fn reads_back_what_was_escaped(values in prop::collection::vec("[^\0]{1,12}", 1..5)) {
            let written: Vec<_> = values.iter().map(|value| format!("cn={}", ldap3::dn_escape(value.as_str()))).collect();
            let dn = Dn::parse(&written.join(",")).unwrap();
            let read: Vec<_> = dn.parts.iter().flatten().map(|assertion| assertion.value.clone()).collect();
            let expected: Vec<_> = values.iter().map(|value| normalise(value)).collect();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(Dn::parse(dn.as_str()).unwrap(), dn);
        }
    }
}
