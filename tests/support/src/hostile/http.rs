//! HTTP servers whose answers a test makes up.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::listener::Listener;
use super::response::Response;
use crate::certificates::Certificate;

/// No request of a test is longer.
const LONGEST_REQUEST: u64 = 1 << 20;

/// A server that answers each request with what a function of the test says, and records it.
#[derive(Debug)]
pub struct HttpServer {
    listener: Listener,
    scheme: &'static str,
    requests: Requests,
}

type Requests = Arc<Mutex<Vec<Request>>>;

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAnswer {
    /// It ends, as was said.
    Close,
    /// It ends without a word before.
    Drop,
    /// It is kept for the next request.
    Keep,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl HttpServer {
    /// A server without TLS.
    pub fn plain(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Result<Self> {
        Self::start(Ipv4Addr::LOCALHOST.into(), None, answer)
    }

    /// A server with TLS and this certificate.
    pub fn tls(
        certificate: &Certificate,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start(Ipv4Addr::LOCALHOST.into(), Some(certificate), answer)
    }

    /// A server on any loopback address, with TLS if there is a certificate.
    pub fn start(
        address: IpAddr,
        certificate: Option<&Certificate>,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_on(SocketAddr::from((address, 0)), certificate, answer)
    }

    /// A server on a port of one's own choice, as those in pods have.
    pub fn start_on(
        address: SocketAddr,
        certificate: Option<&Certificate>,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_with(address, certificate, AfterAnswer::Close, answer)
    }

    /// A server with TLS and this certificate that does so with its connections.
    pub fn tls_with(
        certificate: &Certificate,
        after: AfterAnswer,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_with(address, Some(certificate), after, answer)
    }

    fn start_with(
        address: SocketAddr,
        certificate: Option<&Certificate>,
        after: AfterAnswer,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let tls = certificate.map(Certificate::server_config).transpose()?;
        let requests = Requests::default();
        let recorded = requests.clone();
        let listener = Listener::start(address, move |stream| {
            // A peer that breaks off, or that refuses the certificate, is what tests are about.
            let _ = serve(stream, tls.as_ref(), after, &answer, &recorded);
        })?;
        Ok(Self { listener, scheme, requests })
    }

    /// The URL of this path, with the address as the host.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.listener.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// How many connections it has had, with those that came to no request.
    pub fn connections(&self) -> usize {
        self.listener.connections()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Request {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn read(source: impl Read) -> Result<Self> {
        let mut source = BufReader::new(source.take(LONGEST_REQUEST));
        let first = read_line(&mut source)?;
        let mut words = first.split_whitespace().map(str::to_owned);
        let mut request = Self {
            method: words.next().context("a request has no method")?,
            path: words.next().context("a request has no path")?,
            headers: Vec::new(),
            body: String::new(),
        };
        loop {
            let line = read_line(&mut source)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header has no colon")?;
            request.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        if let Some(length) = request.header("content-length") {
            source.take(length.parse()?).read_to_string(&mut request.body)?;
        }
        Ok(request)
    }
}

fn read_line(source: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(source.read_line(&mut line)? > 0, "the request ends early");
    Ok(line.trim_end().to_owned())
}

fn serve(
    stream: &TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    after: AfterAnswer,
    answer: &impl Fn(&Request) -> Response,
    requests: &Requests,
) -> Result<()> {
    match tls {
        None => converse(stream, after, answer, requests),
        Some(config) => {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone())?, stream);
            converse(&mut stream, after, answer, requests)?;
            stream.conn.send_close_notify();
            Ok(stream.flush()?)
        }
    }
}

/// Requests and their answers, one after the other.
fn converse(
    mut stream: impl Read + Write,
    after: AfterAnswer,
    answer: &impl Fn(&Request) -> Response,
    requests: &Requests,
) -> Result<()> {
    loop {
        let request = Request::read(&mut stream)?;
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        answer(&request).send(&mut stream, after)?;
        if after != AfterAnswer::Keep {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{CertificateAuthority, Leaf, client_config};
    use crate::http_client::HttpClient;

    #[test]
    fn it_answers_and_records_requests_with_and_without_tls() -> Result<()> {
        let certificate = CertificateAuthority::new("hostile")?.issue(&Leaf::loopback())?;
        let answer = |request: &Request| match request.path.as_str() {
            "/known" => Response::json(&serde_json::json!({ "known": true })),
            _ => Response::status(404, "nothing here"),
        };
        let secure = HttpServer::tls(&certificate, answer)?;
        let plain = HttpServer::plain(answer)?;
        let trusting = Some(client_config(&certificate.authority_pem)?);
        for (server, tls) in [(&secure, trusting), (&plain, None)] {
            let client = HttpClient { address: server.address(), tls };
            assert_eq!(client.send("POST /known", "X-Test: yes\r\n", "question")?.body, "{\"known\":true}");
            assert_eq!(client.send("GET /other", "", "")?.status, 404);
            let requests = server.requests();
            let first = requests.first().context("no request")?;
            assert_eq!((first.method.as_str(), first.body.as_str()), ("POST", "question"));
            assert_eq!(first.header("x-test"), Some("yes"));
            assert_eq!((requests.len(), server.connections()), (2, 2));
        }
        Ok(())
    }

    #[test]
    fn connections_are_kept_or_not() -> Result<()> {
        for (after, answered, says_so) in
            [(AfterAnswer::Close, 1, true), (AfterAnswer::Drop, 1, false), (AfterAnswer::Keep, 2, false)]
        {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let server = HttpServer::start_with(address, None, after, |_| Response::status(200, "here"))?;
            let mut stream = TcpStream::connect(server.address())?;
            let mut answers = String::new();
            for _ in 0..2 {
                // A connection that ended takes no second request.
                let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
                let mut byte = [0];
                let mut answer = String::new();
                while !answer.ends_with("here") && stream.read(&mut byte).unwrap_or_default() > 0 {
                    answer.push(char::from(byte[0]));
                }
                answers += &answer;
            }
            assert_eq!(answers.contains("Connection: close"), says_so, "{after:?}");
            assert_eq!((server.requests().len(), server.connections()), (answered, 1), "{after:?}");
        }
        Ok(())
    }

    #[test]
    fn clients_reject_certificates_that_are_not_right() -> Result<()> {
        let authority = CertificateAuthority::new("hostile")?;
        let other = CertificateAuthority::new("other")?;
        let trusting = client_config(authority.certificate_pem())?;
        let reaches = |authority: &CertificateAuthority, leaf: Leaf| -> Result<bool> {
            let server = HttpServer::tls(&authority.issue(&leaf)?, |_| Response::status(200, ""))?;
            let client = HttpClient { address: server.address(), tls: Some(trusting.clone()) };
            Ok(client.send("GET /", "", "").is_ok())
        };
        assert!(reaches(&authority, Leaf::loopback())?);
        assert!(reaches(&authority, Leaf::loopback().expiring_in_days(10))?);
        assert!(!reaches(&authority, Leaf::loopback().expired())?);
        assert!(!reaches(&authority, Leaf::loopback().only_for("wrong.example.org"))?);
        assert!(!reaches(&other, Leaf::loopback())?);
        Ok(())
    }
}
