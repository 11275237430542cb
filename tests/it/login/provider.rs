//! Logins through a real OpenID Provider, at its own login page.

use std::{net::TcpListener, sync::LazyLock};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use test_support::{OpenIdClient, OpenIdProvider, free_port};
use url::Url;

use super::{
    assert_found,
    attempt::{Attempt, Outcome},
    person::{Consent, Deeds, End, Person},
    reader::{Reader, open},
};
use crate::{
    command_line::call::{Directory, PLANTED},
    world::{CLIENT_SECRET, HOST, REDIRECT_URI},
};

/// Where a program listens; the provider takes any port of loopback.
const LOOPBACK: &str = "http://localhost/callback";

/// The provider, which all tests share.
fn provider() -> Result<&'static OpenIdProvider> {
    static PROVIDER: LazyLock<Result<OpenIdProvider>> = LazyLock::new(start);
    PROVIDER.as_ref().map_err(|error| anyhow!("the provider does not start: {error:#}"))
}

fn start() -> Result<OpenIdProvider> {
    let native = |client: OpenIdClient| client.and_redirect_uri(LOOPBACK).native();
    OpenIdProvider::builder()
        .issuer_path("/realms/wandb")
        .client(native(OpenIdClient::public("public", REDIRECT_URI)))
        .client(native(OpenIdClient::implicit("implicit", REDIRECT_URI)))
        .client(native(OpenIdClient::confidential("confidential", CLIENT_SECRET, REDIRECT_URI)))
        .client(OpenIdClient::public("elsewhere", "https://other.example.com/oidc/callback"))
        .start()
}

/// The files of an `OidcProvider` with these changes of its spec.
pub(super) fn files(changes: &Value) -> Result<Directory> {
    let mut spec = json!({
        "issuer": provider()?.issuer(), "clientID": "public", "host": HOST, "insecurePlaintext": true,
    });
    let fields = spec.as_object_mut().context("a spec")?;
    fields.extend(changes.as_object().context("changes")?.clone());
    let resource = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "OidcProvider", "metadata": {"name": "main"}, "spec": spec,
    });
    let secret = |name: &str, value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"secret": value}});
    let references = format!("{}\n---\n{}\n", secret("right", CLIENT_SECRET), secret("wrong", PLANTED));
    Directory::with(&[("main.yaml", &resource.to_string()), ("references.yaml", &references)])
}

/// How the answer gets to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pasted,
    Listened,
}

/// A person's login with these changes of the spec.
fn log_in(person: &mut dyn Person, changes: &Value, way: Way, deeds: Deeds<'_>) -> Result<(Outcome, End)> {
    let more = match way {
        Way::Pasted => String::new(),
        Way::Listened => format!("--redirect-uri http://localhost:{}/callback", free_port()?),
    };
    let mut attempt = Attempt::begin(files(changes)?, &more)?;
    let end = person.log_in(&attempt.address()?, deeds)?;
    if way == Way::Pasted {
        attempt.paste(&end.address)?;
    }
    let outcome = attempt.end()?;
    assert_no_secret(&outcome, &end)?;
    Ok((outcome, end))
}

/// Nothing that was printed can be used by anybody.
fn assert_no_secret(outcome: &Outcome, end: &End) -> Result<()> {
    let url = Url::parse(&end.address)?;
    let parts = [url.query(), url.fragment()].into_iter().flatten();
    let secrets = parts
        .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()).into_owned())
        .filter(|(name, _)| name == "code" || name == "id_token");
    for (name, value) in secrets {
        ensure!(!outcome.printed.contains(&value), "the {name} is printed: {}", outcome.printed);
    }
    for secret in [CLIENT_SECRET, PLANTED] {
        ensure!(!outcome.printed.contains(secret), "a secret is printed: {}", outcome.printed);
    }
    Ok(())
}

fn right(name: &str) -> Deeds<'_> {
    Deeds { name, passwords: &[], consent: Some(Consent::Given) }
}

/// A login that says what W&B Server reads.
type Scenario = fn(&mut dyn Person) -> Result<()>;

/// What happens to every person, whichever way they read pages.
pub(super) fn scenarios() -> Vec<(&'static str, Scenario)> {
    vec![
        ("the right password, listened", |person| the_right_password(person, Way::Listened)),
        ("the right password, pasted", |person| the_right_password(person, Way::Pasted)),
        ("a wrong password first", wrong_password_first),
        ("the consent refused", consent_refused),
        ("no e-mail address", without_email),
        ("too many groups", in_many_groups),
        ("the implicit flow, listened", |person| implicit(person, Way::Listened)),
        ("the implicit flow, pasted", |person| implicit(person, Way::Pasted)),
    ]
}

fn the_right_password(person: &mut dyn Person, way: Way) -> Result<()> {
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    let (outcome, end) = log_in(person, &json!({}), way, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    let token_bytes = outcome.report["person"]["tokenBytes"].as_u64().context("the token has a size")?;
    ensure!(token_bytes > 500, "{token_bytes} bytes");
    assert_eq!(
        outcome.report["person"],
        json!({
            "subject": "alice", "email": "alice@example.org", "emailVerified": true, "name": "alice",
            "username": "alice", "groups": [], "knownAs": "alice@example.org", "tokenBytes": token_bytes,
        })
    );
    let summary = match way {
        Way::Pasted => {
            "alice@example.org can log in; see the warnings. W&B Server knows this login as alice@example.org."
        }
        Way::Listened => {
            "alice@example.org can log in only if the way that was not tried works, too (see LoginAnswered). W&B Server would know this login as alice@example.org."
        }
    };
    match way {
        Way::Pasted => assert_found(&outcome.report, "LoginAnswered", "Passed", "Passed")?,
        Way::Listened => {
            let message = assert_found(&outcome.report, "LoginAnswered", "Warning", "Inconclusive")?;
            ensure!(
                message.contains(&format!("W&B's own redirect URI {REDIRECT_URI} was not tried")),
                "{message}"
            );
            message
        }
    };
    assert_eq!(outcome.report["summary"], summary, "{}", outcome.printed);
    assert_found(&outcome.report, "IdTokenVerified", "Passed", "Passed")?;
    let (begin, text) = match way {
        Way::Pasted => (REDIRECT_URI, ""),
        Way::Listened => ("http://localhost:", "The answer has arrived"),
    };
    ensure!(end.address.starts_with(begin) && end.text.contains(text), "{end:?}");
    Ok(())
}

fn wrong_password_first(person: &mut dyn Person) -> Result<()> {
    let deeds = Deeds { passwords: &["not-it", "alice-password"], ..right("alice") };
    let (outcome, _) = log_in(person, &json!({}), Way::Listened, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    Ok(())
}

fn consent_refused(person: &mut dyn Person) -> Result<()> {
    let deeds = Deeds { name: "alice", passwords: &["alice-password"], consent: Some(Consent::Refused) };
    for way in [Way::Listened, Way::Pasted] {
        // A second login of the same browser is asked for the consent alone.
        let deeds = if way == Way::Listened { deeds } else { Deeds { passwords: &[], ..deeds } };
        let (outcome, _) = log_in(person, &json!({}), way, deeds)?;
        assert_eq!(outcome.code, 1, "{}", outcome.printed);
        let message = assert_found(&outcome.report, "LoginAnswered", "Failed", "LoginRefused")?;
        ensure!(message.contains("access_denied: The person refuses the consent"), "{message}");
        ensure!(message.contains("the person has refused the consent, or the provider"), "{message}");
        assert_found(&outcome.report, "CodeExchanged", "Skipped", "NotReached")?;
    }
    Ok(())
}

fn without_email(person: &mut dyn Person) -> Result<()> {
    let deeds = Deeds { passwords: &["without-email-password"], ..right("without-email") };
    let (outcome, _) = log_in(person, &json!({}), Way::Listened, deeds)?;
    assert_eq!(outcome.code, 1, "{}", outcome.printed);
    let message = assert_found(&outcome.report, "EmailRead", "Failed", "ClaimMissing")?;
    ensure!(message.contains("no claim email") && message.contains("the client scope email"), "{message}");
    let summary = "without-email cannot log in: see EmailRead.";
    assert_eq!(outcome.report["summary"], summary);
    Ok(())
}

fn in_many_groups(person: &mut dyn Person) -> Result<()> {
    let changes = json!({ "groupsClaim": true, "extraScopes": ["groups"], "provider": "Entra" });
    // The rules of Entra's issuers are no part of a login.
    let deeds = Deeds { passwords: &["in-many-groups-password"], ..right("in-many-groups") };
    let (outcome, _) = log_in(person, &changes, Way::Listened, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    let message = assert_found(&outcome.report, "GroupsRead", "Warning", "GroupsElsewhere")?;
    ensure!(message.contains("Groups assigned to the application"), "{message}");
    Ok(())
}

fn implicit(person: &mut dyn Person, way: Way) -> Result<()> {
    let changes = json!({
        "clientID": "implicit", "authMethod": "implicit", "groupsClaim": true, "extraScopes": ["groups"],
    });
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    let (outcome, _) = log_in(person, &changes, way, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    assert_eq!(outcome.report["person"]["groups"], json!(["wandb"]));
    let message = assert_found(&outcome.report, "GroupsRead", "Passed", "Passed")?;
    ensure!(message.contains("the groups wandb"), "{message}");
    ensure!(!outcome.printed.contains("CodeExchanged"), "{}", outcome.printed);
    let message = assert_found(&outcome.report, "LoginAnswered", "Warning", "Inconclusive")?;
    let words = match way {
        Way::Pasted => "(response_mode=form_post) was not tried",
        Way::Listened => "without --redirect-uri",
    };
    ensure!(message.contains(words), "{message}");
    Ok(())
}

#[test]
fn what_the_server_would_read_is_shown() -> Result<()> {
    for (name, scenario) in scenarios() {
        scenario(&mut Reader::default()).with_context(|| name)?;
    }
    Ok(())
}

#[test]
fn the_secret_of_a_client_is_used_as_the_server_uses_it() -> Result<()> {
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    let with = |secret: &str| json!({ "clientID": "confidential", "clientSecretRef": { "name": secret, "key": "secret" } });
    let (outcome, _) = log_in(&mut Reader::default(), &with("right"), Way::Listened, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    let (outcome, _) = log_in(&mut Reader::default(), &with("wrong"), Way::Listened, deeds)?;
    assert_eq!(outcome.code, 1, "{}", outcome.printed);
    let message = assert_found(&outcome.report, "CodeExchanged", "Failed", "ClientRejected")?;
    ensure!(
        message.contains("its secret (invalid_client") && message.contains("Secret \"wrong\""),
        "{message}"
    );
    Ok(())
}

#[test]
fn an_answer_to_another_login_is_not_taken() -> Result<()> {
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    // The program that listens goes on waiting for its own.
    let uri = format!("http://localhost:{}/callback", free_port()?);
    let mut attempt = Attempt::begin(files(&json!({}))?, &format!("--redirect-uri {uri}"))?;
    let address = attempt.address()?;
    for (path, text) in [
        ("?code=of-somebody-else&state=x", "belongs to another login"),
        ("?code=of-somebody-else", "does not say to which login"),
        // Anybody who can make the browser open an address can send this.
        ("?error=access_denied", "does not say to which login"),
        ("?error=access_denied&state=x", "belongs to another login"),
        ("", "without an answer"),
        ("/other?code=x", "not the one of the login"),
    ] {
        let end = open(&format!("{uri}{path}"))?;
        ensure!(end.text.contains(text), "{path}: {end:?}");
    }
    Reader::default().log_in(&address, deeds)?;
    let outcome = attempt.end()?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);

    // A pasted address of an earlier login is refused, and nothing of it is sent.
    let mut earlier = Attempt::begin(files(&json!({}))?, "")?;
    let end = Reader::default().log_in(&earlier.address()?, deeds)?;
    let mut attempt = Attempt::begin(files(&json!({}))?, "")?;
    attempt.address()?;
    attempt.paste(&end.address)?;
    let outcome = attempt.end()?;
    assert_eq!(outcome.code, 1, "{}", outcome.printed);
    assert_found(&outcome.report, "LoginAnswered", "Failed", "AnswerMismatch")?;
    assert_found(&outcome.report, "CodeExchanged", "Skipped", "NotReached")?;
    Ok(())
}

#[test]
fn who_has_no_account_yet_is_not_let_in_where_nobody_is_created() -> Result<()> {
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    let (outcome, _) =
        log_in(&mut Reader::default(), &json!({ "autoProvision": false }), Way::Pasted, deeds)?;
    assert_eq!(outcome.code, 0, "{}", outcome.printed);
    let summary = outcome.report["summary"].as_str().unwrap_or_default();
    let words = "alice@example.org can log in only if W&B already has a user with this address";
    ensure!(summary.starts_with(words), "{summary}");
    Ok(())
}

#[test]
fn a_code_that_the_provider_does_not_know_is_refused() -> Result<()> {
    let deeds = Deeds { passwords: &["alice-password"], ..right("alice") };
    let mut attempt = Attempt::begin(files(&json!({}))?, "")?;
    let end = Reader::default().log_in(&attempt.address()?, deeds)?;
    let code = end.address.split("code=").nth(1).and_then(|rest| rest.split('&').next()).context("a code")?;
    attempt.paste(&end.address.replace(code, "used-up"))?;
    let outcome = attempt.end()?;
    assert_eq!(outcome.code, 1, "{}", outcome.printed);
    let message = assert_found(&outcome.report, "CodeExchanged", "Failed", "CodeRefused")?;
    ensure!(message.contains("invalid_grant") && message.contains("--redirect-uri"), "{message}");
    Ok(())
}

#[test]
fn who_does_not_come_back_is_waited_for_until_the_deadline() -> Result<()> {
    let uri = format!("http://localhost:{}/callback", free_port()?);
    let more = format!("--redirect-uri {uri} --timeout 1s");
    let mut attempt = Attempt::begin(files(&json!({ "clientID": "elsewhere" }))?, &more)?;
    // The provider does not know the address, and says so on a page of its own.
    let end = open(&attempt.address()?)?;
    ensure!(end.text.contains("redirect_uri"), "{end:?}");
    let outcome = attempt.end()?;
    assert_eq!(outcome.code, 1, "{}", outcome.printed);
    let message = assert_found(&outcome.report, "LoginAnswered", "Failed", "TimedOut")?;
    ensure!(message.contains(&uri), "{message}");
    let summary = outcome.report["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains("was not seen: see LoginAnswered"), "{summary}");
    Ok(())
}

#[test]
fn addresses_that_are_no_answer_are_told_apart() -> Result<()> {
    for (pasted, words) in [
        (format!("{REDIRECT_URI}#"), "has no answer of the provider"),
        (
            "https://login.example.com/error".to_owned(),
            "The browser ended at https://login.example.com/error",
        ),
        ("alice".to_owned(), "This is no address"),
    ] {
        let mut attempt = Attempt::begin(files(&json!({}))?, "")?;
        attempt.address()?;
        attempt.paste(&pasted)?;
        let outcome = attempt.end()?;
        assert_eq!(outcome.code, 1, "{}", outcome.printed);
        let message = assert_found(&outcome.report, "LoginAnswered", "Failed", "Inconclusive")?;
        ensure!(message.contains(words), "{message}");
    }
    Ok(())
}

#[test]
fn only_addresses_of_this_machine_are_listened_at() -> Result<()> {
    let files = files(&json!({}))?;
    for uri in ["https://wandb.example.com/oidc/callback", "http://10.0.0.1:80/", "callback"] {
        let words = format!("login -f main.yaml -f references.yaml --redirect-uri {uri}");
        let printed = files.call(&words)?;
        assert_eq!(printed.code, 2, "{printed}");
        ensure!(printed.stderr.contains("must be an address of this machine"), "{printed}");
    }
    Ok(())
}

#[test]
fn nobody_shares_the_address_with_another_program() -> Result<()> {
    let files = files(&json!({}))?;
    for taken in ["127.0.0.1:0", "[::1]:0"] {
        // A machine may have no such address.
        let Ok(other) = TcpListener::bind(taken) else { continue };
        let port = other.local_addr()?.port();
        let words = format!(
            "login -f main.yaml -f references.yaml --timeout 1s --redirect-uri http://localhost:{port}/callback"
        );
        let printed = files.call(&words)?;
        assert_eq!(printed.code, 2, "{printed}");
        ensure!(printed.stderr.contains("nobody can listen at http://localhost"), "{printed}");
    }
    Ok(())
}
