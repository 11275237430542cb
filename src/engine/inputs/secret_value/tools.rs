//! The texts that tools should have replaced by a value: ciphertexts, references and templates.

use base64::{Engine, prelude::BASE64_STANDARD};

/// The tool that encrypted the text, if it is a known ciphertext.
pub(super) fn ciphertext(text: &str) -> Option<&'static str> {
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
pub(super) fn reference(text: &str) -> Option<&'static str> {
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
pub(super) fn is_template(text: &str) -> bool {
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
pub(super) fn may_be_template(text: &str) -> bool {
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
