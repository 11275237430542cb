//! `check --from-environment`: the settings of a running server, as its own variables and files have them.

mod authorities;
mod variables;

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::Value;

use self::authorities::ServerAuthorities;
use super::{
    CommandVerdict,
    check::ResourceFindings,
    dyn_resource::{CheckedResource, Title},
    proxies::ProxyArgs,
};
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider},
    engine::{CheckContext, CheckRun, Finding, Repetition},
    import::{
        CheckableSettings, FoundEnvironment, Recoverable, checkable_of, remark_on_proxies, remarks_on_server,
        remarks_on_variables,
    },
    net::{CaBundle, EgressPolicy, Network, ProxySettings, RootSettings, SharedNetwork},
    probe::{KindVerdict, ProbeVerdict, RESOURCE_VARIABLE},
    sensitive::Sensitive,
};

/// Where a server's settings are.
#[derive(Debug, Args)]
pub struct EnvironmentArgs {
    /// Check the settings that W&B Server has in its environment variables, instead of files: for a pod like the server's.
    #[arg(long, conflicts_with_all = ["files", "namespace", "from_cluster"])]
    from_environment: bool,

    /// With --from-environment: file with the variables, in the format of docker's --env-file or of /proc/PID/environ, instead of this process's own.
    #[arg(long, value_name = "FILE", requires = "from_environment", conflicts_with = "files")]
    env_file: Option<PathBuf>,

    /// With --from-environment: directory below which the server's files are; its certificate authorities are read there [default: /].
    #[arg(long, value_name = "DIR", requires = "from_environment", conflicts_with = "files")]
    root: Option<PathBuf>,

    /// With --from-environment: file below --root with further certificate authorities in PEM, which the server is to get beside those that it has.
    #[arg(long, value_name = "FILE", requires = "from_environment", conflicts_with = "files")]
    authorities: Option<String>,

    /// With --from-environment: the URL at which people open W&B, where the variables do not have it.
    #[arg(long, value_name = "URL", requires = "from_environment", conflicts_with = "files")]
    host: Option<String>,

    /// With --from-environment: the issuer whose tokens the server accepts, which no variable has.
    #[arg(long, value_name = "URL", requires = "from_environment", conflicts_with = "files")]
    jwt_issuer: Option<String>,

    /// With --from-environment: write the verdict to this file, too, as short as the termination message of a container must be.
    #[arg(long, value_name = "FILE", requires = "from_environment", conflicts_with = "files")]
    termination_message: Option<PathBuf>,
}

/// What a server has: its variables, and the authorities that it trusts.
struct ServerSettings {
    origin: String,
    found: FoundEnvironment,
    /// The resource that the values are of, if a pod of the operator checks them.
    resource: Option<Value>,
    authorities: ServerAuthorities,
    proxies: ProxySettings,
}

impl EnvironmentArgs {
    /// Whether the settings of a server are checked.
    pub(super) fn is_asked(&self) -> bool {
        self.from_environment
    }

    fn read(&self) -> anyhow::Result<ServerSettings> {
        let (origin, variables) = match &self.env_file {
            Some(file) => (file.display().to_string(), variables::of_file(file)?),
            None => ("the environment of this process".to_owned(), variables::of_process()),
        };
        let text = |name: &str| {
            let value = variables.get(name).and_then(|variable| variable.value.as_ref());
            value.map(Sensitive::expose).unwrap_or_default().to_owned()
        };
        let root = self.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        fs::read_dir(&root)
            .with_context(|| format!("cannot read the directory {} (--root)", root.display()))?;
        let settings = RootSettings { file: text("SSL_CERT_FILE"), directories: text("SSL_CERT_DIR"), root };
        let authorities = ServerAuthorities::read(&settings, self.authorities.as_deref())?;
        let texts = variables.iter().filter_map(|(name, variable)| {
            Some((name.clone(), variable.value.as_ref()?.expose().to_owned()))
        });
        let proxies = ProxySettings::from_environment(texts);
        let resource = Some(text(RESOURCE_VARIABLE)).filter(|text| !text.is_empty());
        let resource = resource.map(|text| serde_json::from_str(&text)).transpose();
        let resource = resource.with_context(|| format!("{RESOURCE_VARIABLE} is no resource"))?;
        let mut found = FoundEnvironment::of(variables, None, self.host.clone());
        found.token_issuer.clone_from(&self.jwt_issuer);
        Ok(ServerSettings { origin, found, resource, authorities, proxies })
    }
}

/// Checks the settings of every kind, hands out what was found, and leaves the termination message.
pub(super) async fn look(
    arguments: &EnvironmentArgs,
    place: (EgressPolicy, &ProxyArgs),
    mut tell: impl FnMut(ResourceFindings),
) -> anyhow::Result<CommandVerdict> {
    let mut verdict = ProbeVerdict::default();
    let looked = look_at_kinds(arguments, place, |report| {
        let ResourceFindings { title, checks, .. } = &report;
        verdict.kinds.push(KindVerdict::new(&title.kind, checks));
        tell(report);
    });
    let looked = looked.await;
    verdict.obstacle = looked.as_ref().err().map(|error| format!("{error:#}"));
    if let Some(file) = &arguments.termination_message {
        fs::write(file, verdict.to_message()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    looked
}

async fn look_at_kinds(
    arguments: &EnvironmentArgs,
    (egress, proxies): (EgressPolicy, &ProxyArgs),
    mut tell: impl FnMut(ResourceFindings),
) -> anyhow::Result<CommandVerdict> {
    let server = arguments.read()?;
    let mut proxies = proxies.vouched_for(server.proxies.clone())?;
    // For the server, what was added to its image is a part of its system's authorities.
    let added = server.authorities.added.as_deref();
    proxies.authorities = proxies.authorities.or_else(|| added.and_then(CaBundle::certificates_of));
    let network = SharedNetwork::new(egress).trusting(server.authorities.system.clone()).behind(proxies);
    let network = Arc::new(network).seen_from_here();
    let directory =
        examine::<LdapConfig>(&server, server.authorities.for_directory.as_deref(), &network).await;
    let provider = examine::<OidcProvider>(&server, added, &network).await;
    let issuer = examine::<JwtIssuer>(&server, added, &network).await;
    let kinds: Vec<_> = [("LdapConfig", directory), ("OidcProvider", provider), ("JwtIssuer", issuer)]
        .into_iter()
        .filter_map(|(kind, findings)| Some((kind, findings?)))
        .collect();
    if kinds.is_empty() {
        return Err(nothing_to_check(&server));
    }
    let mut general = vec![server.authorities.finding()];
    general.extend(remarks_on_server(&server.found));
    general.extend(server.proxies.remarks().iter().map(|remark| remark_on_proxies(remark)));
    let mut worst = CommandVerdict::Passed;
    for (kind, findings) in [("Environment", general)].into_iter().chain(kinds) {
        let title = Title { kind: kind.to_owned(), namespace: String::new(), name: String::new() };
        let checked = CheckedResource::Checked(findings);
        let verdict = checked.verdict();
        worst = worst.worse(verdict);
        tell(ResourceFindings::new(title, &server.origin, verdict, checked));
    }
    Ok(worst)
}

/// What was found of one kind; `None` if the server has no settings of it.
async fn examine<K: Recoverable>(
    server: &ServerSettings,
    added: Option<&str>,
    network: &Network,
) -> Option<Vec<Finding>> {
    let mut found = server.found.clone();
    let mut present = None;
    if let Some(resource) = &server.resource {
        if resource.get("kind").and_then(Value::as_str) != Some(&*K::kind(&())) {
            return None;
        }
        let resource = K::deserialize(resource).ok()?;
        resource.add_unsaid(&mut found);
        present = Some(resource);
    }
    let system = &server.authorities.system;
    let settings: CheckableSettings<K> = checkable_of(&found, added, system, present.as_ref())?;
    let mut findings = Vec::new();
    if let Some((planned, limit)) = &settings.plan {
        let context =
            CheckContext { repetition: Repetition::Never, ..CheckContext::without_cluster(network) };
        findings = CheckRun::run(planned, context, *limit).await.finish().findings.list;
    }
    Some(settings.report(findings))
}

/// Nothing was checked: what to do about it.
fn nothing_to_check(server: &ServerSettings) -> anyhow::Error {
    let unread = remarks_on_variables(&server.found);
    let unread = if unread.is_empty() { String::new() } else { format!(" {}", unread.join(" ")) };
    anyhow!(
        "no sign-in variables were found in {}; expected such as LOCAL_LDAP_ADDRESS, OIDC_ISSUER or FEDERATED_AUTH_AUDIENCES, under any of their names.{unread} Run this in a copy of W&B Server's pod (kubectl debug --copy-to), or name a file with its variables with --env-file",
        server.origin
    )
}
