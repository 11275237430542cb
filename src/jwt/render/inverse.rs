//! Finds the spec that would publish a given environment of W&B Server.

use serde_json::{Value, json};

use super::{AUDIENCES, SKIP_AUDIENCE_VALIDATION};
use crate::{
    api::{CheckResult, JwtIssuer, Reason},
    engine::Env,
    import::{Flag, FoundEnvironment, Recoverable, Recovery, SettingNeed, StandIn},
    issuer::is_https,
    problem::quote_exactly,
};

/// The settings without which the rest can be checked.
const STAND_INS: &[StandIn] = &[StandIn {
    field: "audiences",
    spec: || json!({"audiences": null, "skipAudienceValidation": true}),
    void: &[],
    need: SettingNeed::Expected,
}];

impl Recoverable for JwtIssuer {
    const FIELDS: &'static [(&'static str, Env)] =
        &[("audiences", AUDIENCES), ("skipAudienceValidation", SKIP_AUDIENCE_VALIDATION)];

    const STAND_INS: &'static [StandIn] = STAND_INS;

    const UNSAID: Option<&'static str> = Some(
        "The issuer is registered in W&B's own pages and stands in no variable. Name it with --jwt-issuer to have it checked.",
    );

    fn is_configured(found: &FoundEnvironment) -> bool {
        found.is_set(AUDIENCES) || found.is_set(SKIP_AUDIENCE_VALIDATION)
    }

    /// Finds the fields of the spec. No variable contains the issuer, which is registered in W&B's own pages.
    fn recover(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
        let issuer = found.token_issuer.as_deref().map(Value::from);
        recovery.require(
            "issuer",
            issuer,
            "the issuer that is registered at W&B (or give it with --jwt-issuer)",
        );
        if found.token_issuer.as_deref().is_some_and(|issuer| !is_https(issuer)) {
            recovery.note("The issuer is a URL without TLS. The resource accepts that, as the server does today, with insecurePlaintext.");
            recovery.require("insecurePlaintext", Some(json!(true)), "");
        }
        if recovery.flag(found, SKIP_AUDIENCE_VALIDATION) == Flag::Known(true) {
            recovery.require("skipAudienceValidation", Some(json!(true)), "");
        }
        if let Some((name, text)) = recovery.text(found, AUDIENCES) {
            let audiences: Vec<_> = text.split(',').map(str::trim).filter(|each| !each.is_empty()).collect();
            if text.split(',').any(|each| each.trim() != each || each.is_empty()) {
                recovery.remark(name, CheckResult::Warning, Reason::VariableMalformed, format!(
                    "{name} is \"{}\". White space and empty parts between the commas may count as parts of audiences. Write {}.",
                    quote_exactly(text),
                    audiences.join(",")
                ));
            }
            recovery.require("audiences", Some(audiences.into()), "");
        }
    }

    fn add_unsaid(&self, found: &mut FoundEnvironment) {
        found.token_issuer = Some(self.spec.issuer.clone());
    }

    fn complete(&mut self, present: &Self) {
        let present = &present.spec;
        self.spec.keys = present.keys.clone();
        self.spec.insecure_plaintext |= present.insecure_plaintext;
        self.spec.common = self.spec.common.beside(&present.common);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::samples::comes_back;

    proptest! {
        #[test]
        fn every_spec_comes_back(
            audiences in proptest::collection::btree_set("[a-z]([a-z ]{0,8}[a-z])?", 1..4),
            skips in any::<bool>(),
        ) {
            let spec = json!({
                "issuer": "https://token.example.com", "audiences": audiences, "skipAudienceValidation": skips,
            });
            comes_back::<JwtIssuer>(&spec);
        }
    }
}
