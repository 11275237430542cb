//! `LdapConfig`: from the spec of a directory to proof that it works, and to W&B's settings for it.
//!
//! In reading order: `directory` is what a spec says in types that cannot be wrong ([`LdapUrl`],
//! [`Dn`], [`BindName`], [`GroupName`]), and `spec` makes them from its text. `probe` is the list of
//! checks and their order. What a check asks and how it judges the answer is in `start_tls`, `bind`
//! (with `password_policy` and `refusal`), `base_dn`, `attributes`, `allow_list` (with `groups`,
//! `membership` and `primary_group`) and `test_user`; how it gets the answer is in `search` and
//! `connection`, behind which `message` and `shape` stand guard.
//! `person` looks for one entry, and `login` tries a person's login.
//! Where something was not found, `hints` has what is there instead; `wrong_port` tells a port that speaks LDAP
//! from one that speaks TLS. `render` writes the settings down.
//!
//! Invariants:
//! - A run binds once, whatever happens, since each wrong password counts towards a lock. A login binds once more, as the
//!   person.
//! - What a server sends is limited and judged in `message` before any parser sees it.
//! - A server's words stand in messages only through [`crate::problem::quote`].
//! - What the spec says goes into a filter only escaped, or where its syntax leaves no room for one.

mod allow_list;
mod attributes;
mod base_dn;
mod bind;
mod connection;
mod directory;
mod dn;
mod entry;
mod groups;
mod hints;
mod login;
mod membership;
mod message;
mod name;
mod password_policy;
mod person;
mod primary_group;
mod probe;
mod refusal;
mod render;
mod search;
mod shape;
mod spec;
mod start_tls;
mod test_user;
mod url;
mod wrong_port;

pub use bind::BindCredentials;
pub use directory::{Attributes, Directory, ExpectedUser, LdapProtection, SearchScope};
pub use dn::Dn;
pub use login::{LdapLogin, log_in, login_checks};
pub use name::{BindName, GroupName};

pub use url::{LdapUrl, Scheme};

use crate::{
    api::{CheckName, LdapConfig},
    engine::{CheckContext, Checked, Env, Inputs, Kind, Reference, RenderContext, Report, Values},
    import,
    net::{CaBundle, Login, Trust},
    problem::Problem,
    workloads::{Environment, LOGIN_SETTINGS},
};

/// Everything that probing and rendering need.
pub struct LdapPlan {
    /// The parsed spec.
    pub directory: Directory,
    /// Who binds; nobody means anonymously.
    pub credentials: Option<BindCredentials>,
    /// Which certificate authorities are trusted.
    pub trust: Trust,
    /// The spec's own authorities, to be published.
    pub ca_bundle: Option<CaBundle>,
}

const PASSWORD_FIELD: &str = "spec.bind.passwordSecretRef";

impl Kind for LdapConfig {
    const SHORT_NAME: &'static str = "ldap";
    const ENVIRONMENT: &'static [Env] = render::ENVIRONMENT;

    type Parsed = Directory;
    type Plan = LdapPlan;
    type Evidence = ();

    const EXCLUSIVE_SETTINGS: &'static [&'static str] = &["the LDAP settings", LOGIN_SETTINGS];

    fn exclusive_settings(&self) -> Vec<&'static str> {
        let has_login = |seat: &&str| self.spec.login || *seat != LOGIN_SETTINGS;
        Self::EXCLUSIVE_SETTINGS.iter().copied().filter(has_login).collect()
    }

    fn check_target(&self, environment: &Environment) -> Vec<(CheckName, Checked)> {
        let looked = allow_list::is_read(&self.spec, environment);
        looked.map(|checked| (CheckName::AllowListRead, checked)).into_iter().collect()
    }

    fn parse(&self) -> Result<Directory, Problem> {
        Directory::parse(&self.spec)
    }

    fn references(&self) -> Vec<Reference> {
        let bind = self.spec.bind.iter();
        bind.map(|bind| Reference::secret(&bind.password_secret_ref, PASSWORD_FIELD)).collect()
    }

    fn plan(directory: Directory, inputs: Inputs) -> LdapPlan {
        let password = inputs.get(PASSWORD_FIELD).cloned().zip(inputs.location(PASSWORD_FIELD));
        // A name always comes with a password: resolving fails for one that is missing or empty.
        let credentials = directory.bind_name.clone().zip(password);
        LdapPlan {
            credentials: credentials.map(|(name, (password, location))| BindCredentials {
                name,
                password,
                location,
            }),
            directory,
            trust: inputs.trust,
            ca_bundle: inputs.ca_bundle,
        }
    }

    const CREDENTIAL: Option<Env> = Some(render::BIND_PASSWORD);

    fn login(plan: &LdapPlan) -> Option<Login> {
        plan.credentials.as_ref().map(|credentials| credentials.login(&plan.directory.url.endpoint))
    }

    fn plan_of(&self, values: &Values, system_trust: &Trust) -> Option<LdapPlan> {
        import::plan_of(self, values, system_trust)
    }

    fn checks(plan: &LdapPlan) -> Vec<CheckName> {
        probe::checks(plan)
    }

    async fn probe(plan: &LdapPlan, check_context: &CheckContext<'_>, report: &mut Report) {
        probe::probe(plan, check_context.network, report).await;
    }

    fn render(plan: &LdapPlan, (): &(), context: &RenderContext<'_>) -> Option<Values> {
        Some(render::render(plan, context))
    }
}
