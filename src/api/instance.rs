//! The W&B Server that programs talk to.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::common;

/// A W&B Server, as programs reach it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.baseURL.startsWith('http://') || self.insecurePlaintext").message("baseURL must be an https:// URL; set insecurePlaintext: true to accept that keys and tokens travel unencrypted")
)]
pub struct InstanceSpec {
    /// The URL that programs use as `WANDB_BASE_URL`, such as `https://wandb.example.com`. The operator asks this server whether the credentials work.
    #[serde(rename = "baseURL")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("baseURL"),
        validation = Rule::new(r"isURL(self) && self.matches(r'^https?://[^/?#@\s\\]+(/[^?#\s\\]*)?$')").message("baseURL must be a URL such as https://wandb.example.com, without a user, a query or a fragment")
    )]
    pub base_url: String,

    /// `true` accepts a URL without TLS, where everybody on the way can read keys and tokens. Default: `false`, an `http://` URL is refused.
    #[serde(default)]
    pub insecure_plaintext: bool,
}
