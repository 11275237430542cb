//! Who may speak to the control plane: certificates, tokens and kubeconfigs.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::KeyPair;
use serde_json::json;

use crate::certificates::{CertificateAuthority, Leaf};
use crate::run_directory::RunDirectory;

/// A user of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// `admin` in the group `system:masters`, who may do everything.
    Admin,
    /// `operator`, who has no right but those that a test binds to it.
    Operator,
}

/// The files that the components and the tests identify themselves with.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) authority: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
    pub(super) service_account_private_key: PathBuf,
    pub(super) token_file: PathBuf,
    pub(super) controller_manager_kubeconfig: PathBuf,
    admin: Account,
    operator: Account,
    authority_pem: String,
}

#[derive(Debug)]
struct Account {
    token: String,
    kubeconfig: PathBuf,
}

impl Credentials {
    pub(super) fn create(directory: &RunDirectory, address: SocketAddr) -> Result<Self> {
        let server = CertificateAuthority::new("test control plane")?.issue(&leaf(address))?;
        let authority = directory.write("authority.pem", &server.authority_pem)?;
        let account = |user: &str| -> Result<Account> {
            let token = random_token();
            let kubeconfig = kubeconfig(&authority, address, user, &token);
            let kubeconfig = directory.write(&format!("{user}.kubeconfig"), &kubeconfig)?;
            Ok(Account { token, kubeconfig })
        };
        let admin = account("admin")?;
        let operator = account("operator")?;
        let controller_manager = account("controller-manager")?;
        let token_file = format!(
            "{},admin,admin,system:masters\n\
             {},operator,operator\n\
             {},system:kube-controller-manager,controller-manager,system:masters\n",
            admin.token, operator.token, controller_manager.token
        );
        let service_account_key = KeyPair::generate()?;
        Ok(Self {
            server_certificate: directory.write("server.pem", &server.certificate_pem)?,
            server_key: directory.write("server.key", &server.key_pem)?,
            service_account_public_key: directory
                .write("service-account.pem", &service_account_key.public_key_pem())?,
            service_account_private_key: directory
                .write("service-account.key", &service_account_key.serialize_pem())?,
            token_file: directory.write("tokens.csv", &token_file)?,
            controller_manager_kubeconfig: controller_manager.kubeconfig,
            authority_pem: server.authority_pem,
            authority,
            admin,
            operator,
        })
    }

    pub(super) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(super) fn kubeconfig(&self, user: User) -> &Path {
        &self.account(user).kubeconfig
    }

    pub(super) fn token(&self, user: User) -> &str {
        &self.account(user).token
    }

    fn account(&self, user: User) -> &Account {
        match user {
            User::Admin => &self.admin,
            User::Operator => &self.operator,
        }
    }
}

/// What pods call the API server beside its own address.
const CLUSTER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLUSTER_NAMES: [&str; 2] = ["kubernetes.default", "kubernetes.default.svc"];

fn leaf(address: SocketAddr) -> Leaf {
    let mut leaf = Leaf::loopback();
    leaf.ip_addresses.extend([address.ip(), CLUSTER_IP]);
    leaf.dns_names.extend(CLUSTER_NAMES.map(str::to_owned));
    leaf
}

/// JSON is YAML too.
fn kubeconfig(authority: &Path, address: SocketAddr, user: &str, token: &str) -> String {
    let name = "test";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority": authority,
        } }],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "current-context": name,
    })
    .to_string()
}

/// Unlike any other token; nobody else can reach the loopback port of a test.
fn random_token() -> String {
    let number = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", number(), number())
}
