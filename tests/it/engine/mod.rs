//! The whole operator, as a process with no more rights than it needs, on a real API server.

mod checking;
mod confined;
mod crashes;
mod credentials;
mod ending_namespaces;
mod fair_shares;
mod fleet;
mod kubectl;
mod leadership;
mod lists;
mod memory;
mod metrics;
mod outages;
mod policies;
mod publishing;
mod refusals;
mod request_counts;
mod requests;
mod restarts;
mod secrecy;
mod shared_answers;
mod starting;
mod status_times;
mod statuses;
mod stopping;
pub mod undecodable;
