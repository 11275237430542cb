//! The harness's own servers as pods: the directory, the OpenID Provider, W&B Server's API and W&B Server.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::machine_pod::{MachinePod, service};
use crate::tools;
use crate::tools::cache;
use crate::{Certificate, CertificateAuthority, Leaf};

/// The namespace of the servers.
pub const NAMESPACE: &str = "identity";
/// Where a server finds its certificate.
pub const CERTIFICATE_DIRECTORY: &str = "/certificate";
/// The password of the directory's service account.
pub const SERVICE_PASSWORD: &str = "service-password";
/// The client of the OpenID Provider.
pub const CLIENT_ID: &str = "wandb";
/// Its secret.
pub const CLIENT_SECRET: &str = "client-secret";
/// Where the provider sends people back to.
pub const REDIRECT_URI: &str = "https://wandb.example.com/oidc/callback";
/// The audience of the provider's tokens.
pub const AUDIENCE: &str = "wandb";
/// The service accounts at W&B Server, each with the key that a person copied from there; they are the same
/// after a restart.
pub const ACCOUNTS: [(&str, &str); 2] = [
    ("ci", "11aa22bb33cc44dd55ee66ff77aa88bb99cc00dd"),
    ("robot", "99ff88ee77dd66cc55bb44aa33ff22ee11dd00cc"),
];
/// Their team.
pub const TEAM: &str = "research";

/// A server that runs in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// slapd.
    Directory,
    /// The OpenID Provider.
    Provider,
    /// The double of W&B Server's API.
    Wandb,
}

impl Service {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Directory, Self::Provider, Self::Wandb];

    /// The name of its Deployment and Service.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Provider => "provider",
            Self::Wandb => "wandb",
        }
    }

    /// The name under which pods of the cluster reach it.
    pub fn host(self) -> String {
        format!("{}.{NAMESPACE}.svc", self.name())
    }

    fn port(self) -> u16 {
        match self {
            Self::Directory => 636,
            Self::Provider | Self::Wandb => 443,
        }
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|service| service.name() == name);
        found.with_context(|| format!("there is no server {name}"))
    }
}

/// The servers, and the certificate of the authority that clients are to trust.
pub struct Servers {
    /// What to apply: the namespace, and in it a Deployment, a Service and a Secret each.
    pub manifest: Value,
    /// The authority of their certificates, in PEM.
    pub authority: String,
}

/// Every server of [`Service`].
pub fn servers() -> Result<Servers> {
    let authority = CertificateAuthority::new("the company")?;
    let mut items = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})];
    for service in Service::ALL {
        let certificate = authority.issue(&Leaf::loopback().only_for(&service.host()))?;
        items.extend(server(service, &certificate)?);
    }
    Ok(Servers {
        manifest: json!({"apiVersion": "v1", "kind": "List", "items": items}),
        authority: authority.certificate_pem().to_owned(),
    })
}

fn server(server: Service, certificate: &Certificate) -> Result<[Value; 3]> {
    let (name, secret) = (server.name(), format!("{}-tls", server.name()));
    let program = program("wandb-service-in-pod")?;
    let command = [program.as_str(), name, &server.host()];
    let probe = json!({"tcpSocket": {"port": server.port()}});
    let cache = cache::root()?;
    let mut pod = MachinePod::new(NAMESPACE, name, &command, probe)
        .directory(parent(&program)?)
        // The servers' programs, and the directories that they run in.
        .directory(&cache)
        .variable("WANDB_AUTH_TOOLS", &cache.display().to_string())
        .variable("PATH", "/usr/bin:/usr/sbin")
        .secret(&secret, CERTIFICATE_DIRECTORY);
    match server {
        Service::Directory => pod = pod.directory(&tools::slapd()?.schemas),
        Service::Provider => {
            let node = tools::openid_provider()?.node;
            let directory = node.parent().context("node is nowhere")?;
            pod = pod.directory(directory).variable("PATH", &format!("{}:/usr/bin", directory.display()));
        }
        Service::Wandb => {}
    }
    let data = json!({
        "tls.crt": certificate.certificate_pem,
        "tls.key": certificate.key_pem,
        "ca.crt": certificate.authority_pem,
    });
    let certificate = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": NAMESPACE},
        "type": "kubernetes.io/tls", "stringData": data,
    });
    Ok([certificate, pod.deployment(), service(NAMESPACE, name, server.port())])
}

/// The port of [`wandb`].
pub const WANDB_PORT: u16 = 8080;

/// W&B Server itself, as far as people log in, not yet told of any directory.
pub fn wandb(namespace: &str, name: &str) -> Result<MachinePod> {
    let program = program("wandb-stand-in-server")?;
    wandb_command(namespace, name, &[&program, "/", &format!("0.0.0.0:{WANDB_PORT}")])
}

/// The same, but it ends at once where this variable is set.
pub fn wandb_that_fails_with(namespace: &str, name: &str, variable: &str) -> Result<MachinePod> {
    let program = program("wandb-stand-in-server")?;
    let script = format!(
        r#"[ -z "${{{variable}:-}}" ] || {{ echo "{variable} is not for me" >&2; exit 3; }}; exec "$@""#
    );
    let address = format!("0.0.0.0:{WANDB_PORT}");
    wandb_command(namespace, name, &["sh", "-c", &script, "sh", &program, "/", &address])
}

fn wandb_command(namespace: &str, name: &str, command: &[&str]) -> Result<MachinePod> {
    let program = program("wandb-stand-in-server")?;
    let probe = json!({"tcpSocket": {"port": WANDB_PORT}});
    Ok(MachinePod::new(namespace, name, command, probe).directory(parent(&program)?))
}

/// A Job that logs in with the real client, and writes what came of it to its log. Nothing says where and as whom: that is
/// left to what its pods get by these labels.
pub fn client_job(namespace: &str, name: &str, labels: &Value) -> Result<Value> {
    let installation = tools::wandb_client()?;
    // The interpreter of a virtual environment is a link to the one that the environment was made with.
    let interpreter = installation.python.canonicalize().context("Python is nowhere")?;
    let home = interpreter.parent().and_then(Path::parent).context("Python is nowhere")?;
    let script =
        r#""$1" "$2" login /tmp/answer && cat /tmp/answer && grep -q '"loggedIn": true' /tmp/answer"#;
    let (python, client) = (installation.python.display(), installation.script.display());
    let command = ["sh", "-c", script, "sh", &python.to_string(), &client.to_string()];
    let pod = MachinePod::new(namespace, name, &command, json!({}))
        .directory(home)
        .directory(parent(&client.to_string())?)
        .variable("PATH", "/usr/bin")
        .variable("WANDB_ERROR_REPORTING", "false");
    Ok(pod.job(labels))
}

/// A program of this very package.
fn program(name: &str) -> Result<String> {
    let sibling = tools::stand_in_server()?;
    let program = sibling.with_file_name(name);
    if !program.is_file() {
        bail!("{} was not built", program.display());
    }
    Ok(program.display().to_string())
}

fn parent(program: &str) -> Result<&Path> {
    Path::new(program).parent().context("a program is in no directory")
}
