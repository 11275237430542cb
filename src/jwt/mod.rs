//! `JwtIssuer`: an issuer whose tokens W&B Server accepts instead of API keys.
//!
//! `token` reads a token without believing it, `policy` says which keys are trusted, and `rules` are
//! the five by which W&B Server accepts a token; `signature` is the first of them.

mod policy;
mod rules;
mod signature;
mod token;

pub use policy::{Misfit, TrustedKeys};
pub use rules::{Accepted, Audiences, Refusal, Rules};
pub use token::Claims;
