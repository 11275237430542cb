//! The integration tests: one binary, real servers, everything on loopback.

mod engine;
mod ldap;
mod oidc;
mod readme;
mod world;
