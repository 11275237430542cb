//! The whole operator, as a process with no more rights than it needs, on a real API server.

mod checking;
mod crashes;
mod credentials;
mod ending_namespaces;
mod leadership;
mod outages;
mod policies;
mod publishing;
mod quiet;
mod refusals;
mod secrecy;
mod starting;
mod statuses;
mod stopping;
pub mod strangers;
