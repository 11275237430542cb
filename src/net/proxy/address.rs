//! The URL of a proxy, as Go reads it (`net/url.Parse`, and `parseProxy` in `golang.org/x/net/http/httpproxy`).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    net::{Endpoint, Host},
    sensitive::Sensitive,
};

/// A forward proxy. Its texts never contain its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: String,
    /// The host and port as they were written.
    authority: String,
    credentials: Option<ProxyCredentials>,
}

/// How a proxy is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

#[derive(Clone, PartialEq)]
struct ProxyCredentials {
    /// The value of the header `Proxy-Authorization`.
    authorization: Sensitive,
    /// The password, or the user where there is none: some proxies want a key in its place.
    secret: Sensitive,
}

impl Eq for ProxyCredentials {}

/// What the value of a variable is.
pub(super) enum ProxyReading {
    /// Nothing.
    Absent,
    /// Something that Go cannot read.
    Unreadable,
    /// A proxy.
    Proxy(Proxy),
}

impl Proxy {
    /// The proxy at a URL; `None` if that cannot be read.
    pub fn parse(text: &str) -> Option<Self> {
        match read(text) {
            ProxyReading::Proxy(proxy) => Some(proxy),
            ProxyReading::Absent | ProxyReading::Unreadable => None,
        }
    }

    /// How the operator talks to it; `None` if it cannot.
    pub fn protocol(&self) -> Option<ProxyProtocol> {
        match self.scheme.as_str() {
            "http" => Some(ProxyProtocol::Http),
            "https" => Some(ProxyProtocol::Https),
            _ => None,
        }
    }

    /// The scheme of its URL.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Its host and port as they were written, perhaps nothing.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the value of the variable is no URL, so that Go takes another part of it for the proxy's name: where it
    /// cannot read `http://…`, it reads `http://http://…`, whose host is `http:`.
    pub fn is_misread(&self) -> bool {
        ["", "http:", "https:"].contains(&self.authority.as_str())
    }

    /// Where it is; `None` if the URL names no host that can be connected to.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let (host, port) = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => (host, port),
            _ => (self.authority.as_str(), ""),
        };
        let port = match (port, self.scheme.as_str()) {
            ("", "https") => 443,
            ("", "http") => 80,
            (port, _) => port.parse().ok()?,
        };
        Some(Endpoint { host: Host::parse(host)?, port })
    }

    /// The value of the header `Proxy-Authorization`, if the URL has credentials.
    pub fn authorization(&self) -> Option<&Sensitive> {
        self.credentials.as_ref().map(|credentials| &credentials.authorization)
    }

    /// Whether the URL has credentials.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Everything that must not be shown anywhere. A user beside a password is no secret, and often an ordinary word.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Sensitive> {
        self.credentials.iter().flat_map(|it| [&it.authorization, &it.secret])
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_misread() {
            // What counts as the scheme may be the name of a user.
            return f.write_str("(a URL that cannot be read)");
        }
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the value of a variable. Where it is no URL with a host, it may be one without its scheme.
pub(super) fn read(text: &str) -> ProxyReading {
    if text.is_empty() {
        return ProxyReading::Absent;
    }
    let written = parse(text);
    if let Ok(proxy) = &written
        && !proxy.scheme.is_empty()
        && !proxy.authority.is_empty()
    {
        return ProxyReading::Proxy(without_cut_credentials(proxy.clone(), text));
    }
    let read = parse(&format!("http://{text}")).or(written);
    read.map_or(ProxyReading::Unreadable, |proxy| ProxyReading::Proxy(without_cut_credentials(proxy, text)))
}

/// The proxy as one that is misread, if its URL has an `@` that ends no credentials: a `/`, `?` or `#` in the password
/// ends the host for Go, so what would be shown as the host is the user and the beginning of the password.
fn without_cut_credentials(proxy: Proxy, text: &str) -> Proxy {
    if proxy.credentials.is_none() && !proxy.is_misread() && text.contains('@') {
        return Proxy { authority: String::new(), ..proxy };
    }
    proxy
}

/// The text cannot be read.
struct UnreadableUrl;

/// What `net/url.Parse` makes of a text, as far as a proxy needs it.
fn parse(text: &str) -> Result<Proxy, UnreadableUrl> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(UnreadableUrl);
    }
    let (scheme, rest) = split_scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split('?').next().unwrap_or_default();
    let without_authority = Proxy { scheme: scheme.clone(), authority: String::new(), credentials: None };
    if !rest.starts_with('/') && !scheme.is_empty() {
        return Ok(without_authority);
    }
    if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
        return Err(UnreadableUrl);
    }
    let after_slashes = rest.strip_prefix("//").filter(|after| !scheme.is_empty() || !after.starts_with('/'));
    let (proxy, path) = match after_slashes {
        None => (without_authority, rest),
        Some(after) => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            let (credentials, authority) = match authority.rsplit_once('@') {
                Some((credentials, host)) => (Some(self::credentials(credentials)?), host),
                None => (None, authority),
            };
            (Proxy { authority: host(&scheme, authority)?, credentials, scheme }, path)
        }
    };
    unescape(path)?;
    unescape(fragment)?;
    Ok(proxy)
}

/// The scheme and what follows it; an empty scheme if there is none.
fn split_scheme(text: &str) -> Result<(&str, &str), UnreadableUrl> {
    let end = text.find(|each: char| !each.is_ascii_alphanumeric() && !matches!(each, '+' | '-' | '.'));
    match end.and_then(|end| Some((text.get(..end)?, text.get(end..)?.strip_prefix(':')?))) {
        Some(("", _)) => Err(UnreadableUrl),
        Some((scheme, rest)) if scheme.starts_with(|each: char| each.is_ascii_alphabetic()) => {
            Ok((scheme, rest))
        }
        _ => Ok(("", text)),
    }
}

fn credentials(text: &str) -> Result<ProxyCredentials, UnreadableUrl> {
    let is_allowed = |each: char| each.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(each);
    if !text.chars().all(is_allowed) {
        return Err(UnreadableUrl);
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (unescape(user)?, unescape(password)?);
    let pair = [user.as_slice(), b":", &password].concat();
    let secret = if password.is_empty() { user } else { password };
    Ok(ProxyCredentials {
        authorization: Sensitive::new(format!("Basic {}", STANDARD.encode(pair))),
        secret: Sensitive::new(String::from_utf8_lossy(&secret).into_owned()),
    })
}

/// The host and port of an authority without credentials.
fn host(scheme: &str, text: &str) -> Result<String, UnreadableUrl> {
    let port = match (text.rfind('['), text.rfind(']')) {
        (Some(0), Some(end)) => {
            text.get(1..end)
                .and_then(|inside| inside.parse::<std::net::Ipv6Addr>().ok())
                .ok_or(UnreadableUrl)?;
            text.get(end.saturating_add(1)..).unwrap_or_default()
        }
        (Some(_), _) => return Err(UnreadableUrl),
        (None, _) => {
            // Only http and https forbid several colons, which addresses of databases have.
            let is_strict = matches!(scheme, "http" | "https");
            let colon = if is_strict { text.find(':') } else { text.rfind(':') };
            colon.and_then(|colon| text.get(colon..)).unwrap_or_default()
        }
    };
    let is_port = port.strip_prefix(':').is_some_and(|port| port.bytes().all(|each| each.is_ascii_digit()));
    if !(port.is_empty() || is_port) {
        return Err(UnreadableUrl);
    }
    let is_allowed = |each: char| {
        !each.is_ascii() || each.is_ascii_alphanumeric() || "-._~!\"$&'()*+,:;<=>[]%".contains(each)
    };
    let escapes_ascii = text
        .split('%')
        .skip(1)
        .any(|rest| matches!(rest.bytes().next(), Some(b'0'..=b'7')) && !rest.starts_with("25"));
    if !text.chars().all(is_allowed) || escapes_ascii {
        return Err(UnreadableUrl);
    }
    String::from_utf8(unescape(text)?).map_err(|_| UnreadableUrl)
}

/// Decodes percent-encoding (RFC 3986, section 2.1). What follows a `%` must be two hexadecimal digits.
fn unescape(text: &str) -> Result<Vec<u8>, UnreadableUrl> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2).ok_or(UnreadableUrl)?;
        let digits =
            digits.iter().map(|digit| char::from(*digit).to_digit(16).and_then(|it| u8::try_from(it).ok()));
        let [high, low] =
            digits.collect::<Option<Vec<_>>>().and_then(|it| it.try_into().ok()).ok_or(UnreadableUrl)?;
        bytes.push(high << 4 | low);
        bytes.extend_from_slice(rest);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_found_with_and_without_a_scheme() {
        for (text, shown, endpoint) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", Some("proxy.example:3128")),
            ("HTTP://proxy.example/", "http://proxy.example", Some("proxy.example:80")),
            ("https://proxy.example", "https://proxy.example", Some("proxy.example:443")),
            ("proxy.example:3128", "http://proxy.example:3128", Some("proxy.example:3128")),
            ("10.0.0.1:3128", "http://10.0.0.1:3128", Some("10.0.0.1:3128")),
            ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128", Some("[2001:db8::1]:3128")),
            ("http://[2001:db8::1]", "http://[2001:db8::1]", Some("[2001:db8::1]:80")),
            ("user:password@proxy:3128", "http://proxy:3128", Some("proxy:3128")),
            ("http://proxy:", "http://proxy:", Some("proxy:80")),
            ("socks5://proxy", "socks5://proxy", None),
            ("socks5://proxy:1080", "socks5://proxy:1080", Some("proxy:1080")),
            (":3128", "http://:3128", None),
            ("http://proxy:99999", "http://proxy:99999", None),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            let found = proxy.endpoint().map(|endpoint| endpoint.to_string());
            assert_eq!((proxy.to_string().as_str(), found.as_deref()), (shown, endpoint), "{text}");
        }
    }

    #[test]
    fn what_go_cannot_read_is_no_proxy_or_a_strange_one() {
        for text in ["http://a\n", "http://u:%zz@proxy"] {
            assert!(matches!(read(text), ProxyReading::Unreadable), "{text}");
        }
        assert!(matches!(read(""), ProxyReading::Absent));
        for text in [
            "http://a b",
            "u p@proxy",
            "http://proxy:port",
            "http://u:p/w@proxy",
            "http://[::1",
            "proxy:port",
            // What stands before the `@` is a user and the beginning of a password.
            "http://user:4711/x@proxy:3128",
            "user:4711?x@proxy:3128",
            "http://user:4711#x@proxy:3128",
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert!(proxy.is_misread(), "{text}: {}", proxy.authority);
            assert_eq!(proxy.to_string(), "(a URL that cannot be read)");
        }
    }

    #[test]
    fn credentials_are_decoded() {
        for (text, user, password) in [
            ("http://user:pass%40%3A%2Fword@proxy", "user", "pass@:/word"),
            ("http://user@proxy", "user", ""),
            ("http://us%3Aer:@proxy", "us:er", ""),
            ("http://user:p@ss@proxy", "user", "p@ss"),
            ("http://a:b:c@proxy", "a", "b:c"),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            assert_eq!(proxy.authorization().map(Sensitive::expose), Some(expected.as_str()), "{text}");
        }
        let latin = Proxy::parse("http://u:%E4@proxy").unwrap();
        assert_eq!(latin.authorization().map(Sensitive::expose), Some("Basic dTrk"));
        assert!(!Proxy::parse("http://proxy").unwrap().has_credentials());
    }
}
