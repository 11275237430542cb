//! Whether the target's server takes the same way to the checked server as the operator: pure. A check through another
//! proxy, or none, proves nothing of the server's own way.

use crate::{
    api::Reason,
    engine::Checked,
    net::{HttpScheme, HttpServer, PROXY_VARIABLES, ProxySettings, Route},
    problem::enumerate,
    workloads::{Environment, OtherSources},
};

/// Compares both ways, as far as the target shows its own; `None` if neither has a proxy.
pub(super) fn proxy_matches(
    own: &ProxySettings,
    server: &HttpServer,
    environment: &Environment,
) -> Option<Checked> {
    let (ours, endpoint) = (own.route(server.scheme, &server.endpoint), &server.endpoint);
    let variables = environment.literals.iter().map(|(name, value)| (name.clone(), value.clone()));
    let shown = ProxySettings::from_environment(variables);
    let hidden = hidden(&shown, server, environment);
    if !hidden.is_empty() {
        // Most targets have further sources, and few a proxy, so nothing is said of one that shows nothing of any.
        let is_told = ours != Route::Direct || is_mentioned(environment);
        let message = format!(
            "The target may have {} from elsewhere, such as a Secret, which was not read, so its way to {endpoint} is not compared with the operator's. Compare both by hand.",
            enumerate(hidden)
        );
        return is_told.then(|| Checked::passed((), message));
    }
    if !own.has_any() && !shown.has_any() {
        return None;
    }
    let theirs = shown.route(server.scheme, &server.endpoint);
    // The same proxy with other credentials is the same way.
    if way(&ours) == way(&theirs) {
        return Some(Checked::passed(
            (),
            format!("The operator and the target's server reach {endpoint} {}.", way(&ours)),
        ));
    }
    Some(Checked::warning(
        (),
        Reason::ProxyDiffers,
        format!(
            "The operator reaches {endpoint} {}, and the target's server {}, so the checks do not prove the server's own way. Give the operator the HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the target, by proxy of the chart.",
            way(&ours),
            way(&theirs)
        ),
    ))
}

/// The variables that decide on the way of the target's server, and that the target does not show.
fn hidden(shown: &ProxySettings, server: &HttpServer, environment: &Environment) -> Vec<&'static str> {
    let proxy = match server.scheme {
        HttpScheme::Http => "HTTP_PROXY",
        HttpScheme::Https => "HTTPS_PROXY",
    };
    let is_hidden = |name: &&str| !is_shown(name, environment);
    if is_hidden(&proxy) {
        return [proxy, NO_PROXY].into_iter().filter(is_hidden).collect();
    }
    // Without a proxy there is nothing to except, and further exceptions change nothing where one is enough.
    let is_excepted = environment.literals.get(NO_PROXY).is_some_and(|value| !value.is_empty())
        && shown.route(server.scheme, &server.endpoint) == Route::Direct;
    let is_proxied = shown.without_exceptions().route(server.scheme, &server.endpoint) != Route::Direct;
    [NO_PROXY].into_iter().filter(|name| is_proxied && !is_excepted && is_hidden(name)).collect()
}

const NO_PROXY: &str = "NO_PROXY";

/// Whether the target shows what the server makes of a variable: the spelling in upper case counts, where it is not
/// empty, and then the one in lower case. A variable of the list hides one of the same name that comes from elsewhere.
fn is_shown(name: &str, environment: &Environment) -> bool {
    let Environment { literals, references, other_sources, .. } = environment;
    for spelling in [name.to_owned(), name.to_lowercase()] {
        match literals.get(&spelling) {
            _ if references.contains(&spelling) => return false,
            Some(value) if !value.is_empty() => return !is_made_of_others(value),
            None if *other_sources == OtherSources::Sources => return false,
            Some(_) | None => {}
        }
    }
    true
}

/// Whether the value contains other variables, apart from the one that stands in many a `NO_PROXY` and leads to no
/// server of a resource.
fn is_made_of_others(value: &str) -> bool {
    value.replace("$(KUBERNETES_SERVICE_HOST)", "").contains("$(")
}

fn way(route: &Route) -> String {
    match route {
        Route::Direct => "directly".to_owned(),
        Route::Through(proxy) => format!("through the proxy {proxy}"),
        Route::Refused => "not at all, since REQUEST_METHOD is set beside HTTP_PROXY".to_owned(),
    }
}

fn names() -> impl Iterator<Item = String> {
    PROXY_VARIABLES.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()])
}

/// Whether the target has a proxy, or may have one, by its list of variables.
fn is_mentioned(environment: &Environment) -> bool {
    names().any(|name| environment.references.contains(&name) || environment.literals.contains_key(&name))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::{
        api::CheckName,
        engine::Finding,
        net::{Endpoint, Host},
    };

    fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    #[test]
    fn only_what_differs_for_the_server_of_the_resource_is_told() {
        const PROXY: &str = "HTTPS_PROXY=http://user:hunter2@proxy:3128";
        let server = HttpServer {
            scheme: HttpScheme::Https,
            endpoint: Endpoint { host: Host::parse("login.example.com").unwrap(), port: 443 },
        };
        let mut found = String::new();
        for (own, theirs, references, other_sources) in [
            ("", "", "", OtherSources::ListOnly),
            ("", PROXY, "", OtherSources::ListOnly),
            (PROXY, "", "", OtherSources::ListOnly),
            (PROXY, "https_proxy=proxy:3128", "", OtherSources::ListOnly),
            (PROXY, "HTTPS_PROXY=http://other:3128", "", OtherSources::ListOnly),
            ("", &format!("{PROXY} NO_PROXY=.example.com"), "", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} NO_PROXY=.example.com"), "", OtherSources::ListOnly),
            ("", "HTTP_PROXY=http://proxy:3128", "", OtherSources::ListOnly),
            ("", "", "HTTPS_PROXY", OtherSources::ListOnly),
            (PROXY, "", "", OtherSources::Sources),
            ("", "", "", OtherSources::Sources),
            (PROXY, "HTTPS_PROXY=http://$(USER)@$(HOST):3128", "", OtherSources::ListOnly),
            // What is not shown may except the server, or give it a proxy.
            ("", PROXY, "", OtherSources::Sources),
            (PROXY, PROXY, "", OtherSources::Sources),
            (PROXY, "NO_PROXY=.example.org", "", OtherSources::Sources),
            (PROXY, "https_proxy=http://proxy:3128", "", OtherSources::Sources),
            (
                PROXY,
                "HTTPS_PROXY= https_proxy=http://proxy:3128 NO_PROXY=.example.org",
                "",
                OtherSources::Sources,
            ),
            (PROXY, &format!("{PROXY} NO_PROXY=.example.org,$(MORE)"), "", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} no_proxy=.example.com"), "", OtherSources::Sources),
            (PROXY, PROXY, "NO_PROXY", OtherSources::ListOnly),
            (PROXY, PROXY, "no_proxy", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} NO_PROXY=.example.org"), "no_proxy", OtherSources::ListOnly),
            // What is shown is enough.
            ("", PROXY, "HTTP_PROXY", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} NO_PROXY=.example.com,$(MORE)"), "", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} NO_PROXY=.example.com"), "", OtherSources::Sources),
            (PROXY, "HTTPS_PROXY= https_proxy=", "", OtherSources::Sources),
            (PROXY, "", "NO_PROXY", OtherSources::ListOnly),
            (PROXY, &format!("{PROXY} NO_PROXY=$(KUBERNETES_SERVICE_HOST)"), "", OtherSources::ListOnly),
        ] {
            let environment = Environment {
                literals: variables(theirs).collect(),
                references: references.split_whitespace().map(str::to_owned).collect(),
                other_sources,
                ..Environment::default()
            };
            let checked =
                proxy_matches(&ProxySettings::from_environment(variables(own)), &server, &environment);
            let finding = checked.map(|checked| Finding::noted(CheckName::ProxyMatches, checked));
            let told = finding
                .map(|finding| format!("{:?} {}: {}", finding.result, finding.reason, finding.message));
            writeln!(
                found,
                "[{own}] [{theirs}] {references} {other_sources:?}\n    {}",
                told.unwrap_or_default()
            )
            .unwrap();
        }
        let told = found.lines().filter(|line| line.starts_with(' '));
        assert!(told.clone().all(|line| !line.contains("hunter2")));
        insta::assert_snapshot!(found);
    }
}
