//! wandb-auth-operator
pub mod api;
pub mod cli;
pub mod engine;
pub mod error;
pub mod ldap;
pub mod leader;
pub mod metrics;
pub mod net;
pub mod oidc;
pub mod operator;
pub mod problem;
pub mod sensitive;
pub mod server;
pub mod telemetry;
