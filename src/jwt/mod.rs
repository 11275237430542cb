//! `JwtIssuer`: an issuer whose tokens W&B Server accepts instead of API keys.
//!
//! In reading order: `settings` parses the spec. `token` parses a token without verifying it, `policy` decides
//! which keys are trusted, and `rules` are the five rules by which W&B Server accepts a token; `signature` is the
//! first of them. `probe` runs the checks: `discovery`, `keys`, `reachability`, `samples` and `exchange`. `render`
//! makes the environment variables of W&B Server, and `details` the event about changed keys. `look_up` is what
//! other kinds need from the issuer, and `login` tries a token.
//!
//! Invariant: a token leaves the process only in the exchange at the instance of the spec, and only after all rules
//! have accepted it.

mod details;
mod discovery;
mod exchange;
mod keys;
mod login;
mod look_up;
mod policy;
mod probe;
mod reachability;
mod render;
mod rules;
mod samples;
mod settings;
mod signature;

pub use crate::token::{Claims, Token};
pub use login::{TokenExchangeWish, TokenLogin, has_instance, log_in, login_checks};
pub use policy::{KeyRejection, TrustedKeys};
pub use rules::{AcceptedToken, Audiences, RuleRefusal, Rules};
pub use settings::{JwtSettings, Sample, SampleProof};

pub(crate) use look_up::{IssuerPublication, look_up};

use crate::{
    api::{
        CheckName, JwtIssuer,
        jwt_issuer::{JwtIssuerDetails, KeyStatus},
    },
    engine::{
        CheckContext, Env, EventDraft, Inputs, Kind, Protection, Reference, RenderContext, Report,
        TargetSharing, Values,
    },
    import,
    net::{CaBundle, HttpServer, Recency, Trust},
    problem::Problem,
    sensitive::Sensitive,
};

/// What checks and rendering need.
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

    async fn probe(
        plan: &JwtPlan,
        context: &CheckContext<'_>,
        report: &mut Report,
    ) -> Option<Vec<KeyStatus>> {
        probe::probe(plan, context, report).await
    }

    fn render(plan: &JwtPlan, _: &Option<Vec<KeyStatus>>, _: &RenderContext<'_>) -> Option<Values> {
        Some(render::render(plan))
    }

    fn http_server(&self) -> Option<HttpServer> {
        self.parse().ok().map(|settings| settings.issuer.server())
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
