//! The integration tests: one binary, real servers, everything on loopback.

mod ldap;
mod oidc;
