//! The check `IssuerMatches`: the document's issuer must be that of the spec. If it is not, the message says what
//! to do.
//!
//! Some documents name an issuer that has no document of its own (Azure AD B2C) or is no valid issuer (Entra's
//! `common`), so an issuer is recommended only after its document was read.

use std::time::Duration;

use super::{Document, Issuer, expect_ok};
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
        IssuerEvidence::Document => format!("Set spec.issuer to {shown}, if that is the issuer you mean."),
        IssuerEvidence::Nothing if is_azure_b2c(issuer, seen) => {
            "The document's issuer has no document of its own, so W&B can use neither. In Azure AD B2C, set the issuer claim (iss) in the policy's token compatibility settings to the form with /tfp/, and spec.issuer to the issuer that its document names then.".to_owned()
        }
        IssuerEvidence::Nothing => format!(
            "{shown} shows no discovery document that names itself, so it would not work either. Look up in the provider's documentation which issuer does, or have the provider name {issuer} in its document and its tokens."
        ),
    }
}

/// Whether `seen` is an issuer whose own document names it. An issuer without TLS does not count if that of the
/// spec has TLS.
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
    fn recommends_only_what_was_seen() {
        const ADVICE: &str = "Set spec.issuer to https";
        let b2c = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_login/v2.0";
        let b2c_document = "https://contoso.b2clogin.com/775527ff-9a37-4307-8b3d-cc311f58d925/v2.0/";
        let entra = "https://login.microsoftonline.com/common/v2.0";
        for (issuer, seen, evidence, words) in [
            ("https://a.example", "https://b.example", IssuerEvidence::Document, ADVICE),
            ("https://a.example", "https://b.example", IssuerEvidence::Nothing, "names itself"),
            (b2c, b2c_document, IssuerEvidence::Nothing, "/tfp/"),
            (
                entra,
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                IssuerEvidence::Nothing,
                "names itself",
            ),
        ] {
            let advice = advice(&Issuer::parse(issuer).unwrap(), seen, evidence);
            assert!(advice.contains(words), "{advice}");
            assert_eq!(advice.contains(ADVICE), matches!(evidence, IssuerEvidence::Document), "{advice}");
        }
    }
}
