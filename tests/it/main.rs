//! The integration tests: one binary, real servers, everything on loopback.

mod chart;
mod command_line;
mod definitions;
mod delivery;
mod documentation;
mod engine;
mod gitops;
mod house;
mod image;
mod instance;
mod jwt;
mod ldap;
mod login;
mod oidc;
mod own_network;
mod proxies;
mod publishing;
mod release;
mod samples;
pub mod server_pods;
pub mod service_account;
mod trust;
mod validation;
mod workloads;
mod world;
