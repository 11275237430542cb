//! The integration tests: one binary, real servers, everything on loopback.

mod chart;
mod command_line;
mod definitions;
mod delivery;
mod engine;
mod gitops;
mod instance;
mod jwt;
mod ldap;
mod oidc;
mod readme;
mod service_account;
mod target;
mod validation;
mod world;
