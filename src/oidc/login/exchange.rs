//! The check `CodeExchanged`: the token endpoint gives the ID token for the code.

use url::Url;

use super::StartedLogin;
use crate::{
    api::Reason,
    engine::Checked,
    issuer::{
        at, expect_available,
        oauth::{ClientAuthentication, TokenAnswer, client_redactor, request_token},
    },
    net::HttpClient,
    oidc::{
        OidcPlan,
        client::{ClientAnswer, judge, judge_status, rejected, send_secret_once},
    },
    problem::Problem,
    sensitive::{Redactor, Sensitive},
};

/// Exchanges the code, as the client of the spec.
pub(super) async fn exchange(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    started: &StartedLogin,
    code: &Sensitive,
) -> Result<Checked<Sensitive>, Problem> {
    let Some(endpoint) = &started.metadata.token_endpoint else {
        return Err(Problem::new(
            Reason::InvalidEndpoint,
            "The discovery document names no token_endpoint, at which the code could be exchanged.",
        ));
    };
    let redactor = redactor(plan, (started, code));
    let exchange = CodeExchange { plan, http, endpoint, started, code, redactor };
    send_secret_once(plan, http, endpoint, Box::pin(exchange.ask())).await
}

/// One exchange of a code.
struct CodeExchange<'a> {
    plan: &'a OidcPlan,
    http: HttpClient<'a>,
    endpoint: &'a Url,
    started: &'a StartedLogin,
    code: &'a Sensitive,
    redactor: Redactor,
}

impl CodeExchange<'_> {
    /// Asks in the order in which Go's oauth2 tries the ways of authentication, with the same code.
    async fn ask(&self) -> Result<Checked<Sensitive>, Problem> {
        let (first, second) = match &self.plan.secret {
            None => (ClientAuthentication::Public, None),
            Some(secret) => (ClientAuthentication::Basic(secret), Some(ClientAuthentication::Post(secret))),
        };
        let refusal = match (self.send(first).await?, second) {
            (Ok(token), _) => return given(token),
            // An answer about the code comes only where the provider takes this way.
            (Err(refusal @ (ClientAnswer::CodeRefused(_) | ClientAnswer::BrowsersOnly(_))), _)
            | (Err(refusal), None) => refusal,
            (Err(refusal), Some(second)) => match self.send(second).await? {
                Ok(token) => return given(token),
                Err(ClientAnswer::Rejected(_)) => refusal,
                Err(other) => other,
            },
        };
        Err(refused(self.plan, &refusal))
    }

    async fn send(
        &self,
        way: ClientAuthentication<'_>,
    ) -> Result<Result<Option<Sensitive>, ClientAnswer>, Problem> {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", self.code.expose()),
            ("redirect_uri", self.started.redirect_uri.as_str()),
            ("code_verifier", self.started.verifier.expose()),
        ];
        let client = &self.plan.settings.client_id;
        let answer = request_token(self.http, self.endpoint, client, way, &parameters).await?;
        read(self.endpoint, &self.redactor, answer)
    }
}

/// The ID token of an answer, or what else it says.
fn read(
    endpoint: &Url,
    redactor: &Redactor,
    answer: TokenAnswer,
) -> Result<Result<Option<Sensitive>, ClientAnswer>, Problem> {
    Ok(Err(match answer {
        TokenAnswer::Tokens(tokens) => return Ok(Ok(tokens.id)),
        TokenAnswer::Refused(error) => judge(&error, redactor),
        TokenAnswer::Status(status) => {
            expect_available(endpoint, status, "Try the login again")
                .map_err(|problem| at("token_endpoint", &problem))?;
            judge_status(status)
        }
        TokenAnswer::Unknown => ClientAnswer::Unclear("JSON that is no OAuth answer".to_owned()),
    }))
}

fn redactor(plan: &OidcPlan, (started, code): (&StartedLogin, &Sensitive)) -> Redactor {
    let mut redactor = plan
        .secret
        .as_ref()
        .map_or_else(Redactor::default, |secret| client_redactor(&plan.settings.client_id, secret));
    redactor.conceal(code);
    redactor.conceal(&started.verifier);
    redactor
}

fn given(token: Option<Sensitive>) -> Result<Checked<Sensitive>, Problem> {
    match token {
        Some(token) => Ok(Checked::passed(token, "The provider exchanges the code for an ID token.")),
        None => Err(Problem::new(
            Reason::ProtocolError,
            "The provider exchanges the code, but its answer has no ID token, which is all that W&B Server uses. Enable OpenID Connect (the scope openid) for the client at the provider.",
        )),
    }
}

fn refused(plan: &OidcPlan, refusal: &ClientAnswer) -> Problem {
    let client = &plan.settings.client_id;
    match refusal {
        ClientAnswer::Rejected(seen) if plan.secret.is_some() => rejected(&format!(
            "The provider refuses the client {client} or its secret ({seen}). Check spec.clientID and the secret, and that it has not expired at the provider."
        )),
        ClientAnswer::Rejected(seen) => rejected(&format!(
            "The provider refuses the client {client} without a secret ({seen}). Check spec.clientID, and name the secret in spec.clientSecretRef if the client is registered with one."
        )),
        ClientAnswer::BrowsersOnly(seen) => Problem::new(
            Reason::CodeRefused,
            format!(
                "The provider does not exchange the code ({seen}). This says nothing of W&B Server: only a browser redeems the code of a single-page application. Log in at W&B's own login page to see the rest."
            ),
        ),
        ClientAnswer::CodeRefused(seen) | ClientAnswer::Unclear(seen) => Problem::new(
            Reason::CodeRefused,
            format!(
                "The provider does not exchange the code ({seen}). A code is for one use within a minute or so: where the browser came to W&B Server itself, that may have used it. Log in again and paste the address at once, or register an address of this machine as a redirect URI and name it with --redirect-uri."
            ),
        ),
    }
}
