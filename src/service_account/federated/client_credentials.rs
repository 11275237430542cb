//! Requests tokens by the client credentials grant (RFC 6749 section 4.4).

use std::collections::BTreeMap;

use hyper::StatusCode;
use url::Url;

use super::issuer::TrustedIssuer;
use crate::{
    api::Reason,
    engine::coming_from,
    issuer::{
        Plaintext, at, expect_available, expect_encrypted,
        oauth::{ClientAuthentication, TokenAnswer, client_login, client_redactor, request_token},
    },
    jwt::{IssuerPublication, Token},
    net::{HttpClient, Network, Said, endpoint_of},
    problem::Problem,
    sensitive::Sensitive,
};

/// The client that is registered at the issuer.
pub(super) struct Client<'a> {
    /// The identifier of the client.
    pub(super) id: &'a str,
    /// The secret of the client.
    pub(super) secret: &'a Sensitive,
    /// Where the secret is, as messages name it.
    pub(super) secret_location: &'a str,
    /// The scopes to ask for, separated by spaces.
    pub(super) scope: Option<&'a str>,
    /// Further parameters that the issuer expects in the request.
    pub(super) parameters: &'a BTreeMap<String, String>,
}

/// Requests a token. The secret is sent only to the endpoint that the issuer's document names.
pub(super) async fn request(
    client: &Client<'_>,
    issuer: &TrustedIssuer,
    published: &IssuerPublication,
    network: &Network,
) -> Result<Sensitive, Problem> {
    let settings = issuer.plan.settings();
    let Some(endpoint) = &published.token_endpoint else {
        return Err(issuer.at(&Problem::new(
            Reason::InvalidDocument,
            "The discovery document has no token_endpoint, so the issuer makes no tokens for clients. Use another source in spec.credentials.federated.token.",
        )));
    };
    // If the spec accepts an issuer without TLS, that does not allow sending the secret in plaintext for an issuer
    // that has TLS.
    let plaintext = if settings.issuer.is_encrypted() { Plaintext::Refused } else { settings.plaintext };
    expect_encrypted("token_endpoint", endpoint, plaintext).map_err(|problem| issuer.at(&problem))?;
    let login = client_login(endpoint_of(endpoint)?, endpoint, client.id, client.secret);
    // The future is boxed, since nested futures with TLS handshakes are large.
    let asked = Box::pin(ask_both_ways(client, issuer.plan.http(network), issuer, endpoint));
    let said = |outcome: Result<&Result<Sensitive, Problem>, &Problem>| match outcome {
        Ok(Ok(_)) => Said::Accepted,
        // The client and its secret may be right although the request was refused for another reason.
        Ok(Err(_)) => Said::Nothing,
        Err(_) => Said::Refused,
    };
    let sent = network.send_once(&login, asked, said).await;
    let token = sent.map_err(|problem| match problem.reason {
        Reason::ClientRejected => coming_from(problem, client.secret_location),
        _ => problem,
    })??;
    Token::read(token.expose()).map_err(|what| {
        Problem::new(
            Reason::TokenMalformed,
            format!(
                "The issuer gave the client {} an access token that is no JSON Web Token: {what}. Configure the identity provider to issue JWT access tokens for the audience, often by registering that audience as an API or resource, and name it in spec.credentials.federated.token.clientCredentials.parameters (audience or resource, whichever the provider wants) or scope.",
                client.id
            ),
        )
    })?;
    Ok(token)
}

/// Sends the secret first in the header and then in the body, since some providers accept it only one way. The
/// outer problem means that the client or its secret was refused, and the inner one is any other problem.
async fn ask_both_ways(
    client: &Client<'_>,
    http: HttpClient<'_>,
    issuer: &TrustedIssuer,
    endpoint: &Url,
) -> Result<Result<Sensitive, Problem>, Problem> {
    let seen = match ask(client, ClientAuthentication::Basic(client.secret), http, issuer, endpoint).await {
        Ok(ClientTokenAnswer::Token(token)) => return Ok(Ok(token)),
        Ok(ClientTokenAnswer::UnknownClient(seen)) => seen,
        Err(problem) => return Ok(Err(problem)),
    };
    match ask(client, ClientAuthentication::Post(client.secret), http, issuer, endpoint).await {
        Ok(ClientTokenAnswer::Token(token)) => Ok(Ok(token)),
        Ok(ClientTokenAnswer::UnknownClient(_)) => Err(rejected(
            client,
            &seen,
            "Check spec.credentials.federated.token.clientCredentials.clientID and the secret, and that it has not expired at the issuer",
        )),
        Err(problem) => Ok(Err(problem)),
    }
}

enum ClientTokenAnswer {
    Token(Sensitive),
    /// The issuer does not know the client or its secret; the text is the answer.
    UnknownClient(String),
}

async fn ask(
    client: &Client<'_>,
    authentication: ClientAuthentication<'_>,
    http: HttpClient<'_>,
    issuer: &TrustedIssuer,
    endpoint: &Url,
) -> Result<ClientTokenAnswer, Problem> {
    let grant = [("grant_type", "client_credentials")];
    let scope = client.scope.map(|scope| ("scope", scope));
    let more = client.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters: Vec<_> = grant.into_iter().chain(scope).chain(more).collect();
    let answer = request_token(http, endpoint, client.id, authentication, &parameters).await;
    match answer.map_err(|problem| issuer.at(&problem))? {
        TokenAnswer::Tokens(tokens) => Ok(ClientTokenAnswer::Token(tokens.access)),
        TokenAnswer::Refused(error) => {
            let seen = error.words(&client_redactor(client.id, client.secret));
            match error.code.as_str() {
                "invalid_client" => Ok(ClientTokenAnswer::UnknownClient(seen)),
                // `invalid_target` is defined in RFC 8707 section 2. Auth0 answers `access_denied` if the client
                // may not have an audience.
                "invalid_target" | "access_denied" => Err(rejected(
                    client,
                    &seen,
                    "Name the audience that the client may ask for in spec.credentials.federated.token.clientCredentials.parameters (audience or resource, whichever the provider wants), and allow it for the client",
                )),
                _ => Err(rejected(
                    client,
                    &seen,
                    "Allow the client the grant client_credentials and the scopes of spec.credentials.federated.token.clientCredentials.scope, and name what the provider asks for, such as an audience, in parameters beside that",
                )),
            }
        }
        TokenAnswer::Status(status) => {
            expect_available(endpoint, status, "If this goes on, look into the server's log")
                .map_err(|problem| issuer.at(&at("token_endpoint", &problem)))?;
            // Some providers refuse a client only by the status code.
            if status == StatusCode::UNAUTHORIZED {
                return Ok(ClientTokenAnswer::UnknownClient("the status 401".to_owned()));
            }
            Err(issuer.at(&unexpected(&format!("the status {} and no JSON", status.as_u16()))))
        }
        TokenAnswer::Unknown => Err(issuer.at(&unexpected("JSON that is no OAuth answer"))),
    }
}

fn rejected(client: &Client<'_>, seen: &str, advice: &str) -> Problem {
    let message = format!("The issuer makes no token for the client {} ({seen}). {advice}.", client.id);
    Problem::new(Reason::ClientRejected, message)
}

fn unexpected(seen: &str) -> Problem {
    Problem::new(
        Reason::InvalidDocument,
        format!(
            "The document's token_endpoint answers with {seen}; expected access_token (RFC 6749 section 5.1). Look into the issuer's configuration."
        ),
    )
}
