//! The whole operator, as a process with no more rights than it needs, on a real API server.

mod checking;
mod confined;
mod crashes;
mod credentials;
mod ending_namespaces;
mod fair_shares;
mod leadership;
mod memory;
mod outages;
mod policies;
mod publishing;
mod refusals;
mod request_counts;
mod requests;
mod restarts;
mod secrecy;
mod starting;
mod statuses;
mod stopping;
pub mod undecodable;
