//! The variables of proxies, compared with what Go's own client reads in them.

use std::collections::BTreeMap;

use anyhow::Result;
use test_support::{GoOpinion, ProxyCase};
use url::Url;
use wandb_auth_operator::net::{HttpScheme, ProxySettings, Route, endpoint_of};

/// What is asked for.
const URLS: [&str; 24] = [
    "https://login.example.com",
    "http://login.example.com",
    "https://login.example.com:8443/realms/main",
    "https://a.b.example.com",
    "https://example.com",
    "http://example.com:8080",
    "https://anexample.com",
    "https://example.com.",
    "https://localhost",
    "http://localhost:8080",
    "https://a.localhost",
    "https://127.0.0.1",
    "https://127.9.8.7:8443",
    "https://[::1]",
    "https://[::ffff:127.0.0.1]",
    "https://10.0.0.1",
    "http://10.0.0.1:8080",
    "https://10.1.2.3",
    "https://192.168.0.1",
    "https://[2001:db8::1]",
    "https://[2001:db8::1]:8443",
    "https://[2001:db9::1]",
    "https://[::ffff:10.0.0.1]",
    "https://xn--bcher-kva.example",
];

/// Items of `NO_PROXY`, alone and in lists.
const EXCEPTIONS: [&str; 53] = [
    "",
    "*",
    " * ",
    "**",
    "*,",
    ",",
    "a.example, *",
    "example.com",
    " Example.COM ",
    ".example.com",
    "*.example.com",
    "*example.com",
    "..example.com",
    "example.com.",
    "example.com:443",
    "example.com:8443",
    "example.com:",
    "example.com:https",
    "example.com:0443",
    ".example.com:8443",
    "*.example.com:443",
    "login",
    "com",
    "localhost",
    "login.example.com b.example",
    "login.example.com;b.example",
    "login.example.com,10.0.0.0/8,2001:db8::/32",
    "10.0.0.1",
    "10.0.0.1:443",
    "10.0.0.1:8080",
    "10.0.0",
    "10.",
    "10.0.0.0/8",
    "10.0.0.0/08",
    "10.0.0.0/+8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "/8",
    "10.1.2.3/8",
    "0.0.0.0/0",
    "::/0",
    "::ffff:10.0.0.0/104",
    "::ffff:10.0.0.0/90",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "2001:DB8:0::1",
    "[2001:db8::1]",
    "[2001:db8::1]:443",
    "[2001:db8::1]:8443",
    "2001:db8::1:443",
    "2001:db8::/32",
    "bücher.example",
    ":443",
];

/// Values of `HTTPS_PROXY`.
const PROXIES: [&str; 48] = [
    "http://proxy.example:3128",
    "HTTP://Proxy.Example:3128/",
    "https://proxy.example",
    "https://proxy.example:3129/path?query#fragment",
    "proxy.example",
    "proxy.example:3128",
    "10.9.9.9:3128",
    "[2001:db8::9]:3128",
    "http://[2001:db8::9]",
    "http://[2001:db8::9",
    "http://2001:db8::9",
    "http://proxy.example:",
    "http://proxy.example:port",
    "http://proxy.example:99999",
    "http://",
    "http:",
    "http:proxy.example",
    "http:/proxy.example",
    "http:///proxy.example",
    "//proxy.example:3128",
    "/proxy.example",
    ":3128",
    "*",
    "socks5://proxy.example:1080",
    "socks5h://proxy.example",
    "ftp://a:b:c",
    "1http://proxy.example",
    "http://user@proxy.example",
    "http://user:@proxy.example",
    "http://:password@proxy.example",
    "http://user:password@proxy.example:3128",
    "user:password@proxy.example:3128",
    "http://user:pass:word@proxy.example",
    "http://user:p@ss@proxy.example",
    "http://user:p%40ss%2Fw%3Ao%25rd@proxy.example",
    "http://us%3Aer:p%E4ss@proxy.example",
    "http://user:p/w@proxy.example",
    "http://user:p#w@proxy.example",
    "http://user:p?w@proxy.example",
    "http://user:p%zz@proxy.example",
    "http://user:p%2@proxy.example",
    "http://user:p w@proxy.example",
    "http://user:p\\w@proxy.example",
    "http://user:pässword@proxy.example",
    "http://proxy example",
    "http://proxy%20example",
    "http://proxy.example/%zz",
    " http://proxy.example",
];

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The operator's own reading.
fn reading(settings: &ProxySettings, url: &str) -> Result<String> {
    let url = Url::parse(url)?;
    let server = endpoint_of(&url).map_err(|problem| anyhow::anyhow!(problem.message))?;
    Ok(match settings.route(HttpScheme::of(&url), &server) {
        Route::Direct => "direct".to_owned(),
        Route::Refused => "refused".to_owned(),
        Route::Through(proxy) => {
            let way = format!("{}://{}", proxy.scheme(), proxy.authority());
            let authorization = proxy.authorization().map(|it| format!(" {}", it.expose()));
            way + authorization.as_deref().unwrap_or_default()
        }
    })
}

#[test]
fn the_variables_are_read_as_go_reads_them() -> Result<()> {
    const PROXY: &str = "http://proxy.example:3128";
    let mut environments = vec![
        environment(&[]),
        environment(&[("HTTP_PROXY", "http://a.example"), ("HTTPS_PROXY", "http://b.example")]),
        environment(&[("http_proxy", "http://a.example"), ("https_proxy", "http://b.example")]),
        environment(&[("HTTPS_PROXY", "http://upper.example"), ("https_proxy", "http://lower.example")]),
        environment(&[("HTTPS_PROXY", ""), ("https_proxy", "http://lower.example")]),
        environment(&[("HTTPS_PROXY", PROXY), ("NO_PROXY", ".com"), ("no_proxy", "10.0.0.0/8")]),
        environment(&[("HTTPS_PROXY", PROXY), ("NO_PROXY", ""), ("no_proxy", "10.0.0.0/8")]),
        environment(&[("Https_Proxy", PROXY), ("ALL_PROXY", PROXY), ("all_proxy", PROXY)]),
        environment(&[("HTTP_PROXY", PROXY), ("HTTPS_PROXY", PROXY), ("REQUEST_METHOD", "GET")]),
        environment(&[("HTTP_PROXY", PROXY), ("NO_PROXY", "*"), ("REQUEST_METHOD", "GET")]),
        environment(&[("HTTP_PROXY", PROXY), ("REQUEST_METHOD", "")]),
    ];
    environments.extend(EXCEPTIONS.iter().map(|exceptions| {
        environment(&[("HTTP_PROXY", PROXY), ("HTTPS_PROXY", PROXY), ("NO_PROXY", exceptions)])
    }));
    environments.extend(PROXIES.iter().map(|proxy| environment(&[("HTTPS_PROXY", proxy)])));
    let cases = environments.into_iter().map(|environment| {
        let settings = ProxySettings::from_environment(environment.clone());
        let reading = URLS.iter().map(|url| reading(&settings, url)).collect::<Result<_>>()?;
        Ok(ProxyCase { environment, urls: URLS.map(str::to_owned).to_vec(), reading })
    });
    let cases = cases.collect::<Result<Vec<_>>>()?;
    let verdicts = GoOpinion::install()?.proxies(&cases)?;
    let wrong: Vec<_> = cases
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| !verdict.accepted)
        .map(|(case, verdict)| {
            let ours: Vec<_> = case.urls.iter().zip(&case.reading).collect();
            format!("{:?}\n  Go: {}\n  we: {ours:?}", case.environment, verdict.error)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn go_disagrees_with_a_wrong_reading() -> Result<()> {
    let case = ProxyCase {
        environment: environment(&[("HTTPS_PROXY", "http://user:word@proxy.example"), ("NO_PROXY", ".org")]),
        urls: vec!["https://a.example".to_owned(), "https://a.org".to_owned()],
        reading: vec!["http://proxy.example Basic dXNlcjp3b3Jk".to_owned(), "direct".to_owned()],
    };
    let swapped = ProxyCase { reading: case.reading.iter().rev().cloned().collect(), ..case.clone() };
    let verdicts = GoOpinion::install()?.proxies(&[case, swapped])?;
    assert_eq!(verdicts.iter().map(|verdict| verdict.accepted).collect::<Vec<_>>(), [true, false]);
    Ok(())
}
