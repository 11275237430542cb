//! `login`: tries a person's login, before anybody is asked to, and shows what W&B Server would read of the person.
//!
//! `prompt` asks a person at the terminal, and `browser` listens for a person's browser. Each kind has its own way in a file of its name, and `report` says what came
//! of it. Nothing is stored.

mod browser;
mod jwt;
mod ldap;
mod oidc;
mod prompt;
mod report;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use futures::{FutureExt, future::BoxFuture};
use kube::{Api, core::DynamicObject};
use tokio::signal::unix::{SignalKind, signal};

use self::{jwt::TokenArgs, ldap::PasswordArgs, oidc::BrowserArgs, report::LoginReport};
use super::{
    CommandVerdict, EgressArgs,
    dyn_resource::{CheckObstacle, CheckSurroundings, CheckedResource, Examinable, Title},
    kinds::NamedResource,
    manifests::Manifests,
    proxies::{ProxyArgs, complain},
    references::References,
    status::{PlaceArgs, terminal_layout},
    terminal::print,
    yaml::{self, YamlDocument},
};
use crate::{
    api::ServiceAccount,
    api_server::Cluster,
    engine::{Awaited, Finding, Kind, Planned, Report},
    error::in_words,
    login::{DecodedToken, PersonAsRead},
    net::{Network, SharedNetwork},
};

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArguments {
    /// The resource: ldap/NAME, oidc/NAME or jwt/NAME. With -f it may be left out where the files have one only.
    #[arg(value_name = "KIND/NAME", required_unless_present = "files")]
    resource: Option<String>,

    /// File or directory with the resource and what it refers to, or - for standard input; may be repeated. Without it,
    /// the resource is read from the cluster.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,

    /// With -f: read referenced Secrets and ConfigMaps from the cluster.
    #[arg(long, requires = "files")]
    from_cluster: bool,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    password: PasswordArgs,

    #[command(flatten)]
    browser: BrowserArgs,

    #[command(flatten)]
    token: TokenArgs,

    #[command(flatten)]
    egress: EgressArgs,

    #[command(flatten)]
    proxies: ProxyArgs,

    /// How it is printed.
    #[arg(short = 'o', long, value_enum, default_value_t = LoginOutput::Tree)]
    output: LoginOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoginOutput {
    Tree,
    Json,
    Yaml,
}

/// What a login is tried with.
#[derive(Clone, Copy)]
pub(super) struct LoginRun<'a> {
    /// What the person said.
    pub(super) arguments: &'a LoginArguments,
    /// Connections to the outside.
    pub(super) network: &'a Network,
    /// The time limit of what no person takes part in.
    pub(super) limit: Duration,
}

/// What came of a login.
pub(super) struct TriedLogin {
    /// What was found on the way.
    checked: CheckedResource,
    /// What W&B Server would read.
    person: Option<PersonAsRead>,
    /// Who tried it, as a sentence names them.
    who: String,
    /// What must be so for the login to work, and cannot be seen from here.
    conditions: Vec<&'static str>,
    /// What else must be known of the resource.
    remark: Option<&'static str>,
    /// What the token says that was tried.
    token: Option<DecodedToken>,
}

impl TriedLogin {
    /// A login that could not be tried.
    pub(super) fn obstructed(obstacle: CheckObstacle) -> Self {
        Self {
            checked: CheckedResource::Obstructed(obstacle),
            person: None,
            who: String::new(),
            conditions: Vec::new(),
            remark: None,
            token: None,
        }
    }

    /// A login that was tried.
    fn tried(findings: Vec<Finding>, person: Option<PersonAsRead>, who: String) -> Self {
        Self {
            checked: CheckedResource::Checked(findings),
            person,
            who,
            conditions: Vec::new(),
            remark: None,
            token: None,
        }
    }
}

/// What came of an attempt within its time limit. The end of the time is a finding.
fn in_time<T>(outcome: Result<Option<T>, Awaited>, limit: Duration, report: &mut Report) -> Option<T> {
    outcome.unwrap_or_else(|awaited| {
        report.time_out(limit, awaited);
        None
    })
}

/// A kind of resource, by how a login through it is tried.
pub(super) trait LoginKind: Kind + Sized {
    /// Asks the person for what is needed, and tries it.
    fn log_in<'a>(planned: &'a Planned<Self>, run: LoginRun<'a>)
    -> BoxFuture<'a, anyhow::Result<TriedLogin>>;
}

impl LoginKind for ServiceAccount {
    fn log_in<'a>(_: &'a Planned<Self>, _: LoginRun<'a>) -> BoxFuture<'a, anyhow::Result<TriedLogin>> {
        std::future::ready(Err(anyhow!(
            "nobody logs in through a ServiceAccount, and check tries its key or token; expected ldap/NAME, oidc/NAME or jwt/NAME"
        )))
        .boxed()
    }
}

/// The kinds through which people and programs log in.
const KINDS: [&str; 3] = ["LdapConfig", "OidcProvider", "JwtIssuer"];

/// Tries a login and prints what came of it. An interrupt ends it at any point, and leaves the terminal as it was.
pub(super) async fn login(arguments: &LoginArguments) -> anyhow::Result<CommandVerdict> {
    // Before the first question: an interrupt that nobody awaits yet would end the process with the terminal as it is.
    let mut interrupt = signal(SignalKind::interrupt()).context("interrupts cannot be received")?;
    tokio::select! {
        outcome = Box::pin(try_login(arguments)) => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
    }
}

async fn try_login(arguments: &LoginArguments) -> anyhow::Result<CommandVerdict> {
    let named = arguments.resource.as_deref().map(NamedResource::parse).transpose()?;
    let (references, manifests) = arguments.read(named.as_ref()).await?;
    let resource = chosen(&manifests, named.as_ref())?;
    let objects = references.of(resource, &manifests).await?;
    let proxies = arguments.proxies.proxies()?;
    complain(&proxies, |remark| eprintln!("warning: {remark}"));
    let network = Arc::new(SharedNetwork::new(arguments.egress.policy()).behind(proxies));
    // Whether another resource has precedence says nothing of whether this one would work.
    let surroundings = CheckSurroundings { objects: &objects, resources: &[], cluster: references.cluster() };
    let tried = resource.log_in(surroundings, &network, arguments).await?;
    let advice = match &tried.checked {
        CheckedResource::Obstructed(obstacle) => references.advice(obstacle, resource, &manifests),
        CheckedResource::Checked(_) => None,
    };
    let verdict = tried.checked.verdict();
    let report = LoginReport::new(resource, tried);
    print(&match arguments.output {
        LoginOutput::Tree => report.draw(advice.as_deref(), terminal_layout()),
        LoginOutput::Json => serde_json::to_string_pretty(&report)? + "\n",
        LoginOutput::Yaml => yaml::write(&report)?,
    })?;
    Ok(verdict)
}

impl LoginArguments {
    /// The resources of the files, or the named one of the cluster.
    async fn read(&self, named: Option<&NamedResource>) -> anyhow::Result<(References, Manifests)> {
        if !self.files.is_empty() {
            let (references, namespace) = if self.from_cluster {
                References::of_context(self.place.context()).await?
            } else {
                (References::Files, "default".to_owned())
            };
            let namespace = self.place.namespace().unwrap_or(&namespace);
            return Ok((references, Manifests::read(&self.files, namespace)?));
        }
        let (references, namespace) = References::of_context(self.place.context()).await?;
        let namespace = self.place.namespace().unwrap_or(&namespace);
        let mut manifests = Manifests::default();
        if let (Some(named), Some(cluster)) = (named, references.cluster()) {
            let value = serde_json::to_value(get(cluster, named, namespace).await?)?;
            let document = YamlDocument { value, repeated: Vec::new() };
            manifests.add(&format!("the namespace {namespace}"), document, namespace)?;
        }
        Ok((references, manifests))
    }
}

/// Reads the resource.
async fn get(cluster: &Cluster, named: &NamedResource, namespace: &str) -> anyhow::Result<DynamicObject> {
    let api = Api::namespaced_with(cluster.client.clone(), namespace, &named.kind.resource);
    let found = api.get_opt(&named.name).await.map_err(|error| {
        anyhow!("{} in the namespace {namespace} cannot be read: {}", named.short(), in_words(&error))
    })?;
    found.ok_or_else(|| {
        anyhow!(
            "there is no {} \"{}\" in the namespace {namespace}; name another with -n",
            named.kind.resource.kind,
            named.name
        )
    })
}

/// The resource that is meant: the named one, or else the only one through which people log in.
fn chosen<'a>(manifests: &'a Manifests, named: Option<&NamedResource>) -> anyhow::Result<&'a dyn Examinable> {
    let is_meant = |title: &Title| match named {
        Some(named) => title.kind == named.kind.resource.kind && title.name == named.name,
        None => KINDS.contains(&title.kind.as_str()),
    };
    let meant: Vec<_> = manifests.resources.iter().filter(|resource| is_meant(&resource.title())).collect();
    match (meant.as_slice(), named) {
        ([only], _) => Ok(&***only),
        ([], Some(named)) => bail!("the files have no {}", named.short()),
        ([], None) => bail!("the files have no {}", KINDS.join(" or ")),
        (several, _) => {
            let titles: Vec<_> = several.iter().map(|resource| resource.title().to_string()).collect();
            bail!(
                "the files have several resources to log in with ({}); name one before -f, such as oidc/NAME, and its namespace with -n",
                titles.join(", ")
            )
        }
    }
}
