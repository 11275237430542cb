//! Delivery to targets, on a real API server.

mod weights_and_biases;
mod workload;
