//! The integration tests: one binary, real servers, everything on loopback.

mod definitions;
mod engine;
mod ldap;
mod oidc;
mod validation;
mod world;
