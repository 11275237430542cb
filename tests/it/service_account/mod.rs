//! `ServiceAccount` against real issuers, a real Kubernetes API and a double of W&B Server.

mod federated;
