//! Pods without nodes: a player does in the API what the kubelet would do.
//!
//! In reading order: [`WandbWorkload`] makes the manifests of workloads, whose pods Kubernetes' own
//! controllers make. [`PodPlayer`] moves each pod through the [`Life`] that a script gives it. It resolves
//! what the pod's containers [refer to](ContainerInputs) at every start, as the kubelet does, so that a
//! reference to nothing is seen, whatever the script says.

mod actor;
mod inputs;
mod life;
mod manifests;
mod player;
mod playing;
mod program;
mod record;
mod status;

pub use inputs::{BrokenReference, ContainerInputs};
pub use life::Life;
pub use manifests::WandbWorkload;
pub use player::PodPlayer;
