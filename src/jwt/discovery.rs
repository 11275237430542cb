//! Fetches the discovery document of an issuer from both of the places that W&B's documentation names.

use std::time::{Duration, Instant};

use url::Url;

use super::JwtPlan;
use crate::{
    api::{CheckName, Reason},
    engine::{self, Checked, Report},
    issuer::{self, Document, Issuer, expect_issuer},
    net::{HttpClient, HttpConnection, Lasting, Recency},
    problem::{Problem, quote},
};

/// Connects to the issuer, fetches its document, and checks that the document names the issuer of the spec.
pub(super) async fn discover(plan: &JwtPlan, http: HttpClient<'_>, report: &mut Report) -> Option<Document> {
    let endpoint = plan.settings.issuer.endpoint();
    let connection = engine::connect(report, http.network, endpoint, plan.protection()).await?;
    let document = report.check(CheckName::Discovery, fetch(plan, http, connection)).await?;
    let settings = &plan.settings;
    let comparison = expect_issuer(&settings.issuer, &document.issuer, http, settings.time_limit);
    report.check(CheckName::IssuerMatches, comparison).await?;
    Some(document)
}

/// How long both places are waited for together, as far as the older one is concerned: most issuers have nothing there.
const PATIENCE: Duration = Duration::from_secs(3);

/// The least time that the older place has.
const LEAST: Duration = Duration::from_millis(500);

async fn fetch(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    connection: HttpConnection,
) -> Result<Checked<Document>, Problem> {
    let issuer = &plan.settings.issuer;
    let (usual, older) = (issuer.well_known_url(), issuer.older_well_known_url());
    let started = Instant::now();
    // One after the other, over the same connection.
    http.leave(usual, connection).await?;
    let at_usual = document(plan, http, usual, (Lasting::Found, Recency::AsShared)).await;
    let patience = PATIENCE.saturating_sub(started.elapsed()).max(LEAST);
    let at_older = tokio::time::timeout(
        patience,
        document(plan, http, older, (Lasting::FoundOrAbsent, Recency::AsShared)),
    )
    .await;
    let at_older = at_older.unwrap_or_else(|_| Err(no_answer(older)));
    let FoundDocument { document, mut concern, mut words } = compare(issuer, at_usual, at_older)?;
    if !issuer.is_encrypted() {
        concern = concern.or(Some(Reason::Unencrypted));
        words.push_str(" It and the keys travel unencrypted, so anybody on the way can replace them, as spec.insecurePlaintext accepts. Give the issuer an https:// address.");
    }
    words.push_str(&http.network.seen_within());
    Ok(match concern {
        None => Checked::passed(document, words),
        Some(reason) => Checked::warning(document, reason, words),
    })
}

fn no_answer(url: &Url) -> Problem {
    Problem::new(Reason::TimedOut, format!("{} does not answer.", quote(url.as_str())))
}

/// The document at one of its places.
pub(super) async fn document(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    url: &Url,
    wanted: (Lasting, Recency),
) -> Result<Document, Problem> {
    let advice = || "Check spec.issuer, above all its path";
    // Boxed, since a future that is moved around should be small.
    let response = Box::pin(issuer::fetch(http, plan.ca_bundle.as_ref(), url, wanted, advice)).await?;
    Document::read(&response.body, url)
}

/// A document, and what is to be told of where it is.
struct FoundDocument {
    document: Document,
    concern: Option<Reason>,
    words: String,
}

/// Determines which place has the document. One place is enough.
fn compare(
    issuer: &Issuer,
    at_usual: Result<Document, Problem>,
    at_older: Result<Document, Problem>,
) -> Result<FoundDocument, Problem> {
    let (usual, older) = (issuer.well_known_url(), issuer.older_well_known_url());
    let (document, concern, words) = match (at_usual, at_older) {
        (Ok(document), Ok(other)) if document.says_the_same(&other) => {
            (document, None, format!("{usual} and {older} have the discovery document."))
        }
        (Ok(document), Ok(_)) => (
            document,
            Some(Reason::InvalidDocument),
            format!(
                "{usual} and {older} have different discovery documents, and which of them W&B Server reads depends on its version. Make them the same."
            ),
        ),
        (Ok(document), Err(_)) => (
            document,
            None,
            format!(
                "{usual} has the discovery document; {older}, which W&B's older documentation names, has none."
            ),
        ),
        (Err(_), Ok(document)) => (
            document,
            None,
            format!(
                "{older} has the discovery document, as W&B's older documentation wants it. {usual}, which its newer documentation names, has none: publish it there, too."
            ),
        ),
        (Err(problem), Err(other)) => return Err(both(issuer, &problem, &other)),
    };
    Ok(FoundDocument { document, concern, words })
}

/// The problem when neither place has the document. A problem other than an unexpected status is reported first,
/// since it says more.
fn both(issuer: &Issuer, problem: &Problem, other: &Problem) -> Problem {
    let is_missing = |problem: &Problem| problem.reason == Reason::UnexpectedStatus;
    let (reported, elsewhere) = if is_missing(problem) && !is_missing(other) {
        (other, issuer.well_known_url())
    } else {
        (problem, issuer.older_well_known_url())
    };
    Problem::new(reported.reason, format!("{} {elsewhere} does not have it either.", reported.message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(jwks_uri: &str) -> Document {
        let url = Url::parse("https://a.example/.well-known/openid-configuration").unwrap();
        let document = json!({ "issuer": "https://a.example", "jwks_uri": jwks_uri });
        Document::read(document.to_string().as_bytes(), &url).unwrap()
    }

    fn found(
        at_usual: Result<Document, Reason>,
        at_older: Result<Document, Reason>,
    ) -> Result<FoundDocument, Problem> {
        let issuer = Issuer::parse("https://a.example").unwrap();
        let problem = |reason: Reason| Problem::new(reason, format!("{reason}."));
        compare(&issuer, at_usual.map_err(problem), at_older.map_err(problem))
    }

    #[test]
    fn one_place_is_enough() {
        let (one, other) = (document("https://a.example/jwks"), document("https://b.example/jwks"));
        let missing = || Err(Reason::UnexpectedStatus);
        for (at_usual, at_older, expected, concern, words) in [
            (Ok(one.clone()), Ok(one.clone()), &one, None, "have the discovery document"),
            (Ok(one.clone()), missing(), &one, None, "oidc-configuration, which W&B's older"),
            (missing(), Ok(one.clone()), &one, None, "publish it there, too"),
            (Ok(one.clone()), Ok(other.clone()), &one, Some(Reason::InvalidDocument), "different"),
            (Err(Reason::NotJson), Ok(other.clone()), &other, None, "newer documentation"),
        ] {
            let found = found(at_usual, at_older).ok().unwrap();
            assert_eq!((&found.document, found.concern), (expected, concern), "{}", found.words);
            assert!(found.words.contains(words), "{}", found.words);
        }
    }

    #[test]
    fn the_more_telling_problem_is_told() {
        use Reason::{NotJson, ServerUnavailable, UnexpectedStatus};
        for (at_usual, at_older, reason, elsewhere) in [
            (UnexpectedStatus, UnexpectedStatus, UnexpectedStatus, "oidc-configuration does not"),
            (UnexpectedStatus, ServerUnavailable, ServerUnavailable, "openid-configuration does not"),
            (ServerUnavailable, NotJson, ServerUnavailable, "oidc-configuration does not"),
        ] {
            let problem = found(Err(at_usual), Err(at_older)).err().unwrap();
            assert_eq!(problem.reason, reason);
            assert!(problem.message.contains(elsewhere), "{}", problem.message);
        }
    }
}
