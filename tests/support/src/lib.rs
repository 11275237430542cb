//! Real components and hostile servers for the tests of wandb-auth-operator.
//!
//! In reading order: [`tools`] builds the pinned components once a machine and [`process`] runs
//! them so that none outlives its test. [`ControlPlane`] is a real Kubernetes API, [`Slapd`] a real
//! directory and [`Directory389`] another with other limits, [`OpenIdProvider`] a certified provider, each on
//! loopback ports chosen at random.
//! [`WandbServer`] stands for the one component that cannot be had, and [`WandbClient`] is the real
//! client that it is checked with.
//! [`hostile`] has the servers that a real component never is, and [`tokens`] the tokens that a real
//! issuer never signs. [`Workspace`] is a namespace of one's own on a Kubernetes API, with an operator
//! process that watches it; in it [`pods`] play what the kubelet would do with the pods,
//! whose container can be a real process, the [`stand_in_server`]. [`WandbOperator`] stands for the
//! vendor's operator, which makes workloads of its own resource ([`definitions`]). [`Helm`] installs the chart,
//! and [`GitOps`] has the libraries with which Helm, Flux and Argo CD judge and apply objects. [`GoOpinion`] has those
//! with which W&B Server, a Go program, reads certificates, documents and tokens, and kubectl manifests. A [`fleet`] is
//! many resources of all kinds at once, and the story of what they go through. A [`NameServer`] answers for names of a
//! cluster. A [`ForwardProxy`] stands between clients and servers that only it can name. An [`OciRegistry`] keeps images and charts. A [`Node`] runs real pods, in a machine of its own. A [`Browser`] shows pages as a person sees them.
//!
//! Everything blocks except [`ControlPlane::start`], [`ControlPlane::shared`], [`Node::start`] and the [`Workspace`],
//! and nothing that is shared is tied to an async runtime, since each test has its own.

mod background;
mod ber;
pub mod browser;
pub mod certificate_draft;
mod certificates;
mod control_plane;
pub mod definitions;
mod directory_389;
pub mod fleet;
mod forward_proxy;
pub mod gitops;
pub mod helm;
pub mod hostile;
mod http_client;
mod name_server;
mod network;
pub mod node;
mod openid_provider;
mod opinion;
pub mod pods;
pub mod process;
pub mod progress;
mod question;
pub mod registry;
mod run_directory;
mod skewed_clock;
mod slapd;
pub mod stand_in_server;
pub mod tokens;
pub mod tools;
mod wandb_client;
mod wandb_operator;
pub mod wandb_server;
mod workspace;

pub use browser::Browser;
pub use certificates::{Certificate, CertificateAuthority, Leaf};
pub use control_plane::{
    API_AUDIENCE, ApiProxy, AuditEvent, ControlPlane, Fault, Mutation, REFUSED, Refusal, User,
};
pub use directory_389::{Directory389, Directory389Builder};
pub use forward_proxy::{ForwardProxy, ForwardProxyBuilder, Manner};
pub use gitops::GitOps;
pub use helm::{Helm, Installation};
pub use name_server::NameServer;
pub use network::free_port;
pub use node::Node;
pub use openid_provider::{OpenIdClient, OpenIdProvider, OpenIdProviderBuilder};
pub use opinion::{ChainCase, DiscoveryCase, GoOpinion, GoVerdict, ManifestCase, ProxyCase, TokenCase};
pub use pods::PodPlayer;
pub use process::{ChildProcess, KillSwitch, LogCapture, wait_until};
pub use registry::OciRegistry;
pub use skewed_clock::SkewedClock;
pub use slapd::{Slapd, SlapdBuilder};
pub use stand_in_server::StandInServer;
pub use wandb_client::{WandbAction, WandbClient};
pub use wandb_operator::{WandbChart, WandbOperator};
pub use wandb_server::{WandbServer, WandbServerBuilder};
pub use workspace::{Operator, Table, Workspace, condition};
