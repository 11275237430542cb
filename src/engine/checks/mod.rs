//! The checks of one resource: how they are run, what they share, what they found, and when they are due again.

pub(super) mod connection;
pub(super) mod context;
pub(super) mod first_check;
pub(super) mod history;
pub(super) mod refused_credentials;
pub(super) mod report;
pub(super) mod run;
