//! wandb-auth-operator
pub mod api;
pub mod problem;
pub mod sensitive;
