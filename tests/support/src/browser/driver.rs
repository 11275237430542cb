//! The W3C's `WebDriver` protocol: JSON over HTTP/1.1, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::PATIENCE;

/// A session of a driver: one browser.
#[derive(Debug)]
pub(super) struct DriverSession {
    address: SocketAddr,
    path: String,
}

impl DriverSession {
    /// Starts a browser with these capabilities.
    pub(super) fn begin(address: SocketAddr, capabilities: &Value) -> Result<Self> {
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = call(address, "POST", "/session", Some(&body))?;
        let id = text_at(&session, "/sessionId").context("the driver names no session")?;
        Ok(Self { address, path: format!("/session/{id}") })
    }

    /// Asks for something.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        call(self.address, "GET", &format!("{}{path}", self.path), None)
    }

    /// Has something done.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        call(self.address, "POST", &format!("{}{path}", self.path), Some(body))
    }

    /// Ends the browser.
    pub(super) fn end(&self) -> Result<()> {
        call(self.address, "DELETE", &self.path, None).map(drop)
    }
}

/// The text at this place of an answer.
pub(super) fn text_at<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer.pointer(pointer)?.as_str()
}

/// Sends a command and returns its value; what the driver calls an error is one.
fn call(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let answer = exchange(address, method, path, body)
        .with_context(|| format!("the browser's driver does not answer {method} {path}"))?;
    let mut answer: Value = serde_json::from_slice(&answer)
        .with_context(|| format!("the browser's driver answers {method} {path} with no JSON"))?;
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    if let Some(error) = text_at(&value, "/error") {
        let message = text_at(&value, "/message").unwrap_or_default();
        bail!("{method} {path}: {error}: {}", message.lines().next().unwrap_or_default());
    }
    Ok(value)
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    // The longest that a command takes is a page that is loaded.
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;

    let mut reader = BufReader::new(stream);
    let mut length = None;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse::<u64>()?);
        }
        line.clear();
    }
    let length = length.context("the answer does not say how long it is")?;
    let mut answer = Vec::new();
    reader.take(length).read_to_end(&mut answer)?;
    Ok(answer)
}
