//! Delivery to targets, on a real API server.

mod workload;
