//! The checks of one resource. In reading order: `context` (what checks may use), `connection` (the checks that
//! every kind shares), `run` (one run within its time limit), `report` (its findings), `history` (what is
//! remembered of them, and when checks are due again), `first_check` (when they are due after a restart), and
//! `refused_credentials` (refusals that concern several resources).

pub(super) mod connection;
pub(super) mod context;
pub(super) mod first_check;
pub(super) mod history;
pub(super) mod refused_credentials;
pub(super) mod report;
pub(super) mod run;
