//! Forward proxies, as the environment variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them.
//!
//! W&B Server is written in Go, so the variables are read as Go's `net/http.ProxyFromEnvironment` reads them, down to
//! what it makes of mistakes; `tests/it/proxies` compares. The settings are a value: they are read once, from whatever
//! environment is of interest, and passed to those who connect.
//!
//! In reading order: `address` (a proxy's URL), `exceptions` (`NO_PROXY`), `connect` (the way through a proxy), `own_answer`
//! (whose answer it is) and `answer` (the words for what a proxy answers).

mod address;
pub(super) mod answer;
mod connect;
mod exceptions;
pub(super) mod own_answer;

use std::{collections::HashMap, fmt, sync::Arc};

use url::Url;

use self::{address::ProxyReading, exceptions::Exceptions};
use super::{CaBundle, Endpoint};
use crate::sensitive::Sensitive;

pub use address::{Proxy, ProxyProtocol};
pub(crate) use connect::{secure, tunnel, usable};

/// The scheme of a request. It decides which of the two variables names the proxy, and how the proxy is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpScheme {
    /// `http://`: the request itself goes to the proxy.
    Http,
    /// `https://`: the proxy connects to the server, and what is sent over that connection is encrypted.
    Https,
}

impl HttpScheme {
    /// The scheme of a URL.
    pub fn of(url: &Url) -> Self {
        if url.scheme() == "https" { Self::Https } else { Self::Http }
    }
}

/// A server that is asked by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpServer {
    /// The scheme of its URL.
    pub scheme: HttpScheme,
    /// Where it is.
    pub endpoint: Endpoint,
}

/// The way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Without a proxy.
    Direct,
    /// Through this proxy.
    Through(Arc<Proxy>),
    /// Go refuses to send the request: `HTTP_PROXY` may have come with a request to this process, because
    /// `REQUEST_METHOD` is set as for a CGI program (<https://go.dev/s/cgihttpproxy>).
    Refused,
}

/// The proxies of an environment, and what is reached without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    exceptions: Exceptions,
    is_cgi: bool,
    remarks: Vec<String>,
}

/// The proxies of a process, and who may vouch for them.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The settings.
    pub settings: ProxySettings,
    /// Authorities of proxies that are talked to over TLS, beside the system's.
    pub authorities: Option<CaBundle>,
}

/// The variables that decide, each in the spelling that counts when both are set.
pub const PROXY_VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Tells Go that the process answers a request as a CGI program.
const REQUEST_METHOD: &str = "REQUEST_METHOD";

impl ProxySettings {
    /// The settings in these environment variables.
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables: HashMap<_, _> = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut remarks = Vec::new();
        let mut either = |name: &str| {
            let (upper, lower) = (variables.get(name), variables.get(&name.to_lowercase()));
            if upper.is_some() && lower.is_some() && upper != lower {
                remarks.push(format!(
                    "{name} and {} differ. {name} counts, as for W&B Server; make them the same, since other programs read the other one.",
                    name.to_lowercase()
                ));
            }
            upper.or(lower).map_or("", String::as_str)
        };
        let [http, https, exceptions] = PROXY_VARIABLES.map(&mut either);
        let exceptions = Exceptions::parse(exceptions);
        let mut proxy = |name: &str, text: &str| match address::read(text) {
            ProxyReading::Absent => None,
            ProxyReading::Unreadable => {
                remarks.push(format!(
                    "{name} is not a URL such as http://proxy.example.com:3128, so nothing goes through it, and W&B Server ignores such a value, too. Correct it."
                ));
                None
            }
            ProxyReading::Proxy(proxy) => {
                if proxy.is_misread() {
                    remarks.push(format!("{name}: {}", answer::MISREAD));
                }
                Some(Arc::new(proxy))
            }
        };
        let (http, https) = (proxy("HTTP_PROXY", http), proxy("HTTPS_PROXY", https));
        Self { http, https, exceptions, is_cgi: variables.contains_key(REQUEST_METHOD), remarks }
    }

    /// The settings of this process.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_environment(std::env::vars_os().filter_map(text))
    }

    /// The way to a server.
    pub fn route(&self, scheme: HttpScheme, server: &Endpoint) -> Route {
        let proxy = match scheme {
            HttpScheme::Http => &self.http,
            HttpScheme::Https => &self.https,
        };
        let Some(proxy) = proxy else { return Route::Direct };
        if scheme == HttpScheme::Http && self.is_cgi {
            return Route::Refused;
        }
        if self.exceptions.contain(server) { Route::Direct } else { Route::Through(Arc::clone(proxy)) }
    }

    /// The same proxies for every server.
    #[must_use]
    pub fn without_exceptions(&self) -> Self {
        Self { exceptions: Exceptions::default(), ..self.clone() }
    }

    /// Whether there is a proxy for any request.
    pub fn has_any(&self) -> bool {
        self.http.is_some() || self.https.is_some()
    }

    /// What is wrong with the settings, as sentences that contain no credentials.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The credentials for the proxies, to keep them out of messages.
    pub fn secrets(&self) -> impl Iterator<Item = &Sensitive> {
        self.http.iter().chain(&self.https).flat_map(|proxy| proxy.secrets())
    }
}

impl fmt::Display for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.http, &self.https) {
            (None, None) => f.write_str("no proxy"),
            (None, Some(https)) => write!(f, "{https} for https"),
            (Some(http), None) => write!(f, "{http} for http"),
            (Some(http), Some(https)) if http == https => https.fmt(f),
            (Some(http), Some(https)) => write!(f, "{http} for http, {https} for https"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{net::endpoint_of, sensitive::Redactor};

    fn settings(variables: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_environment(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    /// The way to a URL, in words.
    fn route(settings: &ProxySettings, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        match settings.route(HttpScheme::of(&url), &endpoint_of(&url).unwrap()) {
            Route::Direct => "direct".to_owned(),
            Route::Through(proxy) => proxy.to_string(),
            Route::Refused => "refused".to_owned(),
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let both = settings(&[("HTTP_PROXY", "http://a:1"), ("https_proxy", "https://b:2")]);
        assert_eq!(route(&both, "http://x.example"), "http://a:1");
        assert_eq!(route(&both, "https://x.example"), "https://b:2");
        assert_eq!(route(&settings(&[("HTTP_PROXY", "a:1")]), "https://x.example"), "direct");
        assert_eq!(route(&settings(&[]), "https://x.example"), "direct");
        assert_eq!(both.to_string(), "http://a:1 for http, https://b:2 for https");
    }

    #[test]
    fn the_upper_case_spelling_counts_and_a_difference_is_told() {
        let both = settings(&[("https_proxy", "http://lower"), ("HTTPS_PROXY", "http://upper")]);
        assert_eq!(route(&both, "https://x.example"), "http://upper");
        assert_eq!(both.remarks().len(), 1);
        let empty = settings(&[("https_proxy", "http://lower"), ("HTTPS_PROXY", "")]);
        assert_eq!(route(&empty, "https://x.example"), "http://lower");
        assert_eq!(empty.remarks(), [""; 0]);
    }

    #[test]
    fn a_cgi_program_is_not_led_to_a_proxy_by_a_request() {
        let cgi =
            settings(&[("HTTP_PROXY", "http://a"), ("HTTPS_PROXY", "http://a"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(route(&cgi, "http://x.example"), "refused");
        assert_eq!(route(&cgi, "https://x.example"), "http://a");
    }

    #[test]
    fn what_is_no_url_is_told_without_its_value() {
        for (value, way, told) in [
            ("http://somebody:hunter2@proxy\n", "direct", "HTTPS_PROXY is not a URL"),
            ("somebody hunter2@proxy", "(a URL that cannot be read)", "HTTPS_PROXY: The variable"),
            (
                "http://somebody:hunter/2@proxy:3128",
                "(a URL that cannot be read)",
                "HTTPS_PROXY: The variable",
            ),
            ("somebody:hunter 2@proxy:3128", "(a URL that cannot be read)", "HTTPS_PROXY: The variable"),
        ] {
            let broken = settings(&[("HTTPS_PROXY", value)]);
            assert_eq!(route(&broken, "https://x.example"), way);
            let [remark] = broken.remarks() else { panic!("{:?}", broken.remarks()) };
            let shown = format!("{remark} {broken} {broken:?}");
            assert!(remark.starts_with(told), "{remark}");
            assert!(!shown.contains("hunter") && !shown.contains("somebody"), "{shown}");
        }
    }

    #[test]
    fn credentials_are_in_no_text() {
        let settings =
            settings(&[("HTTPS_PROXY", "http://somebody:hunter%2F2@proxy.example:3128/path?hunter")]);
        let shown = format!("{settings} {settings:?} {:?}", settings.remarks());
        for secret in ["somebody", "hunter", "hunter/2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_user_that_is_an_ordinary_word_is_left_in_other_texts() {
        for (url, concealed, shown) in [
            ("http://wandb:hunter%2F2@proxy.example:3128", "hunter/2", "the Deployment wandb"),
            // Some proxies take a key in the place of the user.
            ("http://key-4711@proxy.example:3128", "key-4711", "the Deployment wandb"),
            ("http://key-4711:@proxy.example:3128", "key-4711", "the Deployment wandb"),
        ] {
            let settings = settings(&[("HTTPS_PROXY", url)]);
            let authorization = settings.https.as_ref().and_then(|proxy| proxy.authorization()).cloned();
            let redactor = Redactor::new(settings.secrets().cloned());
            assert_eq!(redactor.redact(shown.to_owned()), shown, "{url}");
            for secret in [concealed, authorization.unwrap().expose()] {
                assert_eq!(redactor.redact(format!("no: {secret}.")), "no: [redacted].", "{url}");
            }
        }
    }
}
