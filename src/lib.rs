//! wandb-auth-operator
pub mod api;
pub mod engine;
pub mod net;
pub mod oidc;
pub mod problem;
pub mod sensitive;
