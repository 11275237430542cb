//! Whether the target serves the host of the spec: pure.

use super::{OidcSettings, RedirectUri};
use crate::{api::Reason, engine::Checked, problem::quote, workloads::Environment};

/// Compares the two, where the target tells its host. W&B Server derives its redirect URI from that, and a
/// provider that knows another one sends nobody back.
pub(super) fn matches(settings: &OidcSettings, environment: &Environment) -> Option<Checked> {
    let served = environment.host.as_deref()?;
    let wanted = &settings.redirect_uri;
    if redirect_uri(served).is_some_and(|uri| uri.leads_to(wanted)) {
        return Some(Checked::passed(
            (),
            format!("The target serves the host of {wanted}, its redirect URI."),
        ));
    }
    Some(Checked::warning(
        (),
        Reason::HostMismatch,
        format!(
            "The target serves the host {}, from which W&B Server derives its redirect URI, but spec.host leads to {wanted}. Correct one of the two, and register that redirect URI at the provider.",
            quote(served)
        ),
    ))
}

/// The redirect URI of a URL or a host name alone.
fn redirect_uri(host: &str) -> Option<RedirectUri> {
    if host.contains("://") {
        RedirectUri::of_host(host)
    } else {
        RedirectUri::of_host(&format!("https://{host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_host_of_the_spec_from_another() {
        let spec = serde_json::json!({
            "issuer": "https://login.example.com", "clientID": "wandb", "host": "https://wandb.example.com",
        });
        let settings = OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap();
        for (served, is_same) in [
            ("https://wandb.example.com", true),
            ("https://wandb.example.com:443/", true),
            ("wandb.example.com", true),
            ("http://wandb.example.com", false),
            ("https://wandb.example.com:8443", false),
            ("https://other.example.com", false),
            ("no host at all", false),
        ] {
            let environment = Environment { host: Some(served.to_owned()), ..Environment::default() };
            let finding = crate::engine::Finding::noted(
                crate::api::CheckName::HostMatches,
                matches(&settings, &environment).unwrap(),
            );
            assert_eq!(finding.reason == Reason::Passed, is_same, "{served}: {}", finding.message);
        }
        assert!(matches(&settings, &Environment::default()).is_none());
    }
}
