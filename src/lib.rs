//! wandb-auth-operator
pub mod api;
pub mod engine;
pub mod net;
pub mod problem;
pub mod sensitive;
