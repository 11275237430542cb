//! `JwtIssuer`: an issuer whose tokens W&B Server accepts instead of API keys.
//!
//! In reading order: `settings` turns the spec into types that cannot be wrong. `token` reads a token
//! without believing it, `policy` says which keys are trusted, and `rules` are the five by which W&B
//! Server accepts a token; `signature` is the first of them. `probe` is the line of checks:
//! `discovery`, `keys`, `reachability`, `samples` and `exchange`. `render` makes the environment
//! variables of W&B Server, `details` what the status tells of the keys.
//! `look_up` is what other kinds ask of the issuer.
//!
//! Invariant: a token leaves the process in one place, the exchange at the instance of the spec, and
//! only after it has kept all rules.

mod details;
mod discovery;
mod exchange;
mod keys;
mod look_up;
mod policy;
mod probe;
mod reachability;
mod render;
mod rules;
mod samples;
mod settings;
mod signature;
mod token;

pub use policy::{KeyRejection, TrustedKeys};
pub use rules::{AcceptedToken, Audiences, RuleRefusal, Rules};
pub use settings::{JwtSettings, Sample, SampleProof};
pub use token::{Claims, Token};

pub(crate) use look_up::{IssuerPublication, look_up};

use serde::Serialize;

use crate::{
    api::{
        CheckName, CommonSpec, JwtIssuer, SharedStatus,
        jwt_issuer::{JwtIssuerDetails, KeyStatus},
    },
    engine::{
        CheckContext, Env, EventDraft, Inputs, Kind, Protection, Reference, RenderContext, Report,
        TargetSharing, Values,
    },
    import,
    net::{CaBundle, Recency, Trust},
    problem::Problem,
    sensitive::Sensitive,
};

/// Everything that the checks and the published values need.
pub struct JwtPlan {
    settings: JwtSettings,
    samples: Vec<Sample<Sensitive>>,
    ca_bundle: Option<CaBundle>,
    trust: Trust,
}

impl JwtPlan {
    /// How connections to the issuer are protected.
    fn protection(&self) -> Protection<'_> {
        if !self.settings.issuer.is_encrypted() {
            return Protection::Plaintext;
        }
        Protection::Tls(&self.trust)
    }

    /// How recent the keys must be: a sample's token may have been signed with one that is new.
    fn recency_of_keys(&self) -> Recency {
        let has_token = self.samples.iter().any(|sample| matches!(sample.proof, SampleProof::Token(_)));
        if has_token { Recency::JustNow } else { Recency::AsShared }
    }
}

impl Kind for JwtIssuer {
    const SHORT_NAME: &'static str = "jwt";
    const ENVIRONMENT: &'static [Env] = render::ENVIRONMENT;
    const TARGET_SHARING: TargetSharing = TargetSharing::Merged;

    type Parsed = JwtSettings;
    type Plan = JwtPlan;
    type Evidence = Option<Vec<KeyStatus>>;
    type Details = JwtIssuerDetails;

    fn common(&self) -> &CommonSpec {
        &self.spec.common
    }

    fn shared_status(&self) -> Option<&SharedStatus> {
        self.status.as_ref().map(|status| &status.common)
    }

    fn share_status(&mut self, known: &SharedStatus) {
        if let Some(status) = &mut self.status {
            status.common = known.clone();
        }
    }

    fn details(&self) -> JwtIssuerDetails {
        self.status.as_ref().map(|status| status.details.clone()).unwrap_or_default()
    }

    fn spec(&self) -> &impl Serialize {
        &self.spec
    }

    fn parse(&self) -> Result<JwtSettings, Problem> {
        JwtSettings::parse(&self.spec)
    }

    fn references(&self) -> Vec<Reference> {
        let samples = self.spec.samples.iter();
        samples
            .filter_map(|sample| {
                let reference = sample.token_secret_ref.as_ref()?;
                Some(Reference::secret(reference, settings::token_field(&sample.name)))
            })
            .collect()
    }

    fn plan(settings: JwtSettings, inputs: Inputs) -> JwtPlan {
        let with_token = |sample: &Sample<String>| {
            let proof = match &sample.proof {
                SampleProof::Token(field) => SampleProof::Token(inputs.get(field)?.clone()),
                SampleProof::Claims(claims) => SampleProof::Claims(claims.clone()),
            };
            Some(Sample { name: sample.name.clone(), proof, expect: sample.expect.clone() })
        };
        let samples = settings.samples.iter().filter_map(with_token).collect();
        JwtPlan { settings, samples, ca_bundle: inputs.ca_bundle, trust: inputs.trust }
    }

    fn plan_of(&self, values: &Values, system_trust: &Trust) -> Option<JwtPlan> {
        import::plan_of(self, values, system_trust)
    }

    fn checks(plan: &JwtPlan) -> Vec<CheckName> {
        let samples = plan.samples.iter().map(|sample| CheckName::Sample(sample.name.clone()));
        plan.protection()
            .checks()
            .chain([
                CheckName::Discovery,
                CheckName::IssuerMatches,
                CheckName::JwksFetches,
                CheckName::KeysStrong,
                CheckName::JwksReachableFromOutside,
            ])
            .chain(samples)
            .chain([CheckName::TokenExchange])
            .collect()
    }

    async fn probe(plan: &JwtPlan, scene: &CheckContext<'_>, report: &mut Report) -> Option<Vec<KeyStatus>> {
        probe::probe(plan, scene, report).await
    }

    fn render(plan: &JwtPlan, _: &Option<Vec<KeyStatus>>, _: &RenderContext<'_>) -> Option<Values> {
        Some(render::render(plan))
    }

    fn join(values: &[Values]) -> Values {
        render::join(values)
    }

    fn status_details(
        _: &JwtPlan,
        keys: &Option<Vec<KeyStatus>>,
        _: Option<&Values>,
        previous: JwtIssuerDetails,
    ) -> JwtIssuerDetails {
        keys.clone().map_or(previous, |keys| JwtIssuerDetails { keys: Some(keys) })
    }

    fn events(previous: &JwtIssuerDetails, current: &JwtIssuerDetails) -> Vec<EventDraft> {
        details::events(previous, current).into_iter().collect()
    }
}
