//! HTTP within limits: no redirects, and at most 1 MiB of answer. A connection is kept for the next GET of its run.

use std::{
    error::Error,
    io::{self, Read},
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use url::Url;

use super::{
    CaBundle, Endpoint, Host, HttpConnection, Meter, Network, Trust, connection::RequestForm,
    conversation::Conversation, ended_without_certificate, memory::parsed_size,
};
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// The most bytes that are read of an answer's body, also after decompression.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// What is asked.
#[derive(Clone)]
pub struct HttpRequest {
    /// GET or POST.
    pub method: Method,
    /// The URL to request.
    pub url: Url,
    /// The headers beside `Host`, `User-Agent` and `Accept-Encoding`, which are always sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body. It may contain secrets, so this type has no `Debug`.
    pub body: Bytes,
}

impl HttpRequest {
    /// A GET request that asks for JSON.
    pub fn get(url: Url) -> Self {
        // Kubernetes refuses to send its keys to a client that does not accept their own media type (RFC 7517,
        // section 8.5).
        let accepted = HeaderValue::from_static("application/json, application/jwk-set+json");
        let headers = vec![(header::ACCEPT, accepted)];
        Self { method: Method::GET, url, headers, body: Bytes::new() }
    }
}

/// An HTTP answer.
pub struct HttpResponse {
    /// The status code.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl HttpResponse {
    /// The target of a redirect, if this answer is one; empty if it names none.
    pub fn redirect(&self) -> Option<&str> {
        if !self.status.is_redirection() {
            return None;
        }
        self.headers.get(header::LOCATION).map_or(Some(""), |location| location.to_str().ok())
    }
}

/// Sends one request on a fresh connection and reads the whole answer. The connection counts the memory for what
/// is read, and the meter the memory for what is made of it.
pub async fn exchange(
    connection: HttpConnection,
    request: HttpRequest,
    meter: &Meter,
) -> Result<HttpResponse, Problem> {
    Conversation::begin(connection, request.url.authority()).await?.exchange(request, meter).await
}

/// The name of this program, as servers and proxies see it.
pub(super) const USER_AGENT: &str = concat!("wandb-auth-operator/", env!("CARGO_PKG_VERSION"));

/// The request as it is sent.
pub(super) fn message(
    request: HttpRequest,
    form: &RequestForm,
) -> Result<hyper::Request<Full<Bytes>>, Problem> {
    let host = request.url.authority();
    let target = path_and_query(&request.url);
    let (target, authorization) = match form {
        RequestForm::Origin => (target, None),
        RequestForm::Absolute { authorization, .. } => {
            (format!("{}://{host}{target}", request.url.scheme()), authorization.as_ref())
        }
    };
    let mut message = hyper::Request::builder()
        .method(request.method)
        .uri(target)
        .header(header::HOST, host)
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, USER_AGENT);
    if let Some(authorization) = authorization {
        message = message.header(header::PROXY_AUTHORIZATION, authorization);
    }
    for (name, value) in request.headers {
        message = message.header(name, value);
    }
    message.body(Full::new(request.body)).map_err(|_| {
        Problem::new(Reason::ProtocolError, format!("No request can be made to {host}; check the URL."))
    })
}

/// Reads the whole answer.
pub(super) async fn answered(
    host: &str,
    answer: hyper::Response<hyper::body::Incoming>,
    meter: &Meter,
) -> Result<HttpResponse, Problem> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|error| body_problem(host, error.as_ref()))?
        .to_bytes();
    let body = if is_gzip(&head.headers) {
        // Counted first, and made only when there is room for it.
        meter.take(decompress(host, &body, &mut io::sink())?).await;
        let mut text = Vec::new();
        decompress(host, &body, &mut text)?;
        text.into()
    } else {
        body
    };
    permit_parsing(meter, host, &body).await?;
    Ok(HttpResponse { status: head.status, headers: head.headers, body })
}

/// Whether the end of a connection says more than that it is over.
pub(super) fn spoilt(error: &hyper::Error) -> bool {
    spoke_first(error) || ended_without_certificate(error).is_some()
}

fn path_and_query(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

pub(super) fn transport_problem(host: &str, error: &hyper::Error) -> Problem {
    if let Some(problem) = ended_without_certificate(error) {
        problem
    } else if error.is_parse() || spoke_first(error) {
        Problem::new(
            Reason::ProtocolError,
            format!("{host} answered something that is not HTTP. Check the address and the port."),
        )
    } else {
        closed(host)
    }
}

/// Whether the server sent something before the request, as mail servers do. hyper has a kind of error for that
/// but no way to ask for it, so the text of the error decides; a test of `conversation` fails when it changes.
fn spoke_first(error: &hyper::Error) -> bool {
    const TEXT: &str = "received unexpected message from connection";
    error.to_string() == TEXT || error.source().is_some_and(|cause| cause.to_string() == TEXT)
}

fn closed(host: &str) -> Problem {
    Problem::new(
        Reason::ConnectionClosed,
        format!(
            "{host} closed the connection before its answer was complete. Look into the server's own log."
        ),
    )
}

fn body_problem(host: &str, error: &(dyn Error + 'static)) -> Problem {
    if error.is::<LengthLimitError>() {
        return too_large(host);
    }
    error.downcast_ref().map_or_else(|| closed(host), |error| transport_problem(host, error))
}

fn too_large(host: &str) -> Problem {
    Problem::new(
        Reason::ResponseTooLarge,
        format!("The answer of {host} is larger than 1 MiB. Check that the URL is the right one."),
    )
}

/// Waits until there is memory for what a parser makes of the answer.
pub(super) async fn permit_parsing(meter: &Meter, host: &str, body: &[u8]) -> Result<(), Problem> {
    if meter.parse(parsed_size(body)).await {
        return Ok(());
    }
    Err(Problem::new(
        Reason::ResponseTooLarge,
        format!(
            "The answer of {host} has so many parts that reading it takes more than 16 MiB of memory. Check that the URL is the right one."
        ),
    ))
}

/// Whether the answer is compressed although the request did not allow that. W&B Server's own client reads such
/// answers.
fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

/// Decompresses an answer. The limit applies to the decompressed size, so that a small answer cannot become a
/// large one.
fn decompress(host: &str, body: &[u8], into: &mut impl io::Write) -> Result<u64, Problem> {
    if body.is_empty() {
        return Ok(0);
    }
    let limit = u64::try_from(BODY_LIMIT).unwrap_or(u64::MAX);
    let mut text = MultiGzDecoder::new(body).take(limit.saturating_add(1));
    let size = io::copy(&mut text, into).map_err(|_| {
        Problem::new(
            Reason::ProtocolError,
            format!("{host} says that its answer is compressed with gzip, but it is not, or not whole. Look into the server's own log."),
        )
    })?;
    if size > limit { Err(too_large(host)) } else { Ok(size) }
}

/// Identifies GET requests without credentials that have the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The URL.
    pub url: Url,
    /// The [`Network::identity`] of the host: a short name means another server in each namespace.
    pub host: String,
    /// The CA bundle that is trusted in addition to the system's authorities.
    pub ca_bundle: Option<CaBundle>,
}

/// Sends requests to endpoints that another server named. Each endpoint is judged by the egress policy before
/// anything is sent.
#[derive(Clone, Copy)]
pub struct HttpClient<'a> {
    /// The egress policy and name resolution.
    pub network: &'a Network,
    /// The authorities whose certificates are accepted.
    pub trust: &'a Trust,
}

impl HttpClient<'_> {
    /// Sends one request. A GET goes over a connection that an earlier one of this run has left, where there is one:
    /// it may be sent again if the server has closed that meanwhile, which nothing else may.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Problem> {
        let endpoint = endpoint_of(&request.url)?;
        if request.method != Method::GET {
            return self.open(&request.url).await?.exchange(request, self.network.meter()).await;
        }
        let trust = self.trust_for(&request.url);
        while let Some(mut kept) = self.network.kept_for(&endpoint, trust) {
            let may_be_closed = kept.has_begun();
            if may_be_closed && !kept.is_open().await {
                continue;
            }
            match kept.exchange(request.clone(), self.network.meter()).await {
                Err(problem) if may_be_closed && problem.reason == Reason::ConnectionClosed => {}
                Err(problem) => return Err(problem),
                Ok(response) => {
                    self.network.keep(endpoint, trust.cloned(), kept);
                    return Ok(response);
                }
            }
        }
        let mut conversation = self.open(&request.url).await?;
        let response = conversation.exchange(request, self.network.meter()).await?;
        self.network.keep(endpoint, trust.cloned(), conversation);
        Ok(response)
    }

    /// Leaves a connection to the URL's server for the first request of this run. Its certificate came from the
    /// client's authorities, where the URL asks for TLS.
    pub async fn leave(&self, url: &Url, connection: HttpConnection) -> Result<(), Problem> {
        let conversation = Conversation::begin(connection, url.authority()).await?;
        self.network.keep(endpoint_of(url)?, self.trust_for(url).cloned(), conversation);
        Ok(())
    }

    async fn open(&self, url: &Url) -> Result<Conversation, Problem> {
        let connection = self.network.open(url, self.trust_for(url)).await?;
        Conversation::begin(connection, url.authority()).await
    }

    /// Who may vouch for the URL's server, if anybody has to.
    fn trust_for(&self, url: &Url) -> Option<&Trust> {
        (url.scheme() == "https").then_some(self.trust)
    }
}

/// The host and port of an http or https URL.
pub fn endpoint_of(url: &Url) -> Result<Endpoint, Problem> {
    let host = url.host_str().and_then(Host::parse).ok_or_else(|| no_host(url))?;
    let port = url.port_or_known_default().ok_or_else(|| no_host(url))?;
    Ok(Endpoint { host, port })
}

pub(super) fn no_host(url: &Url) -> Problem {
    Problem::new(Reason::InvalidEndpoint, format!("{} names no host to connect to.", quote(url.as_str())))
}
