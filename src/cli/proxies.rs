//! The proxies of the environment, and who may vouch for them.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::net::{CaBundle, Proxies, ProxySettings};

/// Arguments about proxies.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// File with certificates of authorities (PEM) that vouch for a proxy with TLS, beside the system's.
    #[arg(long, value_name = "FILE", env = "WANDB_AUTH_PROXY_CA_FILE")]
    proxy_ca_file: Option<PathBuf>,
}

impl ProxyArgs {
    /// The proxies of this process. An empty environment variable counts as an absent one.
    pub(super) fn proxies(&self) -> anyhow::Result<Proxies> {
        self.vouched_for(ProxySettings::of_this_process())
    }

    /// The proxies of these settings.
    pub(super) fn vouched_for(&self, settings: ProxySettings) -> anyhow::Result<Proxies> {
        let file = self.proxy_ca_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        let authorities = file
            .map(|file| {
                let shown = file.display();
                let text = std::fs::read(file).with_context(|| format!("--proxy-ca-file {shown}"))?;
                let reading = CaBundle::parse(&text);
                let reading = reading
                    .map_err(|fault| anyhow!("--proxy-ca-file {shown} {}. {}", fault.seen, fault.advice))?;
                anyhow::Ok(reading.bundle)
            })
            .transpose()?;
        Ok(Proxies { settings, authorities })
    }
}

/// Tells a person, or the log, what is wrong with the settings.
pub(super) fn complain(proxies: &Proxies, tell: impl FnMut(&String)) {
    proxies.settings.remarks().iter().for_each(tell);
}
