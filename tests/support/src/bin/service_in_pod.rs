//! Runs one of the harness's servers in a pod: `wandb-service-in-pod directory|provider|wandb HOST`.
//!
//! The certificate and its key are where a Secret of type `kubernetes.io/tls` is mounted.

use std::{env, fs, path::Path, thread};

use anyhow::{Context, Result, bail};
use test_support::{
    Certificate, OpenIdClient, OpenIdProvider, Slapd, WandbServer,
    node::services::{
        ACCOUNTS, AUDIENCE, CERTIFICATE_DIRECTORY, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SERVICE_PASSWORD,
        Service, TEAM,
    },
};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [service, host] = arguments.as_slice() else { bail!("usage: wandb-service-in-pod SERVICE HOST") };
    let certificate = certificate(Path::new(CERTIFICATE_DIRECTORY))?;
    match service.parse()? {
        Service::Directory => {
            let _directory = Slapd::builder(SERVICE_PASSWORD).in_pod().certificate(&certificate).start()?;
            wait_for_ever()
        }
        Service::Provider => {
            let _provider = OpenIdProvider::builder()
                .in_pod(host)
                .certificate(&certificate)
                .audience(AUDIENCE)
                .client(OpenIdClient::confidential(CLIENT_ID, CLIENT_SECRET, REDIRECT_URI))
                .start()?;
            wait_for_ever()
        }
        Service::Wandb => {
            let server = WandbServer::builder().in_pod().certificate(&certificate).start()?;
            for (name, key) in ACCOUNTS {
                server.service_account_with(name, TEAM, key)?;
            }
            wait_for_ever()
        }
    }
}

fn wait_for_ever() -> Result<()> {
    loop {
        thread::park();
    }
}

fn certificate(directory: &Path) -> Result<Certificate> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Certificate {
        certificate_pem: read("tls.crt")?,
        key_pem: read("tls.key")?,
        authority_pem: read("ca.crt")?,
    })
}
