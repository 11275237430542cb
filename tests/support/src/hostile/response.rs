//! What an HTTP server of a test answers.

use std::io::{self, Read, Write};
use std::thread;

use anyhow::Result;
use serde_json::Value;

use super::DRIP_INTERVAL;
use super::http::AfterAnswer;
use super::tcp::wait_for_peer;

const JSON: &str = "application/json";
static BLOCK: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// An answer, honest or not.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Bytes(Vec<u8>),
    Spaces(u64),
    NeverEnding,
    Stalled,
    Silent,
    BrokenOff,
}

impl Response {
    /// A JSON document.
    pub fn json(document: &Value) -> Self {
        Self::new(200, JSON, Body::Bytes(document.to_string().into_bytes()))
    }

    /// A web page, as a login page or a proxy's error is.
    pub fn html(page: &str) -> Self {
        Self::new(200, "text/html; charset=utf-8", Body::Bytes(page.as_bytes().to_owned()))
    }

    /// A text of this type.
    pub fn text(content_type: &str, text: &str) -> Self {
        Self::new(200, content_type, Body::Bytes(text.as_bytes().to_owned()))
    }

    /// Bytes of this type.
    pub fn bytes(content_type: &str, bytes: &[u8]) -> Self {
        Self::new(200, content_type, Body::Bytes(bytes.to_owned()))
    }

    /// A status with a text.
    pub fn status(code: u16, text: &str) -> Self {
        Self::new(code, "text/plain; charset=utf-8", Body::Bytes(text.as_bytes().to_owned()))
    }

    /// A status with a JSON document.
    pub fn json_status(code: u16, document: &Value) -> Self {
        Self { status: code, ..Self::json(document) }
    }

    /// A redirect.
    pub fn redirect(location: &str) -> Self {
        Self::status(302, "").header("Location", location)
    }

    /// So many bytes that a JSON document could begin with: spaces.
    pub fn huge(bytes: u64) -> Self {
        Self::new(200, JSON, Body::Spaces(bytes))
    }

    /// A space every few milliseconds, for ever, so that no pause between bytes is ever long.
    pub fn never_ending() -> Self {
        Self::new(200, JSON, Body::NeverEnding)
    }

    /// Headers that announce a body, and then nothing.
    pub fn stalls_after_headers() -> Self {
        Self::new(200, JSON, Body::Stalled)
    }

    /// Nothing at all, until the peer gives up.
    pub fn silent() -> Self {
        Self::new(200, JSON, Body::Silent)
    }

    /// The end of the connection without an answer.
    pub fn broken_off() -> Self {
        Self::new(200, JSON, Body::BrokenOff)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn new(status: u16, content_type: &str, body: Body) -> Self {
        Self { status, headers: Vec::new(), body }.header("Content-Type", content_type)
    }

    pub(super) fn send(&self, mut stream: impl Read + Write, after: AfterAnswer) -> Result<()> {
        let length = match &self.body {
            Body::Bytes(bytes) => format!("Content-Length: {}", bytes.len()),
            Body::Spaces(count) => format!("Content-Length: {count}"),
            Body::Stalled => "Content-Length: 100".to_owned(),
            Body::NeverEnding => "Transfer-Encoding: chunked".to_owned(),
            Body::Silent => {
                wait_for_peer(&mut stream);
                return Ok(());
            }
            Body::BrokenOff => return Ok(()),
        };
        let mut head = format!("HTTP/1.1 {} Scripted\r\n{length}\r\n", self.status);
        if after == AfterAnswer::Close {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.flush()?;

        match &self.body {
            Body::Bytes(bytes) => stream.write_all(bytes)?,
            Body::Spaces(count) => {
                for _ in 0..count / BLOCK.len() as u64 {
                    stream.write_all(&BLOCK)?;
                }
                io::copy(&mut BLOCK.take(count % BLOCK.len() as u64), &mut stream)?;
            }
            Body::NeverEnding => loop {
                stream.write_all(b"1\r\n \r\n")?;
                stream.flush()?;
                thread::sleep(DRIP_INTERVAL);
            },
            Body::Stalled => wait_for_peer(&mut stream),
            Body::Silent | Body::BrokenOff => {}
        }
        Ok(stream.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::hostile::HttpServer;
    use crate::process::PATIENCE;

    /// A server that answers so, and a connection to it with a request.
    fn asked(response: Response) -> Result<(HttpServer, TcpStream)> {
        let server = HttpServer::plain(move |_| response.clone())?;
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        Ok((server, stream))
    }

    /// What arrives until the server closes or has sent a lot.
    fn arriving(response: Response, limit: u64) -> Result<String> {
        let (_server, stream) = asked(response)?;
        let mut arrived = Vec::new();
        stream.take(limit).read_to_end(&mut arrived)?;
        Ok(String::from_utf8_lossy(&arrived).into_owned())
    }

    /// Whether nothing more arrives for a while, and the connection stays.
    fn is_silent(stream: &mut TcpStream) -> Result<bool> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(stream.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
    }

    #[test]
    fn bodies_are_as_announced() -> Result<()> {
        let huge = arriving(Response::huge(200_000), u64::MAX)?;
        assert!(huge.ends_with(&format!("\r\n\r\n{}", " ".repeat(200_000))));
        assert_eq!(arriving(Response::never_ending(), 300)?.len(), 300);
        assert_eq!(arriving(Response::broken_off(), u64::MAX)?, "");
        assert!(arriving(Response::redirect("/else"), u64::MAX)?.contains("\r\nLocation: /else\r\n"));
        Ok(())
    }

    #[test]
    fn silence_begins_before_or_after_the_headers() -> Result<()> {
        let (_server, mut stream) = asked(Response::silent())?;
        assert!(is_silent(&mut stream)?);
        let (_server, mut stream) = asked(Response::stalls_after_headers())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        assert!(is_silent(&mut stream)?);
        Ok(())
    }
}
