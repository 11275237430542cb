//! Key sets and tokens, judged here and by go-oidc and go-jose: what they refuse is refused, and what they accept passes.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use test_support::{
    CertificateAuthority, GoOpinion, Leaf, TokenCase,
    certificate_draft::{Draft, DraftKey, name},
    tokens::{SigningKey, base64url, weak_jwk},
};
use wandb_auth_operator::api::CheckResult;

use super::{
    examine, in_seconds, sample_check,
    scripted_issuer::{Issuer, claims},
};

/// A key set with a token, and what the two are expected to say.
struct Case {
    name: &'static str,
    keys: Value,
    signer: Signer,
    header: Value,
    claims: Value,
    expected: Verdict,
}

/// Whose key signs the token.
#[derive(Clone, Copy)]
enum Signer {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
    Certified,
}

/// What is made of the token.
#[derive(Clone, Copy)]
enum Verdict {
    Accepted,
    Refused,
    /// Go accepts it, and the operator refuses it on purpose.
    OnlyGo(&'static str),
    /// The operator accepts it, and Go refuses it.
    OnlyOperator(&'static str),
}

/// The keys of all cases, and a certificate for one of them.
struct Keys {
    rsa: SigningKey,
    p256: SigningKey,
    p384: SigningKey,
    p521: SigningKey,
    ed25519: SigningKey,
    certified: SigningKey,
    certificate: String,
    other_certificate: String,
}

impl Keys {
    fn new() -> Self {
        let authority = CertificateAuthority::new("issuer").unwrap();
        let [certificate, other] = [(); 2].map(|()| authority.issue(&Leaf::loopback()).unwrap());
        let base64 = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        Self {
            rsa: SigningKey::rsa("key").unwrap(),
            p256: SigningKey::p256("key").unwrap(),
            p384: SigningKey::p384("key").unwrap(),
            p521: SigningKey::p521("key").unwrap(),
            ed25519: SigningKey::ed25519("key").unwrap(),
            certified: SigningKey::of_certificate("key", &certificate).unwrap(),
            certificate: base64(&certificate.certificate_pem),
            other_certificate: base64(&other.certificate_pem),
        }
    }

    fn key(&self, signer: Signer) -> &SigningKey {
        match signer {
            Signer::Rsa => &self.rsa,
            Signer::P256 => &self.p256,
            Signer::P384 => &self.p384,
            Signer::P521 => &self.p521,
            Signer::Ed25519 => &self.ed25519,
            Signer::Certified => &self.certified,
        }
    }

    fn jwk(&self, signer: Signer) -> Value {
        self.key(signer).jwk().unwrap()
    }
}

/// A change to null takes a member out.
fn with(mut key: Value, changes: &Value) -> Value {
    let members = key.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    key
}

/// The number of a member with so many zero bytes in front, which three of are four digits.
fn with_zeros(key: &Value, member: &str) -> Value {
    let digits = format!("AAAA{}", key[member].as_str().unwrap());
    with(key.clone(), &json!({ member: digits }))
}

/// A number of 2048 bits whose last digit has four bits that belong to none of its bytes: they are set.
fn with_unused_bits(number: &Value) -> String {
    let digits = number.as_str().unwrap();
    let (last, rest) = (digits.chars().last().unwrap(), &digits[..digits.len() - 1]);
    let changed = match last {
        'A' => 'P',
        'Q' => 'f',
        'g' => 'v',
        'w' => '_',
        _ => panic!("{digits} has another length"),
    };
    format!("{rest}{changed}")
}

/// The coordinate 1 of Ed25519 with the prime of its field added.
fn prime_plus_one() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xee, 0x7f);
    bytes
}

const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

fn algorithm(signer: Signer) -> &'static str {
    match signer {
        Signer::Rsa => "RS256",
        Signer::P256 | Signer::Certified => "ES256",
        Signer::P384 => "ES384",
        Signer::P521 => "ES512",
        Signer::Ed25519 => "EdDSA",
    }
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn cases(keys: &Keys) -> Vec<Case> {
    use Signer::{Certified, Ed25519, P256, P384, P521, Rsa};
    use Verdict::{Accepted, OnlyGo, OnlyOperator, Refused};
    let case = |name, keys: Value, signer, expected| Case {
        name,
        keys,
        signer,
        header: json!({ "alg": algorithm(signer), "kid": "key" }),
        claims: json!({}),
        expected,
    };
    let (rsa, p256, ed25519) = (keys.jwk(Rsa), keys.jwk(P256), keys.jwk(Ed25519));
    let changed = |changes: Value| json!([with(rsa.clone(), &changes)]);
    let beside = |other: Value| json!([other, rsa]);
    let certified = |changes: Value| json!([with(keys.jwk(Certified), &changes)]);
    let behind = |draft: &Draft| {
        let der = draft.self_signed(&DraftKey::p256().unwrap()).unwrap();
        json!({ "x5c": [keys.certificate, STANDARD.encode(der)] })
    };
    let mut cases = Vec::new();
    for signer in [Rsa, P256, P384, P521, Ed25519] {
        cases.push(case(algorithm(signer), json!([keys.jwk(signer)]), signer, Accepted));
    }
    for (name, set, expected) in [
        ("zeros in n", json!([with_zeros(&rsa, "n")]), Accepted),
        ("zeros in e", json!([with_zeros(&rsa, "e")]), Accepted),
        ("a line break in n", changed(json!({ "n": format!("{}\n", rsa["n"].as_str().unwrap()) })), Accepted),
        ("padding in n", changed(json!({ "n": format!("{}==", rsa["n"].as_str().unwrap()) })), Refused),
        ("unused bits in n", changed(json!({ "n": with_unused_bits(&rsa["n"]) })), Accepted),
        ("n as a number", changed(json!({ "n": 7 })), Refused),
        ("no n", changed(json!({ "n": null })), Refused),
        ("no kty", changed(json!({ "kty": null })), Refused),
        ("for encryption", changed(json!({ "use": "enc" })), Accepted),
        ("for something", changed(json!({ "use": "tls" })), Accepted),
        ("use as a list", changed(json!({ "use": ["sig"] })), Refused),
        ("operations of encryption", changed(json!({ "key_ops": ["encrypt", "wrapKey"] })), Accepted),
        ("operations of signing", changed(json!({ "key_ops": ["sign"] })), Accepted),
        ("operations as a text", changed(json!({ "key_ops": "verify" })), Accepted),
        ("no operations", changed(json!({ "key_ops": [] })), Accepted),
        ("for another hash", changed(json!({ "alg": "RS512" })), Accepted),
        ("for another type", changed(json!({ "alg": "ES256" })), Accepted),
        ("for encryption by its algorithm", changed(json!({ "alg": "RSA-OAEP-256" })), Refused),
        ("no algorithm", changed(json!({ "alg": null, "use": null })), Accepted),
        ("an empty algorithm", changed(json!({ "alg": "" })), Accepted),
        ("alg as a number", changed(json!({ "alg": 7 })), Refused),
        ("kid as a number", changed(json!({ "kid": 7 })), Refused),
        ("another kid", changed(json!({ "kid": "other" })), Refused),
        ("no kid", changed(json!({ "kid": null })), Refused),
        ("an even exponent", changed(json!({ "e": "AQAA" })), Refused),
        ("an exponent of one", changed(json!({ "e": "AQ" })), Refused),
        ("an exponent of 33 bits", changed(json!({ "e": "AQAAAAE" })), Refused),
        ("an exponent of 72 bits", changed(json!({ "e": "AQEBAQEBAQEB" })), Refused),
        ("beside an exponent of one", beside(with(rsa.clone(), &json!({ "kid": "x", "e": "AQ" }))), Refused),
        (
            "beside an exponent of 33 bits",
            beside(with(rsa.clone(), &json!({ "kid": "x", "e": "AQAAAAE" }))),
            Accepted,
        ),
        ("beside a key of the same kid", beside(keys.jwk(P256)), Accepted),
        ("beside a weak key", beside(weak_jwk()), Accepted),
        (
            "beside 8192 bits",
            beside(json!({ "kty": "RSA", "kid": "x", "e": "AQAB", "n": base64url([0xff; 1024]) })),
            Accepted,
        ),
        ("beside an unknown type", beside(json!({ "kty": "from-the-future" })), Accepted),
        (
            "beside a post-quantum key",
            beside(json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" })),
            Accepted,
        ),
        ("beside a key without kty", beside(json!({ "kid": "x" })), Refused),
        ("beside a number", beside(json!(7)), Refused),
        ("beside a text", beside(json!("junk")), Refused),
        ("beside null", beside(Value::Null), Refused),
        ("beside a secret", beside(json!({ "kty": "oct", "k": "AAAA" })), Accepted),
        ("beside a secret for HS256", beside(json!({ "kty": "oct", "alg": "HS256" })), Accepted),
        ("beside a secret without k", beside(json!({ "kty": "oct" })), Refused),
        ("beside a bitcoin curve", beside(with(p256.clone(), &json!({ "crv": "secp256k1" }))), Accepted),
        (
            "beside a bitcoin curve by its algorithm",
            beside(with(p256.clone(), &json!({ "crv": "P-256K", "alg": "ES256K", "x": "junk=" }))),
            Accepted,
        ),
        ("beside Ed448", beside(with(ed25519.clone(), &json!({ "crv": "Ed448", "alg": null }))), Accepted),
        ("beside a point off the curve", beside(with(p256.clone(), &json!({ "y": p256["x"] }))), Refused),
        ("beside a short coordinate", beside(with(p256.clone(), &json!({ "x": "AA" }))), Refused),
        ("beside zeros in a coordinate", beside(with_zeros(&p256, "x")), Refused),
        (
            "beside a point of low order",
            beside(with(ed25519.clone(), &json!({ "x": base64url([0; 32]) }))),
            Refused,
        ),
        (
            "beside another point of low order",
            beside(with(ed25519.clone(), &json!({ "x": base64url(prime_plus_one()) }))),
            Refused,
        ),
        ("beside a short point", beside(with(ed25519.clone(), &json!({ "x": "AAAA" }))), Refused),
        ("a private exponent alone", changed(json!({ "d": "AAAA" })), Refused),
        (
            "beside a private exponent alone",
            beside(with(rsa.clone(), &json!({ "kid": "x", "d": "AAAA" }))),
            Refused,
        ),
        (
            "beside the private half of a point",
            beside(with(p256.clone(), &json!({ "d": base64url([1; 32]) }))),
            Accepted,
        ),
        (
            "beside a private half that is too short",
            beside(with(p256.clone(), &json!({ "d": "AAAA" }))),
            Refused,
        ),
        (
            "beside another's private half",
            beside(with(ed25519.clone(), &json!({ "d": base64url([1; 32]) }))),
            Refused,
        ),
    ] {
        cases.push(case(name, set, Rsa, expected));
    }
    for (name, changes, expected) in [
        ("its certificate", json!({ "x5c": [keys.certificate] }), Accepted),
        ("no certificates", json!({ "x5c": [] }), Accepted),
        ("another's certificate", json!({ "x5c": [keys.other_certificate] }), Refused),
        (
            "another's certificate behind its own",
            json!({ "x5c": [keys.certificate, keys.other_certificate] }),
            Accepted,
        ),
        ("a good certificate behind its own", behind(&Draft::of("a")), Accepted),
        ("a certificate with a negative serial number", behind(&Draft::of("a").serial(&[0x80])), Refused),
        ("an underscore in a PrintableString", behind(&Draft::of("a").subject(name(19, "a_b"))), Refused),
        ("an at sign in a PrintableString", behind(&Draft::of("a").subject(name(19, "a@b"))), Refused),
        ("an at sign in a UTF8String", behind(&Draft::of("a").subject(name(12, "a@b"))), Accepted),
        ("a certificate with bytes behind it", behind(&Draft::of("a").trailing(&[0, 0])), Refused),
        (
            "a certificate with a URI that Go does not parse",
            behind(&Draft::of("a").alternative_names(&["https://a b/"])),
            Refused,
        ),
        ("no base64 in x5c", json!({ "x5c": ["MII"] }), Refused),
        ("no certificate in x5c", json!({ "x5c": ["AAAA"] }), Refused),
        ("x5c as a text", json!({ "x5c": keys.certificate }), Refused),
        ("a short thumbprint", json!({ "x5t": "AAAA" }), Refused),
        (
            "a thumbprint alone",
            json!({ "x5t": base64url([1; 20]), "x5t#S256": base64url([1; 32]) }),
            Accepted,
        ),
        (
            "a thumbprint in digits",
            json!({ "x5t": base64url("0123456789abcdef0123456789abcdef01234567") }),
            Accepted,
        ),
        (
            "another's thumbprint",
            json!({ "x5c": [keys.certificate], "x5t#S256": base64url([1; 32]) }),
            Refused,
        ),
    ] {
        cases.push(case(name, certified(changes), Certified, expected));
    }
    let plain = |name, header: Value, claims: Value, expected| Case {
        name,
        keys: json!([rsa]),
        signer: Rsa,
        header,
        claims,
        expected,
    };
    let header = || json!({ "alg": "RS256", "kid": "key" });
    cases.extend([
        plain("a token without kid", json!({ "alg": "RS256" }), json!({}), Accepted),
        plain("a token with an empty kid", json!({ "alg": "RS256", "kid": "" }), json!({}), Accepted),
        plain("a token of another algorithm", json!({ "alg": "RS384", "kid": "key" }), json!({}), Refused),
        plain("a token with alg none", json!({ "alg": "none", "kid": "key" }), json!({}), Refused),
        plain("a token with alg HS256", json!({ "alg": "HS256", "kid": "key" }), json!({}), Refused),
        plain(
            "a token with demands",
            json!({ "alg": "RS256", "kid": "key", "crit": ["x"] }),
            json!({}),
            Refused,
        ),
        plain(
            "a token with a demand that go-jose knows",
            json!({ "alg": "RS256", "kid": "key", "crit": ["b64"], "b64": true }),
            json!({}),
            OnlyGo("no issuer sends it, and whether W&B Server's version knows it is not known"),
        ),
        plain("an expired token", header(), json!({ "exp": in_seconds(-90) }), Refused),
        plain(
            "a token that has just expired",
            header(),
            json!({ "exp": in_seconds(-20) }),
            OnlyOperator("the clocks of operator and server may be a minute apart; the next check tells"),
        ),
        plain("a token of the next minute", header(), json!({ "nbf": in_seconds(30) }), Accepted),
        plain(
            "a token of the next minutes",
            header(),
            json!({ "nbf": in_seconds(200) }),
            OnlyGo("W&B documents no leeway, and the time passes by itself"),
        ),
        plain("several audiences", header(), json!({ "aud": ["other", "my-org"] }), Accepted),
        plain("another audience", header(), json!({ "aud": "other" }), Refused),
        plain("another issuer", header(), json!({ "iss": "https://other.example" }), Refused),
        plain(
            "no subject",
            header(),
            json!({ "sub": null }),
            OnlyGo("W&B finds the user or the account by it, beyond what go-oidc looks at"),
        ),
    ]);
    cases
}

#[tokio::test]
async fn tokens_are_judged_as_go_judges_them() {
    let keys = Keys::new();
    let mut asked = Vec::new();
    let mut judged = Vec::new();
    for case in cases(&keys) {
        let issuer = Issuer::publishing(&[])
            .publishing_jwks(case.keys.clone())
            .changed(json!({ "id_token_signing_alg_values_supported": ALGORITHMS }))
            .start();
        let url = issuer.url("");
        let claims = claims(&url, &case.claims);
        let token = keys.key(case.signer).sign_with(&case.header, &claims).unwrap();
        let sample = json!([{
            "name": "ci", "tokenSecretRef": { "name": "tokens", "key": "ci" }, "expect": { "valid": true },
        }]);
        let spec = super::spec(&url, &json!({ "samples": sample, "keys": { "algorithms": ALGORITHMS } }));
        let examined = examine(&spec, &[("ci", &token)]).await;
        let accepted = examined.finding(&sample_check("ci")).result == CheckResult::Passed;
        judged.push((case.name, case.expected, accepted, examined.told()));
        asked.push(TokenCase {
            issuer: url,
            audience: "my-org".to_owned(),
            key_set: json!({ "keys": case.keys }).to_string(),
            token,
            algorithms: ALGORITHMS.map(str::to_owned).to_vec(),
            now: 0,
        });
    }
    let verdicts = GoOpinion::install().unwrap().tokens(&asked).unwrap();
    let mut surprises = Vec::new();
    for ((name, expected, ours, told), go) in judged.iter().zip(&verdicts) {
        let fits = match expected {
            Verdict::Accepted => *ours && go.accepted,
            Verdict::Refused => !*ours && !go.accepted,
            Verdict::OnlyGo(why) => !why.is_empty() && !*ours && go.accepted,
            Verdict::OnlyOperator(why) => !why.is_empty() && *ours && !go.accepted,
        };
        if !fits {
            surprises.push(format!("{name}: accepted here {ours}, Go {} {}\n{told}", go.accepted, go.error));
        }
    }
    assert!(judged.len() > 80, "{} cases", judged.len());
    assert!(surprises.is_empty(), "{}", surprises.join("\n\n"));
}
