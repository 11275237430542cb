//! Whether the target's server takes the same way to the checked server as the operator: pure. A check through another
//! proxy, or none, proves nothing of the server's own way.

use crate::{
    api::Reason,
    engine::Checked,
    net::{HttpServer, PROXY_VARIABLES, ProxySettings, Route},
    workloads::{Environment, OtherSources},
};

/// Compares both ways, as far as the target shows its own; `None` if neither has a proxy.
pub(super) fn proxy_matches(
    own: &ProxySettings,
    server: &HttpServer,
    environment: &Environment,
) -> Option<Checked> {
    let ours = own.route(server.scheme, &server.endpoint);
    if is_unknown(environment) {
        return match ours {
            Route::Direct if !is_mentioned(environment) => None,
            _ => Some(Checked::passed(
                (),
                "The target's proxies come from elsewhere, which was not read, so they are not compared with the operator's. Compare them by hand.",
            )),
        };
    }
    let variables = environment.literals.iter().map(|(name, value)| (name.clone(), value.clone()));
    let theirs = ProxySettings::from_environment(variables);
    if !own.has_any() && !theirs.has_any() {
        return None;
    }
    let theirs = theirs.route(server.scheme, &server.endpoint);
    let endpoint = &server.endpoint;
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

/// Whether the target does not show all of its variables of proxies.
fn is_unknown(environment: &Environment) -> bool {
    let Environment { literals, references, other_sources, .. } = environment;
    // This reference stands in many a NO_PROXY, and leads to no server of a resource.
    let is_made_of_others = |name: &String| {
        let value = literals.get(name).map(|value| value.replace("$(KUBERNETES_SERVICE_HOST)", ""));
        value.is_some_and(|value| value.contains("$("))
    };
    let has_other_sources =
        *other_sources == OtherSources::Sources && !names().any(|name| literals.contains_key(&name));
    has_other_sources || names().any(|name| references.contains(&name) || is_made_of_others(&name))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::{
        api::CheckName,
        engine::Finding,
        net::{Endpoint, Host, HttpScheme},
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
