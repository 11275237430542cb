//! Ports that speak LDAP where the spec says TLS, and the other way round.
//!
//! A server that does not understand what it is sent often closes the connection without a word, as one does that is
//! restarting. So the other language is tried on a fresh connection, without any credentials: who answers it is not
//! down, and only a person can end the failure.

use std::time::Duration;

use super::{
    LdapPlan,
    start_tls::{StartTlsAnswer, ask},
};
use crate::{
    api::Reason,
    net::{self, Endpoint, Metered, Network},
    problem::Problem,
};

/// How long an answer in the other language is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Explains why a TLS handshake failed, where the server speaks LDAP at this port.
pub async fn explain_handshake(problem: Problem, plan: &LdapPlan, network: &Network) -> Problem {
    if !is_no_answer(&problem) {
        return problem;
    }
    let endpoint = &plan.directory.url.endpoint;
    let asked = async { ask(&mut dial(endpoint, network).await?, network.meter()).await };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => speaks_ldap(endpoint, &answer),
        Ok(Err(_)) | Err(_) => problem,
    }
}

/// Explains why there was no answer in LDAP, where the server speaks TLS at this port.
pub async fn explain_silence(problem: Problem, plan: &LdapPlan, network: &Network) -> Problem {
    let endpoint = &plan.directory.url.endpoint;
    let Some(name) = endpoint.host.server_name().filter(|_| is_no_answer(&problem)) else {
        return problem;
    };
    let shaken = async {
        let stream = dial(endpoint, network).await?;
        net::encrypt(stream, &name, &plan.trust).await.map(drop)
    };
    match tokio::time::timeout(PATIENCE, shaken).await {
        Ok(Ok(())) => speaks_tls(endpoint),
        // A certificate that is not trusted is one all the same.
        Ok(Err(refused)) if refused.reason.is_about_a_certificate() => speaks_tls(endpoint),
        Ok(Err(_)) | Err(_) => problem,
    }
}

/// Whether the server did not answer in the language in which it was asked.
fn is_no_answer(problem: &Problem) -> bool {
    matches!(problem.reason, Reason::TlsHandshakeFailed | Reason::ConnectionClosed | Reason::ProtocolError)
}

async fn dial(endpoint: &Endpoint, network: &Network) -> Result<Metered, Problem> {
    let addresses = network.resolve(endpoint).await?;
    let addresses = network.permit(endpoint, addresses).await?;
    net::connect(endpoint, &addresses, network.meter()).await
}

fn speaks_ldap(endpoint: &Endpoint, answer: &StartTlsAnswer) -> Problem {
    let port = endpoint.port;
    let next = match answer {
        StartTlsAnswer::Ready => format!(
            "It offers StartTLS: set spec.address to ldap://{endpoint} and spec.startTLS: true"
        ),
        StartTlsAnswer::Refused(_) => {
            "It does not offer StartTLS: set spec.address to the port that is encrypted from the start, usually 636, or give the server a certificate".to_owned()
        }
    };
    Problem::new(
        Reason::TlsHandshakeFailed,
        format!(
            "Port {port} speaks plain LDAP, but spec.address says ldaps://, which is encrypted from the start. {next}."
        ),
    )
}

fn speaks_tls(endpoint: &Endpoint) -> Problem {
    Problem::new(
        Reason::ConfidentialityRequired,
        format!(
            "Port {} speaks TLS from the start, but spec.address says ldap://. Set spec.address to ldaps://{endpoint}, and remove spec.startTLS and spec.insecurePlaintext.",
            endpoint.port
        ),
    )
}
