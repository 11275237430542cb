//! The checks of one resource. In reading order: `examine` (the step in a run: remembered findings or new ones),
//! `terms` (what that depends on), `context` (what checks may use), `connection` (the checks that every kind shares),
//! `run` (the checks within their time limit), `report` (collects their results), `finding` (one result), `advice`
//! (when a check is made again), `history` (what is remembered of the results), `schedule` (when checks are due
//! again), `first_check` (when they are due after a restart), and `refused_credentials` (refusals that concern several
//! resources).

pub(super) mod advice;
pub(super) mod connection;
pub(super) mod context;
pub(super) mod examine;
pub(super) mod finding;
pub(super) mod first_check;
pub(super) mod history;
pub(super) mod refused_credentials;
pub(super) mod report;
pub(super) mod run;
pub(super) mod schedule;
pub(super) mod terms;
