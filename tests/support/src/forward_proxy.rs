//! A forward proxy on loopback, as companies have it between their clusters and the outside.
//!
//! It is a name server at the same time: names that nobody else knows lead to servers on loopback, which clients would
//! never reach through a proxy by their addresses.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::{Either, select};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Certificate;
use crate::hostile::Request;

/// A proxy that records what it is asked, ended on drop.
#[derive(Debug)]
pub struct ForwardProxy {
    address: SocketAddr,
    scheme: &'static str,
    serving: Arc<Serving>,
    _end: oneshot::Sender<()>,
}

/// A proxy to be started, made by [`ForwardProxy::builder`].
#[derive(Debug, Clone, Default)]
pub struct ForwardProxyBuilder {
    certificate: Option<Certificate>,
    authorization: Option<String>,
    servers: HashMap<String, SocketAddr>,
    manner: Manner,
}

/// What a proxy does with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// It passes everything on, as it should.
    #[default]
    Forwards,
    /// It answers with this status and these lines of the head, and connects nobody.
    Answers(u16, &'static str),
    /// It reads, and never answers.
    IsSilent,
    /// It closes the connection instead of an answer.
    Closes,
    /// It says this instead of an answer.
    Says(&'static str),
}

#[derive(Debug)]
struct Serving {
    builder: ForwardProxyBuilder,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

impl ForwardProxy {
    /// A proxy without TLS that asks for no credentials and knows no server.
    pub fn builder() -> ForwardProxyBuilder {
        ForwardProxyBuilder::default()
    }

    /// What `HTTPS_PROXY` has, without credentials.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What `HTTPS_PROXY` has, with these credentials as a URL writes them (`user:password`).
    pub fn url_with(&self, credentials: &str) -> String {
        format!("{}://{credentials}@{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far; their paths are what they ask for.
    pub fn requests(&self) -> Vec<Request> {
        self.serving.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked for so far, each once, such as `CONNECT login.corp.test:443`.
    pub fn asked(&self) -> Vec<String> {
        let requests = self.requests();
        let mut asked: Vec<_> = requests.iter().map(|it| format!("{} {}", it.method, it.path)).collect();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.serving.connections.load(Ordering::SeqCst)
    }
}

impl ForwardProxyBuilder {
    /// Speaks TLS with its clients, with this certificate.
    #[must_use]
    pub fn certificate(self, certificate: &Certificate) -> Self {
        Self { certificate: Some(certificate.clone()), ..self }
    }

    /// Lets only those in who have these credentials.
    #[must_use]
    pub fn credentials(self, user: &str, password: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Self { authorization: Some(authorization), ..self }
    }

    /// Has this name and port, such as `login.corp.test:443`, lead to that server.
    #[must_use]
    pub fn server(mut self, name: &str, address: SocketAddr) -> Self {
        self.servers.insert(name.to_owned(), address);
        self
    }

    /// Does this with requests.
    #[must_use]
    pub fn manner(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// Starts the proxy.
    pub fn start(self) -> Result<ForwardProxy> {
        let acceptor = self.certificate.as_ref().map(Certificate::server_config).transpose()?;
        let acceptor = acceptor.map(TlsAcceptor::from);
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let serving =
            Arc::new(Serving { builder: self, requests: Mutex::default(), connections: AtomicUsize::new(0) });
        let (end, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = serving.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let accepting = std::pin::pin!(accept(listener, acceptor, shared));
                // Dropping the sender ends it, and with the runtime every connection.
                if let Either::Left(_) = select(ended, accepting).await {}
            });
        });
        Ok(ForwardProxy { address, scheme, serving, _end: end })
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, serving: Arc<Serving>) {
    while let Ok((stream, _)) = listener.accept().await {
        serving.connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, serving) = (acceptor.clone(), serving.clone());
        tokio::spawn(async move {
            // A client that breaks off is what tests are about.
            let _ = match acceptor {
                None => serving.serve(stream).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => serving.serve(stream).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

impl Serving {
    async fn serve(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let request = read(&mut client).await?;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        match &self.builder.manner {
            Manner::IsSilent => {
                // Until the client goes.
                let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
                return Ok(());
            }
            Manner::Closes => return Ok(()),
            Manner::Says(words) => return Ok(client.write_all(words.as_bytes()).await?),
            Manner::Answers(status, head) => return answer(&mut client, *status, head).await,
            Manner::Forwards => {}
        }
        let wanted = self.builder.authorization.as_deref();
        if wanted.is_some() && wanted != request.header("proxy-authorization") {
            return answer(&mut client, 407, "Proxy-Authenticate: Basic realm=\"proxy\"\r\n").await;
        }
        if request.method == "CONNECT" {
            let Some(mut server) = self.connect(&request.path).await else {
                return answer(&mut client, 502, "").await;
            };
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
        let (name, path) = absolute(&request.path).context("the request names no server")?;
        let Some(mut server) = self.connect(&name).await else {
            return answer(&mut client, 502, "").await;
        };
        server.write_all(passed_on(&request, path).as_bytes()).await?;
        tokio::io::copy(&mut server, &mut client).await?;
        Ok(client.shutdown().await?)
    }

    async fn connect(&self, name: &str) -> Option<TcpStream> {
        TcpStream::connect(self.builder.servers.get(name)?).await.ok()
    }
}

/// The server and the path of an `http://` URL.
fn absolute(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let name = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    Some((name, path))
}

/// The request as the server gets it: what is for the proxy is not for the server.
fn passed_on(request: &Request, path: &str) -> String {
    let own = ["proxy-authorization", "connection"];
    let mut text = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", request.method);
    for (name, value) in request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text + "\r\n" + &request.body
}

async fn answer(client: &mut (impl AsyncWrite + Unpin), status: u16, head: &str) -> Result<()> {
    let page = "<html>This page is the proxy's own.</html>";
    let length = page.len();
    let text =
        format!("HTTP/1.1 {status} No\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{page}");
    client.write_all(text.as_bytes()).await?;
    Ok(client.shutdown().await?)
}

/// Reads the head, and the body if there is one.
async fn read(client: &mut (impl AsyncRead + Unpin)) -> Result<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(client.read_u8().await?);
    }
    // The body is not read yet, so it is empty here.
    let head = Request::read(bytes.as_slice())?;
    let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    bytes.extend(body);
    Request::read(bytes.as_slice())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::hostile::{HttpServer, Response};

    fn ask(proxy: &ForwardProxy, request: &str) -> Result<String> {
        let mut stream = std::net::TcpStream::connect(proxy.address())?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn requests_are_passed_on_to_whom_has_credentials() -> Result<()> {
        let server = HttpServer::plain(|request| Response::status(200, &format!("{} here", request.path)))?;
        let proxy = ForwardProxy::builder()
            .credentials("user", "password")
            .server("login.corp.test:80", server.address())
            .start()?;
        let get = |name: &str, header: &str| {
            ask(&proxy, &format!("GET http://{name}/a HTTP/1.1\r\nHost: {name}\r\n{header}\r\n"))
        };
        let authorized = "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n";
        assert!(get("login.corp.test", "")?.contains(" 407 "));
        assert!(get("login.corp.test", authorized)?.contains("/a here"));
        assert!(get("unknown.corp.test", authorized)?.contains(" 502 "));
        let connect =
            format!("CONNECT login.corp.test:80 HTTP/1.1\r\n{authorized}\r\nGET /b HTTP/1.1\r\n\r\n");
        let answer = ask(&proxy, &connect)?;
        assert!(answer.contains("Connection established") && answer.contains("/b here"), "{answer}");
        assert_eq!((proxy.connections(), server.connections()), (4, 2));
        assert!(server.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
        assert_eq!(
            proxy.asked(),
            ["CONNECT login.corp.test:80", "GET http://login.corp.test/a", "GET http://unknown.corp.test/a"]
        );
        Ok(())
    }
}
