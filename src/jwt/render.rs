//! The environment variables of W&B Server.

use super::Plan;
use crate::{
    engine::{Env, Values},
    jwt::Audiences,
};

/// No document of W&B has a name of these for the split services.
const AUDIENCES: Env = Env { local: Some("FEDERATED_AUTH_AUDIENCES"), split: &[], field: None };
const SKIP_AUDIENCE_VALIDATION: Env =
    Env { local: Some("SKIP_AUDIENCE_VALIDATION"), split: &[], field: None };

/// Every setting, in the order in which people read them.
pub(super) const ENVIRONMENT: &[Env] = &[AUDIENCES, SKIP_AUDIENCE_VALIDATION];

/// The settings that are not W&B Server's own defaults.
pub(super) fn render(plan: &Plan) -> Values {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::{jwt::Settings, net::Trust};

    fn rendered(spec: Value) -> BTreeMap<String, String> {
        let settings = Settings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap();
        let plan = Plan { settings, samples: Vec::new(), ca_bundle: None, trust: Trust::nobody() };
        let values = render(&plan);
        values.iter().map(|(name, value)| (name.to_owned(), value.expose().to_owned())).collect()
    }

    #[test]
    fn audiences_keep_the_order_of_the_spec() {
        let spec = json!({ "issuer": "https://a.example", "audiences": ["my-org", "another team"] });
        insta::assert_yaml_snapshot!(rendered(spec), @r#"FEDERATED_AUTH_AUDIENCES: "my-org,another team""#);
    }

    #[test]
    fn nothing_is_set_that_is_not_asked_for() {
        let spec = json!({ "issuer": "https://a.example", "skipAudienceValidation": true });
        insta::assert_yaml_snapshot!(rendered(spec), @r#"SKIP_AUDIENCE_VALIDATION: "true""#);
    }
}
