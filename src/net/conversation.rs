//! One HTTP connection, and the requests that go over it one after the other.

use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    client::conn::http1::{self, SendRequest, handshake},
};
use hyper_util::rt::TokioIo;

use super::{
    Duplex, Endpoint, HttpConnection, HttpRequest, HttpResponse, Meter, Network, Trust,
    connection::RequestForm,
    http::{answered, message, spoilt, transport_problem},
    proxy::{answer::unauthorized, own_answer::own_answer},
};
use crate::problem::Problem;

type Driver = Pin<Box<http1::Connection<TokioIo<Box<dyn Duplex>>, Full<Bytes>>>>;

/// A connection that has been, or will be, of use.
pub(super) struct Conversation {
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes; nothing once the connection is over.
    driver: Option<Driver>,
    /// How its requests name what they ask for.
    form: RequestForm,
    /// Whether it has had a request.
    has_begun: bool,
}

impl Conversation {
    /// The first of a connection.
    pub(super) async fn begin(connection: HttpConnection, host: &str) -> Result<Self, Problem> {
        let HttpConnection { stream, form } = connection;
        let (sender, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| transport_problem(host, &error))?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), form, has_begun: false })
    }

    /// Whether the other side may have closed it meanwhile, as it may between two requests.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether another request can be sent, as far as this side knows.
    pub(super) async fn is_open(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        let Some(running) = driver else { return false };
        let is_over = tokio::select! {
            biased;
            _ = running => true,
            ready = sender.ready() => return ready.is_ok(),
        };
        if is_over {
            *driver = None;
        }
        false
    }

    /// Sends one request and reads the whole answer. The meter counts what is made of the answer; what is read of it,
    /// the connection counts.
    pub(super) async fn exchange(
        &mut self,
        request: HttpRequest,
        meter: &Meter,
    ) -> Result<HttpResponse, Problem> {
        self.has_begun = true;
        let host = request.url.authority().to_owned();
        let message = message(request, &self.form)?;
        let Self { sender, driver, form, .. } = self;
        let form = &*form;
        let answer = async {
            let answer =
                sender.send_request(message).await.map_err(|error| transport_problem(&host, &error))?;
            if let (RequestForm::Absolute { proxy, .. }, StatusCode::PROXY_AUTHENTICATION_REQUIRED) =
                (form, answer.status())
            {
                return Err(unauthorized(proxy, answer.headers()));
            }
            let response = answered(&host, answer, meter).await?;
            let problem = match form {
                RequestForm::Absolute { proxy, .. } => own_answer(proxy, &host, &response),
                RequestForm::Origin => None,
            };
            problem.map_or(Ok(response), Err)
        };
        // The answer itself tells when the connection breaks, except when that is before the request.
        let driver = async {
            let Some(running) = driver.as_mut() else { return std::future::pending().await };
            let end = running.await;
            *driver = None;
            match end {
                Err(error) if spoilt(&error) => transport_problem(&host, &error),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            problem = driver => Err(problem),
            answer = answer => answer,
        }
    }
}

/// A connection between two requests of one run, and what it leads to.
pub(super) struct KeptConnection {
    endpoint: Endpoint,
    /// Who may vouch for the server; nobody has to without TLS.
    trust: Option<Trust>,
    conversation: Conversation,
}

impl Network {
    /// Keeps a connection for the next request of this run.
    pub(super) fn keep(&self, endpoint: Endpoint, trust: Option<Trust>, conversation: Conversation) {
        self.kept().push(KeptConnection { endpoint, trust, conversation });
    }

    /// The newest kept connection to this server, with certificates of these authorities.
    pub(super) fn kept_for(&self, endpoint: &Endpoint, trust: Option<&Trust>) -> Option<Conversation> {
        let mut kept = self.kept();
        let is_meant = |kept: &KeptConnection| {
            kept.endpoint == *endpoint
                && match (&kept.trust, trust) {
                    (None, None) => true,
                    (Some(known), Some(wanted)) => known.is_same(wanted),
                    _ => false,
                }
        };
        let position = kept.iter().rposition(is_meant)?;
        Some(kept.remove(position).conversation)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::{
        api::Reason,
        net::{connection::RequestForm, memory::AnswerMemory},
    };

    /// hyper tells this apart from other ends by the text of its error alone, so this fails when the text changes.
    #[tokio::test]
    async fn a_server_that_speaks_before_it_is_asked_speaks_no_http() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"220 mail.example.org ESMTP\r\n").await.unwrap();
        let meter = Meter::new(Arc::new(AnswerMemory::default()), "wandb");
        let connection = HttpConnection { stream: Box::new(ours), form: RequestForm::Origin };
        let mut conversation = Conversation::begin(connection, "a.example").await.unwrap();
        let request = HttpRequest::get("http://a.example/".parse().unwrap());
        let problem = conversation.exchange(request, &meter).await.err().unwrap();
        assert_eq!(problem.reason, Reason::ProtocolError, "{}", problem.message);
    }
}
