//! Judges whether a Secret holds the value itself, or something that a tool should have replaced by the value.
//! The functions are pure.
//!
//! Servers count a wrong password towards a lock-out each time that it is sent, so a text that is certainly not
//! the value is refused before. A text that may be the value only gets a remark: refusing a password that works
//! would lock people out.

use base64::{Engine, prelude::BASE64_STANDARD};

/// What is wrong with a value, as the rest of a sentence about it, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Flaw {
    /// What was seen, without any part of the value.
    pub(in crate::engine) seen: String,
    /// What to do about it.
    pub(in crate::engine) remedy: &'static str,
}

/// The judgement about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Look {
    /// It may well be the value.
    Sound,
    /// It may be the value, but a person should look at it.
    Doubtful(Flaw),
    /// It is certainly not the value.
    Wrong(Flaw),
}

/// Judges a value, without the line break at its end.
pub(in crate::engine) fn look(value: &str) -> Look {
    let wrong = |seen: &str, remedy| Look::Wrong(Flaw { seen: seen.to_owned(), remedy });
    let doubtful = |seen: &str, remedy| Look::Doubtful(Flaw { seen: seen.to_owned(), remedy });
    if let Some(seen) = invisible(value) {
        return Look::Wrong(Flaw { seen, remedy: "Store the value again without it." });
    }
    let text = value.trim();
    if let Some(tool) = ciphertext(text) {
        return wrong(
            &format!("is still encrypted ({tool})"),
            "Have the tool decrypt it before it is applied.",
        );
    }
    if let Some(tool) = reference(text) {
        return wrong(
            &format!("is a reference that a tool should have replaced ({tool})"),
            "Apply it through that tool, or store the value itself.",
        );
    }
    if is_template(text) {
        return wrong(
            "is a template that a tool should have filled in",
            "Apply it through that tool, or store the value itself.",
        );
    }
    match encoded_twice(text) {
        Some(Certainty::Sure) => return wrong("was encoded in base64 twice", ENCODE_ONCE),
        Some(Certainty::Unsure) => return doubtful("may have been encoded in base64 twice", ENCODE_ONCE),
        None => {}
    }
    if may_be_template(text) {
        return doubtful(
            "looks like a placeholder that somebody should have replaced",
            "Store the value itself, unless this is the value.",
        );
    }
    Look::Sound
}

const ENCODE_ONCE: &str = "Put the value itself below stringData, or encode it once below data.";

/// Finds a character that nobody can see and nobody typed.
fn invisible(value: &str) -> Option<String> {
    if value.starts_with('\u{feff}') {
        return Some("begins with a byte order mark (U+FEFF), which some editors add".to_owned());
    }
    let mut before = None;
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        // These characters change the shape of their neighbours in emoji and in some scripts, and mean nothing
        // beside ASCII.
        let shapes = |neighbour: Option<char>| neighbour.is_some_and(|neighbour| !neighbour.is_ascii());
        let found = match character {
            '\t' | '\n' | '\r' => false,
            '\u{200c}' | '\u{200d}' => !(shapes(before) && shapes(next)),
            '\u{fe00}'..='\u{fe0f}' => !shapes(before),
            _ => character.is_control() || is_unseen(character),
        };
        if found {
            return Some(format!("holds the invisible character U+{:04X}", u32::from(character)));
        }
        before = Some(character);
    }
    None
}

/// Characters without any width (Unicode's `Default_Ignorable_Code_Point`, and line and paragraph separators).
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The tool that encrypted the text, if it is a known ciphertext.
fn ciphertext(text: &str) -> Option<&'static str> {
    let begins = |prefix: &str| text.starts_with(prefix);
    if begins("ENC[") && text.ends_with(']') {
        return Some("ENC[…], as SOPS and hiera-eyaml write it");
    }
    if begins("-----BEGIN PGP MESSAGE-----") {
        return Some("a PGP message");
    }
    if begins("-----BEGIN AGE ENCRYPTED FILE-----") || begins("age-encryption.org/") {
        return Some("age");
    }
    if begins("$ANSIBLE_VAULT;") {
        return Some("Ansible Vault");
    }
    if begins("{cipher}") {
        return Some("{cipher}…, as Spring Cloud Config writes it");
    }
    if begins("vault:v") && text.split(':').count() >= 3 && !text.contains('#') {
        return Some("Vault's transit engine");
    }
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    match bytes.as_slice() {
        // The format is the length of a session key, the session key encrypted with RSA, and the rest with a tag
        // of 16 bytes.
        [high, low, rest @ ..]
            if [256, 384, 512].contains(&u16::from_be_bytes([*high, *low]))
                && rest.len() >= usize::from(u16::from_be_bytes([*high, *low])) + 16 =>
        {
            Some("a sealed secret")
        }
        [1, 2, 2, 0, rest @ ..] if rest.len() >= 64 => Some("AWS KMS"),
        _ => None,
    }
}

/// The prefixes of references that tools replace by values.
const SCHEMES: [(&str, &str); 13] = [
    ("op://", "1Password"),
    ("sm://", "Berglas"),
    ("berglas://", "Berglas"),
    ("awssm://", "AWS Secrets Manager"),
    ("awsps://", "AWS Parameter Store"),
    ("arn:aws:secretsmanager:", "AWS Secrets Manager"),
    ("arn:aws:ssm:", "AWS Parameter Store"),
    ("gcpsm://", "Google Secret Manager"),
    ("azurekeyvault://", "Azure Key Vault"),
    ("akvs://", "Azure Key Vault"),
    ("@Microsoft.KeyVault(", "Azure Key Vault"),
    ("vault://", "Vault"),
    ("doppler://", "Doppler"),
];

/// The tool that should have replaced this text by the value.
fn reference(text: &str) -> Option<&'static str> {
    if text.contains(char::is_whitespace) && !text.starts_with('<') {
        return None;
    }
    if let Some((_, tool)) = SCHEMES.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return Some(tool);
    }
    if text.starts_with("<path:") && text.ends_with('>') {
        return Some("<path:…>, as argocd-vault-plugin reads it");
    }
    let unmarked = text.strip_prefix(">>").unwrap_or(text);
    if unmarked.strip_prefix("vault:").is_some_and(|rest| rest.contains('#')) {
        return Some("vault:…#…, as Vault's injecting webhooks read it");
    }
    let after_ref = text.strip_prefix("ref+").or_else(|| text.strip_prefix("secretref+"));
    if after_ref.is_some_and(|rest| rest.contains("://")) {
        return Some("ref+…, as vals reads it");
    }
    let is_google =
        text.starts_with("projects/") && text.contains("/secrets/") && text.contains("/versions/");
    is_google.then_some("Google Secret Manager")
}

/// The marks with which templates enclose an expression.
const ENCLOSURES: [(&str, &str); 6] =
    [("{{", "}}"), ("${", "}"), ("$(", ")"), ("((", "))"), ("#{", "}"), ("<%", "%>")];

/// Whether the whole text is a template that a tool should have filled in.
fn is_template(text: &str) -> bool {
    ENCLOSURES.iter().any(|(opening, closing)| {
        let inner = text.strip_prefix(opening).and_then(|rest| {
            let rest = rest.strip_suffix('#').filter(|_| *opening == "#{").unwrap_or(rest);
            rest.strip_suffix(closing)
        });
        inner.is_some_and(|inner| !inner.contains(closing) && is_expression(inner))
    })
}

/// Whether the text between the marks of a template is a name, a path or a call, and not random characters.
fn is_expression(text: &str) -> bool {
    let text = text.trim();
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || "_.$=-@\"'".contains(first));
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    begins && letters >= 2 && text.chars().all(|each| each.is_ascii_graphic() || each == ' ')
}

/// Whether the text looks like a placeholder. A password may look like one, too.
fn may_be_template(text: &str) -> bool {
    let is_name = |name: &str| {
        name.len() >= 2
            && name.chars().all(|each| each.is_ascii_uppercase() || each.is_ascii_digit() || each == '_')
    };
    let within = |opening: &str, closing: &str| text.strip_prefix(opening)?.strip_suffix(closing);
    let holds = |opening: &str, closing: &str| {
        text.split_once(opening)
            .and_then(|(_, rest)| rest.split_once(closing))
            .is_some_and(|(inner, _)| is_expression(inner))
    };
    text.strip_prefix('$').is_some_and(is_name)
        || within("%", "%").is_some_and(is_name)
        || within("__", "__").is_some_and(is_name)
        || within("<", ">").is_some_and(|inner| {
            inner.chars().all(|each| each.is_ascii_alphabetic() || " -_.".contains(each))
        })
        || holds("{{", "}}")
        || holds("${", "}")
        || ["changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me", "todo"]
            .contains(&text.to_ascii_lowercase().as_str())
}

/// How certain a judgement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Sure,
    Unsure,
}

/// Whether the text is base64 of a readable text, beyond what chance makes of passwords.
///
/// Of random bytes, three in eight are printable and one in four is a letter or a digit. So twelve printable
/// bytes in a row, or nine letters and digits, are no chance. Fewer are enough if the text ends with `=`, as only
/// base64 does, or if what it encodes ends with a line break, as `echo` adds one.
fn encoded_twice(text: &str) -> Option<Certainty> {
    let Decoded { readable, is_marked } = decode(text)?;
    let length = readable.chars().count();
    let is_plain = readable.chars().all(|each| each.is_ascii_alphanumeric());
    let enough = match (is_marked, is_plain) {
        (true, true) => 4,
        (true, false) => 7,
        (false, true) => 9,
        (false, false) => 12,
    };
    let may_be_meant =
        is_generated(&readable) && decode(&readable).is_none() || readable == DOCUMENTED_SECRET;
    Some(if length >= enough && !may_be_meant { Certainty::Sure } else { Certainty::Unsure })
}

/// A readable text that was encoded in base64.
struct Decoded {
    readable: String,
    /// Whether the padding, or a line break at the end, shows that it was encoded. Chance seldom makes either.
    is_marked: bool,
}

fn decode(text: &str) -> Option<Decoded> {
    let joined = text.replace(['\r', '\n'], "");
    let decoded = String::from_utf8(BASE64_STANDARD.decode(&joined).ok()?).ok()?;
    let readable = decoded.strip_suffix('\n').unwrap_or(&decoded);
    let readable = readable.strip_suffix('\r').unwrap_or(readable);
    let is_readable = !readable.chars().any(|each| each.is_control() || each == '\u{fffd}');
    let is_marked = joined.ends_with('=') || decoded.len() != readable.len();
    (is_readable && readable.chars().count() >= 4)
        .then(|| Decoded { readable: readable.to_owned(), is_marked })
}

/// In Dex's documentation, the secret of the example client is the base64 of this text.
const DOCUMENTED_SECRET: &str = "example-app-secret";

/// Whether a program generated the text: a UUID, the digits of a number, or random letters and digits. People
/// encode such texts once to make secrets of them (`openssl rand -hex 16 | base64`).
fn is_generated(text: &str) -> bool {
    let is_hexadecimal = |text: &str| text.bytes().all(|each| each.is_ascii_hexdigit());
    let groups: Vec<_> = text.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| is_hexadecimal(group));
    let is_random =
        || text.bytes().all(|each| each.is_ascii_alphanumeric()) && changes(text) * 4 >= text.len();
    is_uuid || (text.len() >= SHORTEST_GENERATED && (is_hexadecimal(text) || is_random()))
}

/// Programs seldom generate shorter texts, and people seldom write longer ones without a mark between words.
const SHORTEST_GENERATED: usize = 16;

/// How often the text changes between small letters, capital letters and other characters, which is seldom in
/// words.
fn changes(text: &str) -> usize {
    let kind = |each: u8| (each.is_ascii_lowercase(), each.is_ascii_uppercase());
    let kinds = text.bytes().map(kind);
    kinds.clone().zip(kinds.skip(1)).filter(|(one, next)| one != next).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    #[test]
    fn what_is_surely_not_the_value_is_wrong() {
        let sealed = BASE64_STANDARD.encode([&[2, 0][..], &[0x72; 600]].concat());
        let kms = BASE64_STANDARD.encode([&[1, 2, 2, 0][..], &[0x78; 150]].concat());
        for (value, seen) in [
            (twice("hunter2"), "base64 twice"),
            (twice("hunter2\n"), "base64 twice"),
            (twice("password1"), "base64 twice"),
            (twice("correct-horse-battery"), "base64 twice"),
            (twice("a service's secret"), "base64 twice"),
            (twice("pässwörd-für-ldap"), "base64 twice"),
            (twice(&twice("hunter2")), "base64 twice"),
            (twice("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"), "base64 twice"),
            (format!("{}\n{}", twice(&"abc".repeat(19)), twice("the-rest")), "base64 twice"),
            (twice("administratorpassword1"), "base64 twice"),
            (twice(&twice("correct-horse-battery")), "base64 twice"),
            (twice(&twice("0123456789abcdef0123456789abcdef")), "base64 twice"),
            (twice("local-0123456789abcdef0123456789abcdef01234567"), "base64 twice"),
            ("ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]".to_owned(), "encrypted (ENC"),
            ("ENC[PKCS7,MIIBiQYJ]".to_owned(), "encrypted (ENC"),
            ("-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----".to_owned(), "PGP"),
            ("age-encryption.org/v1\n-> X25519 abc".to_owned(), "age"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl".to_owned(), "age"),
            ("$ANSIBLE_VAULT;1.1;AES256\n6162".to_owned(), "Ansible"),
            ("{cipher}AQICAHh".to_owned(), "{cipher}"),
            ("vault:v1:8SDd3WHDOjf7mq69".to_owned(), "transit"),
            (sealed, "sealed"),
            (kms, "KMS"),
            ("<path:secret/data/ldap#password>".to_owned(), "argocd-vault-plugin"),
            ("<path:secret/data/ldap#password | base64decode>".to_owned(), "argocd-vault-plugin"),
            ("vault:secret/data/ldap#password".to_owned(), "webhooks"),
            (">>vault:secret/data/ldap#password".to_owned(), "webhooks"),
            ("ref+vault://secret/ldap#/password".to_owned(), "vals"),
            ("op://prod/ldap/password".to_owned(), "1Password"),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:x".to_owned(), "AWS"),
            ("projects/p/secrets/s/versions/latest".to_owned(), "Google"),
            ("${LDAP_PASSWORD}".to_owned(), "template"),
            ("${LDAP_PASSWORD:-none}".to_owned(), "template"),
            ("$(LDAP_PASSWORD)".to_owned(), "template"),
            ("{{ .Values.ldap.password }}".to_owned(), "template"),
            ("{{resolve:secretsmanager:ldap}}".to_owned(), "template"),
            ("((ldap-password))".to_owned(), "template"),
            ("#{LDAP_PASSWORD}#".to_owned(), "template"),
            ("<%= ENV['LDAP_PASSWORD'] %>".to_owned(), "template"),
            ("\u{feff}hunter2".to_owned(), "byte order mark"),
            ("hunter2\u{feff}".to_owned(), "U+FEFF"),
            ("hunt\u{200b}er2".to_owned(), "U+200B"),
            ("hunter2\u{200d}".to_owned(), "U+200D"),
            ("hunter2\u{202c}".to_owned(), "U+202C"),
            ("hun\u{ad}ter2".to_owned(), "U+00AD"),
            ("\u{1b}[200~hunter2".to_owned(), "U+001B"),
        ] {
            match look(&value) {
                Look::Wrong(flaw) => assert!(flaw.seen.contains(seen), "{value}: {}", flaw.seen),
                other => panic!("{value}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_may_be_the_value_is_let_through() {
        for value in [
            "hunter2",
            "password",
            "Password",
            "Passw0rd",
            "password1234",
            "Passw0rdPassw0rd",
            "letmein12345",
            "correct-horse-battery",
            "correct horse battery staple",
            "pässwörd",
            "👨\u{200d}👩\u{200d}👧 family",
            "❤\u{fe0f}love",
            "نمی\u{200c}دانم",
            "a\tb",
            "0123456789abcdef0123456789abcdef01234567",
            "local-0123456789abcdef0123456789abcdef01234567",
            "3f8a1c9e-8c0d-4b7e-9a51-0c6d1f2e3b4a",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            // Output of `openssl rand -base64` with 24, 16, 10 and 9 bytes.
            "q83vASNFZ4mrze8BI0VniavN7wEjRWeJ",
            "mJh3T5pX0sQ1vR8yZkW7Lg==",
            "8f3kQZz1xYw9Vg==",
            "3q2+7wECAwQF",
            "Agb2",
            "vault:nothing",
            "Tr0ub4dor&3",
            "{{",
            "$2y$10$",
            "a$b{c}d",
            "(())",
            "ENC[",
            "<3 <3 <3",
        ] {
            assert_eq!(look(value), Look::Sound, "{value}");
        }
    }

    #[test]
    fn what_chance_could_have_made_only_deserves_a_look() {
        for value in [
            "c2VjcmV0",
            "YS1iLWMtZC1l",
            // Output of `openssl rand -hex 16 | base64`, and the same without the line break.
            "OWYyYzRhN2IxZDNlNWY2MDcxODI5M2E0YjVjNmQ3ZTgK",
            "OWYyYzRhN2IxZDNlNWY2MDcxODI5M2E0YjVjNmQ3ZTg=",
            // Output of `uuidgen | base64`.
            "M2Y4YTFjOWUtOGMwZC00YjdlLTlhNTEtMGM2ZDFmMmUzYjRhCg==",
            // Output of `pwgen -s 20 1 | base64`.
            "eDlLdjJRYjdUbTRabjhScDNMYzYK",
            "ZXhhbXBsZS1hcHAtc2VjcmV0",
            "$LDAP_PASSWORD",
            "__LDAP_PASSWORD__",
            "%LDAP_PW%",
            "<your-password>",
            "x-${NAME}-y",
            "CHANGEME",
        ] {
            assert!(matches!(look(value), Look::Doubtful(_)), "{value}: {:?}", look(value));
        }
    }
}
