//! The check `IssuerMatches`: the document's issuer must be that of the spec. If it is not, the message says what
//! to do.
//!
//! Some documents name an issuer that has no document of its own (Azure AD B2C) or is no valid issuer (Entra's
//! `common`), so an issuer is recommended only after its document was read.

use std::time::Duration;

use super::{Document, Issuer, expect_ok, url::without_slash};
use crate::{
    engine::Checked,
    net::{HttpClient, HttpRequest},
    problem::{Problem, quote},
};

/// The longest time to wait for the other issuer's document.
const PATIENCE: Duration = Duration::from_secs(3);

/// Compares the document's issuer with that of the spec. If they differ, reads the other issuer's document for the
/// advice.
pub(crate) async fn expect_issuer(
    issuer: &Issuer,
    seen: &str,
    http: HttpClient<'_>,
    time_limit: Duration,
) -> Result<Checked, Problem> {
    let Err(Problem { reason, message }) = issuer.matches(seen) else { return issuer.matches(seen) };
    let patience = PATIENCE.min(time_limit / 5);
    let evidence = match tokio::time::timeout(patience, is_issuer(issuer, seen, http)).await {
        Ok(true) => IssuerEvidence::Document,
        Ok(false) | Err(_) => IssuerEvidence::Nothing,
    };
    Err(Problem::new(reason, format!("{message} {}", advice(issuer, seen, evidence))))
}

/// What was found at the issuer that the document names.
#[derive(Clone, Copy)]
enum IssuerEvidence {
    /// A document that names this issuer.
    Document,
    /// Nothing that W&B Server could use.
    Nothing,
}

fn advice(issuer: &Issuer, seen: &str, evidence: IssuerEvidence) -> String {
    let shown = quote(seen);
    match evidence {
        IssuerEvidence::Document => fix(issuer, seen),
        IssuerEvidence::Nothing if is_azure_b2c(issuer, seen) => {
            "The document's issuer has no document of its own, so W&B can use neither. In Azure AD B2C, set the issuer claim (iss) in the policy's token compatibility settings to the form with /tfp/, and spec.issuer to the issuer that its document names then.".to_owned()
        }
        IssuerEvidence::Nothing => format!(
            "{shown} has no discovery document that names it, so it would not work either. Find the right issuer in the provider's documentation, or configure the provider to use {issuer} in its document and its tokens."
        ),
    }
}

/// The one change that makes the spec's issuer the document's.
fn fix(issuer: &Issuer, seen: &str) -> String {
    let (own, shown) = (issuer.as_str(), quote(seen));
    let rest = |whole: &str, part: &str| {
        let rest = whole.strip_prefix(without_slash(part)).filter(|rest| rest.starts_with('/'));
        rest.map(|rest| quote(without_slash(rest)))
    };
    if own.strip_suffix('/') == Some(seen) {
        return "Remove the trailing slash from spec.issuer.".to_owned();
    }
    if seen.strip_suffix('/') == Some(own) {
        return "Add a trailing slash to spec.issuer.".to_owned();
    }
    let change = if own.eq_ignore_ascii_case(seen) {
        "Spell spec.issuer in the same upper and lower case".to_owned()
    } else if let Some(rest) = rest(seen, own) {
        format!("Add {rest} to the end of spec.issuer")
    } else if let Some(rest) = rest(own, seen) {
        format!("Remove {rest} from the end of spec.issuer")
    } else {
        match Issuer::parse(seen).map(|other| spelling(issuer, &other)) {
            Some(Spelling::Port) => "Write spec.issuer with the port exactly as the document does".to_owned(),
            Some(Spelling::Scheme(scheme)) => format!("Begin spec.issuer with {scheme}://"),
            Some(Spelling::Other) | None => {
                return format!("Set spec.issuer to {shown}, if that is the issuer you mean.");
            }
        }
    };
    format!("{change}: {shown}")
}

/// What differs in the spelling of two issuers.
enum Spelling {
    /// One names the default port, the other one does not.
    Port,
    /// Only the scheme; the other one's.
    Scheme(&'static str),
    /// More than that.
    Other,
}

fn spelling(issuer: &Issuer, other: &Issuer) -> Spelling {
    let normal = |issuer: &Issuer| issuer.well_known_url().clone();
    let (own, other) = (normal(issuer), normal(other));
    let behind_scheme = |url: &url::Url| url.as_str().split_once("://").map(|(_, rest)| rest.to_owned());
    if own == other {
        Spelling::Port
    } else if behind_scheme(&own) == behind_scheme(&other) {
        Spelling::Scheme(if other.scheme() == "https" { "https" } else { "http" })
    } else {
        Spelling::Other
    }
}

/// Whether an issuer of this name has a document that names it, and is no worse than the one of the spec.
async fn is_issuer(issuer: &Issuer, seen: &str, http: HttpClient<'_>) -> bool {
    let Some(other) = Issuer::parse(seen).filter(|other| other.is_encrypted() || !issuer.is_encrypted())
    else {
        return false;
    };
    let url = other.well_known_url();
    // The two issuers differ only by a slash at the end, so they share the document, which names `seen`.
    if url == issuer.well_known_url() {
        return true;
    }
    let Ok(response) = http.send(HttpRequest::get(url.clone())).await else { return false };
    expect_ok(&response, url, &http.network.egress(), || "").is_ok()
        && Document::read(&response.body, url).is_ok_and(|document| document.issuer == seen)
}

fn is_azure_b2c(issuer: &Issuer, seen: &str) -> bool {
    let other = Issuer::parse(seen);
    issuer.host().ends_with(".b2clogin.com")
        || other.is_some_and(|other| other.host().ends_with(".b2clogin.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_one_change() {
        for (issuer, seen, words) in [
            ("https://a.example/", "https://a.example", "Remove the trailing slash from spec.issuer."),
            ("https://a.example/realms/x/", "https://a.example/realms/x", "Remove the trailing slash from"),
            ("https://a.example", "https://a.example/", "Add a trailing slash to spec.issuer."),
            ("https://A.example/x", "https://a.example/x", "same upper and lower case: https://a.example/x"),
            ("https://a.example/realms/X", "https://a.example/realms/x", "same upper and lower case: "),
            (
                "https://a.example",
                "https://a.example/v2.0",
                "Add /v2.0 to the end of spec.issuer: https://a.example/v2.0",
            ),
            ("https://a.example/", "https://a.example/realms/x", "Add /realms/x to the end of"),
            (
                "https://a.example/auth",
                "https://a.example",
                "Remove /auth from the end of spec.issuer: https://a.example",
            ),
            (
                "https://a.example:443",
                "https://a.example",
                "with the port exactly as the document does: https://a.example",
            ),
            (
                "https://a.example",
                "https://a.example:443",
                "with the port exactly as the document does: https://a.example:443",
            ),
            ("http://a.example", "https://a.example", "Begin spec.issuer with https://: https://a.example"),
            ("https://a.example", "https://b.example", "Set spec.issuer to https://b.example, if that"),
            ("https://a.example/x", "https://a.example/xy", "Set spec.issuer to https://a.example/xy, if"),
        ] {
            let advice = advice(&Issuer::parse(issuer).unwrap(), seen, IssuerEvidence::Document);
            assert!(advice.contains(words), "{issuer} {seen}: {advice}");
        }
    }

    #[test]
    fn recommends_only_what_was_seen() {
        const ADVICE: &str = "Set spec.issuer to https";
        let b2c = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_login/v2.0";
        let b2c_document = "https://contoso.b2clogin.com/775527ff-9a37-4307-8b3d-cc311f58d925/v2.0/";
        let entra = "https://login.microsoftonline.com/common/v2.0";
        for (issuer, seen, evidence, words) in [
            ("https://a.example", "https://b.example", IssuerEvidence::Document, ADVICE),
            ("https://a.example", "https://b.example", IssuerEvidence::Nothing, "document that names it"),
            (b2c, b2c_document, IssuerEvidence::Nothing, "/tfp/"),
            (
                entra,
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                IssuerEvidence::Nothing,
                "document that names it",
            ),
        ] {
            let advice = advice(&Issuer::parse(issuer).unwrap(), seen, evidence);
            assert!(advice.contains(words), "{advice}");
            assert_eq!(advice.contains(ADVICE), matches!(evidence, IssuerEvidence::Document), "{advice}");
        }
    }
}
