//! Whether the provider knows the client: a token request with a made-up code.

use hyper::StatusCode;
use url::Url;

use super::{OidcPlan, discovery::ProviderMetadata};
use crate::{
    api::{
        CheckName, Reason,
        oidc_provider::{AuthMethod, Provider},
    },
    engine::{Checked, Report, coming_from},
    issuer::{
        at, expect_available,
        oauth::{
            ClientAuthentication, OAuthError, TokenAnswer, client_login, client_redactor, request_token,
        },
    },
    net::{HttpClient, Said, endpoint_of},
    problem::Problem,
    sensitive::Redactor,
};

/// Asks the token endpoint, unless the spec leaves it out or there is nothing to ask.
pub(super) async fn check(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    metadata: &ProviderMetadata,
    report: &mut Report,
) {
    let name = CheckName::ClientCredentials;
    if !plan.settings.checks.client_credentials {
        return report.skip(name, "Not run, since spec.checks.clientCredentials is false.");
    }
    let is_used = plan.settings.flow == AuthMethod::Pkce || plan.secret.is_some();
    let Some(endpoint) = metadata.token_endpoint.as_ref().filter(|_| is_used) else {
        return report.skip(name, "Not run, since authMethod: implicit does not use the token endpoint.");
    };
    report.check(name, ask_once(plan, http, endpoint)).await;
}

/// A client's secret that was refused a short while ago is not sent once more by each resource that has it.
async fn ask_once(plan: &OidcPlan, http: HttpClient<'_>, endpoint: &Url) -> Result<Checked, Problem> {
    // A handshake's future is large, and several of these stand in each other.
    send_secret_once(plan, http, endpoint, Box::pin(ask(plan, http, endpoint))).await
}

/// A request with the client's secret, if it has one.
pub(super) async fn send_secret_once<T>(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    endpoint: &Url,
    asked: impl Future<Output = Result<Checked<T>, Problem>>,
) -> Result<Checked<T>, Problem> {
    let (Some(secret), Ok(server)) = (&plan.secret, endpoint_of(endpoint)) else { return asked.await };
    let login = client_login(server, endpoint, &plan.settings.client_id, secret);
    let said = |outcome: Result<&Checked<T>, &Problem>| match outcome {
        Ok(_) => Said::Accepted,
        Err(problem) if problem.reason == Reason::ClientRejected => Said::Refused,
        Err(_) => Said::Nothing,
    };
    let sent = http.network.send_once(&login, asked, said).await;
    sent.map_err(|problem| match problem.reason {
        Reason::ClientRejected => coming_from(problem, &plan.secret_location),
        _ => problem,
    })
}

async fn ask(plan: &OidcPlan, http: HttpClient<'_>, endpoint: &Url) -> Result<Checked, Problem> {
    let id = &plan.settings.client_id;
    let Some(secret) = &plan.secret else {
        return match request(plan, http, endpoint, ClientAuthentication::Public).await? {
            ClientAnswer::CodeRefused(seen) => {
                Ok(conclude(plan, &format!("the public client {id}"), "", &seen))
            }
            ClientAnswer::Rejected(seen) => Err(rejected(&format!(
                "The provider refuses the client {id} without a secret ({seen}). Check spec.clientID, and name the secret in spec.clientSecretRef if the client is registered with one."
            ))),
            ClientAnswer::BrowsersOnly(seen) | ClientAnswer::Unclear(seen) => Ok(unclear(&seen)),
        };
    };
    let known = format!("the client {id} and its secret");
    // In the order in which Go's oauth2 tries them.
    let seen = match request(plan, http, endpoint, ClientAuthentication::Basic(secret)).await? {
        ClientAnswer::CodeRefused(seen) => {
            return Ok(conclude(plan, &known, ", sent as client_secret_basic", &seen));
        }
        ClientAnswer::BrowsersOnly(seen) | ClientAnswer::Unclear(seen) => return Ok(unclear(&seen)),
        ClientAnswer::Rejected(seen) => seen,
    };
    // Some providers accept the secret in one way only; W&B, too, tries the other one then.
    match request(plan, http, endpoint, ClientAuthentication::Post(secret)).await? {
        ClientAnswer::CodeRefused(seen) => Ok(conclude(plan, &known, ", sent as client_secret_post", &seen)),
        // Without the grant for codes, the refusal says nothing about the implicit flow.
        _ if plan.settings.flow == AuthMethod::Implicit => Ok(unclear(&seen)),
        _ => Err(rejected(&format!(
            "The provider refuses the client {id} or its secret ({seen}). Check spec.clientID and the secret, and that it has not expired at the provider."
        ))),
    }
}

/// Which of client and code a provider looks at first. RFC 6749 section 5.2 leaves it open, and only where it is
/// the client does a refused code prove the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The provider refuses an unknown client or a wrong secret before it looks at the code.
    Client,
    /// The provider refuses some codes before it looks at the client.
    Code,
    /// No source tells.
    Unknown,
}

fn order(provider: Provider) -> Order {
    match provider {
        // Its TokenEndpoint calls checkClient() before the grant is processed
        // (keycloak/keycloak, services/…/protocol/oidc/endpoints/TokenEndpoint.java).
        Provider::Keycloak => Order::Client,
        // A code that it cannot decode is AADSTS9002313, whatever the client and the secret
        // (learn.microsoft.com/entra/identity-platform/reference-error-codes has the codes, and no order).
        Provider::Entra => Order::Code,
        // The documentation of the first four lists the errors of the token endpoint, and says nothing of their order;
        // the last may be anything. (oidc-provider for Node.js, which the tests run, looks at the client first.)
        Provider::Cognito | Provider::Okta | Provider::Auth0 | Provider::Google | Provider::Generic => {
            Order::Unknown
        }
    }
}

/// What a refused code says of the client.
fn conclude(plan: &OidcPlan, client: &str, way: &str, seen: &str) -> Checked {
    let provider = plan.settings.provider;
    let doubt = match order(provider) {
        Order::Client => return Checked::passed((), format!("The provider knows {client}{way}.")),
        Order::Code => format!("{provider} may refuse a code before it checks the client"),
        Order::Unknown => {
            "the operator does not know whether this provider checks the client before the code".to_owned()
        }
    };
    Checked::warning(
        (),
        Reason::Inconclusive,
        format!(
            "The provider refuses a made-up code ({seen}) and not {client}{way}, but {doubt}. Try a login (wandb-auth-operator login), and turn spec.checks.clientCredentials off if it works."
        ),
    )
}

pub(super) fn rejected(message: &str) -> Problem {
    Problem::new(Reason::ClientRejected, message)
}

fn unclear(seen: &str) -> Checked {
    Checked::warning(
        (),
        Reason::Inconclusive,
        format!(
            "A token request with a made-up code was answered with {seen}; expected invalid_grant, the refusal of the code. Try a login (wandb-auth-operator login), and turn spec.checks.clientCredentials off if it works."
        ),
    )
}

/// What an answer says about the client; the texts are what was seen.
#[derive(Debug, PartialEq)]
pub(super) enum ClientAnswer {
    /// The code was refused, and the client was not.
    CodeRefused(String),
    /// The client was refused.
    Rejected(String),
    /// Only a browser may redeem a code of this client.
    BrowsersOnly(String),
    /// None of these.
    Unclear(String),
}

/// A code that nobody was ever given, in the form of the provider's own codes: some refuse others unseen.
fn made_up_code(provider: Provider) -> &'static str {
    match provider {
        Provider::Entra => {
            "1.AAAAbWFkZS11cC1ieS13YW5kYi1hdXRoLW9wZXJhdG9y.AgABBAIAAABtYWRlLXVwLWJ5LXdhbmRiLWF1dGgtb3BlcmF0b3IAbWFkZS11cC1ieS13YW5kYi1hdXRoLW9wZXJhdG9yAG1hZGUtdXAtYnktd2FuZGItYXV0aC1vcGVyYXRvcg"
        }
        Provider::Google => "4/0AmadeupAbyAwandbAauthAoperatorAtoAseeAwhetherAitAknowsAtheAclient",
        _ => "made-up-by-wandb-auth-operator",
    }
}

/// RFC 7636 wants at least 43 characters.
const MADE_UP_VERIFIER: &str = "made-up-by-wandb-auth-operator-to-see-whether-it-knows-the-client";

async fn request(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    endpoint: &Url,
    authentication: ClientAuthentication<'_>,
) -> Result<ClientAnswer, Problem> {
    let settings = &plan.settings;
    let redirect_uri = settings.redirect_uri.to_string();
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", made_up_code(settings.provider)),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", MADE_UP_VERIFIER),
    ];
    match request_token(http, endpoint, &settings.client_id, authentication, &parameters).await? {
        TokenAnswer::Tokens(_) => Ok(ClientAnswer::Unclear("a token".to_owned())),
        TokenAnswer::Refused(error) => {
            let redactor = plan.secret.as_ref().map(|secret| client_redactor(&settings.client_id, secret));
            Ok(judge(&error, &redactor.unwrap_or_default()))
        }
        TokenAnswer::Status(status) => {
            let next = "If people can log in anyway, set spec.checks.clientCredentials to false";
            expect_available(endpoint, status, next).map_err(|problem| at("token_endpoint", &problem))?;
            Ok(judge_status(status))
        }
        TokenAnswer::Unknown => Ok(ClientAnswer::Unclear("JSON that is no OAuth answer".to_owned())),
    }
}

/// What Entra says of a client under whatever error: an unknown or disabled one, a wrong, expired, missing or
/// superfluous secret
/// (learn.microsoft.com/entra/identity-platform/reference-error-codes).
const ENTRA_REFUSALS: [&str; 8] =
    ["50012", "700016", "7000112", "7000215", "7000216", "7000218", "7000222", "700025"];

/// How Entra refuses the code of a single-page application to whoever is no browser (AADSTS9002327), whatever the error.
const ENTRA_BROWSERS_ONLY: [&str; 1] = ["9002327"];

pub(super) fn judge(error: &OAuthError, redactor: &Redactor) -> ClientAnswer {
    let seen = error.words(redactor);
    match error.code.as_str() {
        _ if error.is_entra(&ENTRA_BROWSERS_ONLY) => ClientAnswer::BrowsersOnly(seen),
        _ if error.is_entra(&ENTRA_REFUSALS) => ClientAnswer::Rejected(seen),
        "invalid_grant" => ClientAnswer::CodeRefused(seen),
        "invalid_client" | "unauthorized_client" => ClientAnswer::Rejected(seen),
        _ => ClientAnswer::Unclear(seen),
    }
}

/// Some providers refuse a client by the status alone.
pub(super) fn judge_status(status: StatusCode) -> ClientAnswer {
    let seen = format!("the status {}", status.as_u16());
    if status == StatusCode::UNAUTHORIZED {
        ClientAnswer::Rejected(seen)
    } else {
        ClientAnswer::Unclear(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: &str, description: &str) -> ClientAnswer {
        judge(&OAuthError::new(code, description), &Redactor::default())
    }

    #[test]
    fn reads_what_providers_answer() {
        let malformed = "AADSTS9002313: Invalid request. Request is malformed or invalid. Trace ID: 1";
        assert_eq!(answer("invalid_grant", ""), ClientAnswer::CodeRefused("invalid_grant".into()));
        assert_eq!(
            answer("invalid_grant", malformed),
            ClientAnswer::CodeRefused(
                "invalid_grant: AADSTS9002313: Invalid request. Request is malformed or invalid".into()
            )
        );
        for (code, description) in [
            ("invalid_client", "AADSTS7000215: Invalid client secret provided."),
            ("unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found"),
            ("invalid_request", "AADSTS7000218: The request body must contain client_assertion"),
            ("invalid_grant", "AADSTS7000222: The provided client secret keys are expired."),
            ("invalid_client", ""),
        ] {
            assert!(matches!(answer(code, description), ClientAnswer::Rejected(_)), "{code} {description}");
        }
        let single_page = "AADSTS9002327: Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.";
        for code in ["invalid_request", "invalid_grant"] {
            assert!(matches!(answer(code, single_page), ClientAnswer::BrowsersOnly(_)), "{code}");
        }
        assert_eq!(answer("invalid_request", ""), ClientAnswer::Unclear("invalid_request".into()));
        assert_eq!(judge_status(StatusCode::UNAUTHORIZED), ClientAnswer::Rejected("the status 401".into()));
        assert_eq!(judge_status(StatusCode::NOT_FOUND), ClientAnswer::Unclear("the status 404".into()));
    }

    #[test]
    fn a_refused_code_proves_the_client_where_that_is_looked_at_first() {
        for (provider, expected) in [
            (Provider::Keycloak, Order::Client),
            (Provider::Entra, Order::Code),
            (Provider::Google, Order::Unknown),
            (Provider::Generic, Order::Unknown),
        ] {
            assert_eq!(order(provider), expected, "{provider}");
        }
    }
}
