//! Whom the operator trusts: its verdicts beside Go's, and what becomes of bundles.

mod bundles;
mod chains;
mod client_certificates;
mod private_keys;
mod servers;
mod words;
