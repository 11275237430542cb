//! A person without a browser: pages are read, forms are sent with their cookies, and redirects are followed on this
//! machine.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use url::{Url, form_urlencoded};

use super::person::{Deeds, End, Person};
use crate::world::PATIENCE;

/// Reads pages.
#[derive(Default)]
pub struct Reader {
    cookies: BTreeMap<String, String>,
}

/// A page, or an address that leads away from this machine.
struct Answer {
    url: Url,
    status: u16,
    body: String,
}

fn is_here(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost"))
}

impl Reader {
    /// The page at the address, or the end of its redirects.
    fn get(&mut self, url: &Url) -> Result<Answer> {
        self.send(url, None)
    }

    /// The page that follows a form.
    fn post(&mut self, url: &Url, fields: &[(&str, &str)]) -> Result<Answer> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(url, Some(&form))
    }

    fn send(&mut self, url: &Url, form: Option<&str>) -> Result<Answer> {
        let (mut url, mut form) = (url.clone(), form);
        for _ in 0..10 {
            if !is_here(&url) {
                return Ok(Answer { url, status: 0, body: String::new() });
            }
            let (status, head, body) = self.exchange(&url, form)?;
            let location = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
            });
            match location.filter(|_| (300..400).contains(&status)) {
                Some(location) => url = url.join(&location)?,
                None => return Ok(Answer { url, status, body }),
            }
            form = None;
        }
        anyhow::bail!("{url} redirects for ever")
    }

    fn exchange(&mut self, url: &Url, form: Option<&str>) -> Result<(u16, String, String)> {
        let port = url.port_or_known_default().context("a port")?;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("{url}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let (method, body) = form.map_or(("GET", ""), |form| ("POST", form));
        let host = url.host_str().context("a host")?;
        let request = format!(
            "{method} {target} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: text/html\r\nCookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its headers")?;
        for line in head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")) {
            let pair =
                line.split_once(':').and_then(|(_, rest)| rest.split(';').next()?.trim().split_once('='));
            if let Some((name, value)) = pair {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let status = head.split_whitespace().nth(1).context("the answer has no status")?.parse()?;
        Ok((status, head.to_owned(), body.to_owned()))
    }
}

/// A form: where it goes, and its fields.
type Form = (Url, Vec<(String, String)>);

/// The form of a page that a script sends at once.
fn sent_at_once(page: &str) -> Result<Option<Form>> {
    if !page.contains("forms[0].submit()") {
        return Ok(None);
    }
    let action = Regex::new(r#"action="([^"]*)""#)?;
    let field = Regex::new(r#"<input type="hidden" name="([^"]*)" value="([^"]*)""#)?;
    let action = action.captures(page).and_then(|found| found.get(1)).context("a form goes somewhere")?;
    let fields = field
        .captures_iter(page)
        .filter_map(|found| Some((found.get(1)?.as_str().to_owned(), found.get(2)?.as_str().to_owned())));
    Ok(Some((Url::parse(action.as_str())?, fields.collect())))
}

impl Person for Reader {
    fn log_in(&mut self, address: &str, deeds: Deeds<'_>) -> Result<End> {
        let mut page = self.get(&Url::parse(address)?)?;
        for password in deeds.passwords {
            ensure!(page.body.contains("name=\"password\""), "no login page at {}: {}", page.url, page.body);
            let form_url = page.url.clone();
            page = self.post(&form_url, &[("login", deeds.name), ("password", password)])?;
            // The page of a refused password is at the same address.
            ensure!(page.status != 401 || page.body.contains("Wrong name or password"), "{}", page.body);
        }
        if let Some(consent) = deeds.consent {
            ensure!(page.body.contains("name=\"decision\""), "no consent at {}: {}", page.url, page.body);
            let form_url = page.url.clone();
            page = self.post(&form_url, &[("decision", consent.button())])?;
        }
        if let Some((action, fields)) = sent_at_once(&page.body)? {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            page = self.post(&action, &fields)?;
        }
        Ok(End { address: page.url.into(), text: page.body })
    }
}

/// Opens one address, as a stranger who has no cookies.
pub fn open(address: &str) -> Result<End> {
    let page = Reader::default().get(&Url::parse(address)?)?;
    Ok(End { address: page.url.into(), text: page.body })
}
