//! Tokens that the issuer makes for a client (RFC 6749 section 4.4).

use openidconnect::{
    AuthType, ClientId, ClientSecret, IssuerUrl, JsonWebKeySet, OAuth2TokenResponse, RequestTokenError,
    Scope, TokenUrl,
    core::{CoreClient, CoreErrorResponseType},
};
use url::Url;

use super::issuer::TrustedIssuer;
use crate::{
    api::Reason,
    issuer::{
        Plaintext, at, expect_available, expect_encrypted,
        oauth::{NoAnswer, Within, client_redactor, words_of},
    },
    jwt::{Published, Token},
    net::{HttpClient, Network},
    problem::Problem,
    sensitive::Sensitive,
};

/// The client that is registered at the issuer.
pub(super) struct Client<'a> {
    /// Its identifier.
    pub(super) id: &'a str,
    /// Its secret.
    pub(super) secret: &'a Sensitive,
    /// The scopes to ask for, separated by spaces.
    pub(super) scope: Option<&'a str>,
}

/// Has the issuer make a token. The secret goes to the endpoint of the issuer's document only.
pub(super) async fn request(
    client: &Client<'_>,
    issuer: &TrustedIssuer,
    published: &Published,
    network: &Network,
) -> Result<Sensitive, Problem> {
    let settings = issuer.plan.settings();
    let Some(endpoint) = &published.token_endpoint else {
        return Err(issuer.at(&Problem::new(
            Reason::InvalidDocument,
            "The discovery document has no token_endpoint, so the issuer makes no tokens for clients. Use another source in spec.credentials.federated.token.",
        )));
    };
    // Accepting an issuer without TLS is no word on a secret that leaves one that has it.
    let plaintext = if settings.issuer.is_encrypted() { Plaintext::Refused } else { settings.plaintext };
    expect_encrypted("token_endpoint", endpoint, plaintext).map_err(|problem| issuer.at(&problem))?;
    let http = issuer.plan.http(network);
    let token = match ask(client, AuthType::BasicAuth, http, issuer, endpoint).await? {
        Answer::Token(token) => token,
        // Some providers accept the secret in one way only.
        Answer::UnknownClient(seen) => {
            match ask(client, AuthType::RequestBody, http, issuer, endpoint).await? {
                Answer::Token(token) => token,
                Answer::UnknownClient(_) => {
                    return Err(rejected(
                        client,
                        &seen,
                        "Check spec.credentials.federated.token.clientCredentials.clientID and the Secret, and that the secret has not expired at the issuer",
                    ));
                }
            }
        }
    };
    Token::read(token.expose()).map_err(|what| {
        Problem::new(
            Reason::TokenMalformed,
            format!(
                "The issuer gave the client {} an access token that is no JSON Web Token: {what}. Configure the identity provider to issue JWT access tokens for the audience, often by registering that audience as an API or resource, and name its scope in spec.credentials.federated.token.clientCredentials.scope.",
                client.id
            ),
        )
    })?;
    Ok(token)
}

enum Answer {
    Token(Sensitive),
    /// What was seen.
    UnknownClient(String),
}

async fn ask(
    client: &Client<'_>,
    way: AuthType,
    http: HttpClient<'_>,
    issuer: &TrustedIssuer,
    endpoint: &Url,
) -> Result<Answer, Problem> {
    let id = ClientId::new(client.id.to_owned());
    let name = IssuerUrl::from_url(endpoint.clone());
    let asking = CoreClient::new(id, name, JsonWebKeySet::default())
        .set_token_uri(TokenUrl::from_url(endpoint.clone()))
        .set_client_secret(ClientSecret::new(client.secret.expose().to_owned()))
        .set_auth_type(way);
    let scopes = client.scope.unwrap_or_default().split_whitespace();
    let outcome = asking
        .exchange_client_credentials()
        .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
        .request_async(&Within(http))
        .await;
    let error = match outcome {
        Ok(answer) => return Ok(Answer::Token(Sensitive::new(answer.access_token().secret().clone()))),
        Err(error) => error,
    };
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let seen = words_of(&answer, &client_redactor(client.id, client.secret));
            match answer.error() {
                CoreErrorResponseType::InvalidClient => Ok(Answer::UnknownClient(seen)),
                _ => Err(rejected(
                    client,
                    &seen,
                    "Allow the client the grant client_credentials and the scopes of spec.credentials.federated.token.clientCredentials.scope",
                )),
            }
        }
        RequestTokenError::Request(NoAnswer::Problem(problem)) => {
            Err(issuer.at(&at("token_endpoint", &problem)))
        }
        RequestTokenError::Request(NoAnswer::Status(status)) => {
            expect_available(endpoint, status, "look into the server's log if that does not pass")
                .map_err(|problem| issuer.at(&at("token_endpoint", &problem)))?;
            // Some providers refuse a client by the status alone.
            if status == hyper::StatusCode::UNAUTHORIZED {
                return Ok(Answer::UnknownClient("the status 401".to_owned()));
            }
            Err(issuer.at(&unexpected(&format!("the status {} and no JSON", status.as_u16()))))
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            Err(issuer.at(&unexpected("JSON that is no OAuth answer")))
        }
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
            "The document's token_endpoint answers with {seen}; expected access_token and token_type (RFC 6749 section 5.1). Look into the issuer's configuration."
        ),
    )
}
