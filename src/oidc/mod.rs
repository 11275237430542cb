//! `OidcProvider`: people log in to W&B with an OpenID Provider.
//!
//! In reading order: `settings` turns the spec into types that cannot be wrong, with the
//! `redirect_uri`. `probe` is the line of checks: `provider` (what is known of the product),
//! `discovery`, `endpoints`, `capabilities`, `keys`, `client` and `redirect`. `render` makes the
//! environment variables of W&B Server, and `host` compares the spec with the server that gets them. `authorization` is
//! the request with which a browser begins a login, and `login` tries a person's.
//!
//! Invariant: a secret leaves the process in two places, the token requests of `client` and of `login`, and only to
//! an endpoint that a verified issuer's document names and that passed the egress policy.

mod authorization;
mod capabilities;
mod client;
mod discovery;
mod endpoints;
mod host;
mod keys;
mod login;
mod probe;
mod provider;
mod redirect;
mod redirect_uri;
mod render;
mod settings;

pub use login::{
    AnswerReading, AnswerWay, BrowserAnswer, StartedLogin, begin, creates_users, finish, login_checks,
};
pub use redirect_uri::RedirectUri;
pub use settings::OidcSettings;

use crate::{
    api::{CheckName, OidcProvider, Reason},
    engine::{
        CheckContext, Checked, Env, Inputs, Kind, Protection, Reference, RenderContext, Report, Values,
    },
    import,
    net::{CaBundle, HttpServer, Trust},
    problem::Problem,
    sensitive::Sensitive,
    workloads::{Environment, LOGIN_SETTINGS},
};

/// Where the spec names the client's secret.
const CLIENT_SECRET: &str = "spec.clientSecretRef";

/// Everything that the checks and the published values need.
pub struct OidcPlan {
    settings: OidcSettings,
    secret: Option<Sensitive>,
    /// Where the secret is, as messages name it.
    secret_location: String,
    ca_bundle: Option<CaBundle>,
    trust: Trust,
}

impl OidcPlan {
    /// How connections to the issuer are protected.
    fn protection(&self) -> Protection<'_> {
        if !self.settings.issuer.is_encrypted() {
            return Protection::Plaintext;
        }
        Protection::Tls(&self.trust)
    }
}

impl Kind for OidcProvider {
    const SHORT_NAME: &'static str = "oidc";
    const ENVIRONMENT: &'static [Env] = render::ENVIRONMENT;
    const SUPERSEDED_REASON: Reason = Reason::ConflictsWithOidc;

    type Parsed = OidcSettings;
    type Plan = OidcPlan;
    type Evidence = ();

    const EXCLUSIVE_SETTINGS: &'static [&'static str] = &["the OpenID Connect settings", LOGIN_SETTINGS];

    fn http_server(&self) -> Option<HttpServer> {
        self.parse().ok().map(|settings| settings.issuer.server())
    }

    fn check_target(&self, environment: &Environment) -> Vec<(CheckName, Checked)> {
        let looked = self.parse().ok().and_then(|settings| host::matches(&settings, environment));
        looked.map(|checked| (CheckName::HostMatches, checked)).into_iter().collect()
    }

    fn parse(&self) -> Result<OidcSettings, Problem> {
        OidcSettings::parse(&self.spec)
    }

    fn references(&self) -> Vec<Reference> {
        let secret = self.spec.client_secret_ref.as_ref();
        secret.map(|reference| Reference::secret(reference, CLIENT_SECRET)).into_iter().collect()
    }

    fn plan(settings: OidcSettings, inputs: Inputs) -> OidcPlan {
        let secret = inputs.get(CLIENT_SECRET).cloned();
        let secret_location = inputs.location(CLIENT_SECRET).unwrap_or_default();
        OidcPlan { settings, secret, secret_location, ca_bundle: inputs.ca_bundle, trust: inputs.trust }
    }

    const CREDENTIAL: Option<Env> = Some(render::SECRET);

    fn plan_of(&self, values: &Values, system_trust: &Trust) -> Option<OidcPlan> {
        import::plan_of(self, values, system_trust)
    }

    fn checks(plan: &OidcPlan) -> Vec<CheckName> {
        [CheckName::ProviderRules]
            .into_iter()
            .chain(plan.protection().checks())
            .chain([
                CheckName::Discovery,
                CheckName::IssuerMatches,
                CheckName::Endpoints,
                CheckName::FlowSupported,
                CheckName::Scopes,
                CheckName::SigningKeys,
                CheckName::ClientCredentials,
                CheckName::RedirectUri,
            ])
            .collect()
    }

    async fn probe(plan: &OidcPlan, check_context: &CheckContext<'_>, report: &mut Report) {
        probe::probe(plan, check_context.network, report).await;
    }

    fn render(plan: &OidcPlan, (): &(), _: &RenderContext<'_>) -> Option<Values> {
        Some(render::render(plan))
    }
}
