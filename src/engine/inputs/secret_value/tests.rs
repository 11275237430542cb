//! Which texts are surely not a value, and which may be one.

use base64::{Engine, prelude::BASE64_STANDARD};

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
