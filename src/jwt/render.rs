//! The environment variables of W&B Server.

mod inverse;

use super::JwtPlan;
use crate::{
    engine::{Env, Values},
    jwt::Audiences,
};

/// For both settings, W&B documents one name that every self-managed instance reads.
const AUDIENCES: Env =
    Env { local: Some("FEDERATED_AUTH_AUDIENCES"), split: &["FEDERATED_AUTH_AUDIENCES"], field: None };
const SKIP_AUDIENCE_VALIDATION: Env =
    Env { local: Some("SKIP_AUDIENCE_VALIDATION"), split: &["SKIP_AUDIENCE_VALIDATION"], field: None };

/// Every setting, in the order in which people read them.
pub(super) const ENVIRONMENT: &[Env] = &[AUDIENCES, SKIP_AUDIENCE_VALIDATION];

/// The values to publish. Settings that equal W&B Server's own defaults are left out.
pub(super) fn render(plan: &JwtPlan) -> Values {
    let settings = &plan.settings;
    let mut values = Values::default();
    if !settings.listed_audiences.is_empty() {
        values.set(AUDIENCES, settings.listed_audiences.join(","));
    }
    if settings.audiences == Audiences::Any {
        values.set(SKIP_AUDIENCE_VALIDATION, "true");
    }
    values
}

/// Merges the values of several issuers: every audience once, in the given order. Audience validation is skipped if
/// any issuer asks for that.
pub(super) fn join(values: &[Values]) -> Values {
    let mut joined = Values::default();
    let of = |env: Env| values.iter().filter_map(move |values| values.get(env.local?));
    let mut audiences: Vec<&str> = Vec::new();
    for audience in of(AUDIENCES).flat_map(|value| value.expose().split(',')) {
        if !audiences.contains(&audience) {
            audiences.push(audience);
        }
    }
    if !audiences.is_empty() {
        joined.set(AUDIENCES, audiences.join(","));
    }
    if of(SKIP_AUDIENCE_VALIDATION).any(|value| value.expose() == "true") {
        joined.set(SKIP_AUDIENCE_VALIDATION, "true");
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::{jwt::JwtSettings, net::Trust};

    fn rendered(spec: Value) -> BTreeMap<String, String> {
        let settings = JwtSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap();
        let plan = JwtPlan { settings, samples: Vec::new(), ca_bundle: None, trust: Trust::empty() };
        let values = render(&plan);
        values.iter().map(|(name, value)| (name.to_owned(), value.expose().to_owned())).collect()
    }

    #[test]
    fn audiences_keep_the_order_of_the_spec() {
        let spec = json!({ "issuer": "https://a.example", "audiences": ["my-org", "another team"] });
        insta::assert_yaml_snapshot!(rendered(spec), @r#"FEDERATED_AUTH_AUDIENCES: "my-org,another team""#);
    }

    #[test]
    fn several_issuers_have_every_audience_once() {
        let of = |audiences: &[&str], skips: bool| {
            let mut values = Values::default();
            if !audiences.is_empty() {
                values.set(AUDIENCES, audiences.join(","));
            }
            if skips {
                values.set(SKIP_AUDIENCE_VALIDATION, "true");
            }
            values
        };
        let joined = |values: &[Values]| {
            let joined = join(values);
            joined.iter().map(|(_, value)| value.expose().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(joined(&[of(&["b", "a"], false), of(&["c", "a"], false)]), ["b,a,c"]);
        assert_eq!(joined(&[of(&["a"], false), of(&[], true)]), ["a", "true"]);
        assert!(joined(&[of(&[], false)]).is_empty());
        let all = join(&[of(&["a"], false), of(&["b"], false)]);
        assert!(join(&[all.clone(), of(&["b"], false)]) == all, "what is there already adds nothing");
    }

    #[test]
    fn nothing_is_set_that_is_not_asked_for() {
        let spec = json!({ "issuer": "https://a.example", "skipAudienceValidation": true });
        insta::assert_yaml_snapshot!(rendered(spec), @r#"SKIP_AUDIENCE_VALIDATION: "true""#);
    }
}
