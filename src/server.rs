//! The HTTP server for probes and Prometheus.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::{Watches, metrics::Metrics};

const NOT_LISTED: &str = "the resources are not listed yet";

/// Whether the process is ready: it has listed its resources, or has seen the Lease; and if not, why.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(NOT_LISTED.to_owned()))))
    }
}

impl Readiness {
    /// From now on the process is ready.
    pub fn set_ready(&self) {
        *self.obstacle() = None;
    }

    /// Says that a process that was never ready waits for its resources to be listed.
    pub fn waits_for_listing(&self) {
        self.waits(NOT_LISTED.to_owned());
    }

    /// Says what a process that was never ready waits for.
    pub fn waits(&self, obstacle: String) {
        if let Some(known) = self.obstacle().as_mut() {
            *known = obstacle;
        }
    }

    fn obstacle(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` until the token is cancelled.
///
/// Readiness never depends on the servers that the operator checks: an outage there must not stop it. Nor does
/// health depend on the API server: a restart of the operator would not bring it back.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    watches: Watches,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route(
            "/readyz",
            get({
                let watches = watches.clone();
                move || std::future::ready(ready(&readiness, &watches))
            }),
        )
        .route("/healthz", get(move || std::future::ready(healthy(&watches))))
        .route("/metrics", get(move || std::future::ready(exposition(&metrics))));
    axum::serve(listener, routes).with_graceful_shutdown(stopping.cancelled_owned()).await
}

/// Opens the address to serve on.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use anyhow::Context;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address}; choose another --metrics-address"))
}

fn ready(readiness: &Readiness, watches: &Watches) -> Response {
    let Some(obstacle) = readiness.obstacle().clone() else { return "ok\n".into_response() };
    let mut lines = watches.obstacles();
    if lines.is_empty() {
        lines.push(obstacle);
    }
    unavailable(&lines.join("\n"))
}

fn healthy(watches: &Watches) -> Response {
    match watches.stalled(Instant::now()) {
        None => "ok\n".into_response(),
        Some(watch) => unavailable(&format!("the watch of {watch} hangs, although the API server answers")),
    }
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

fn exposition(metrics: &Metrics) -> Response {
    metrics.render().map_or_else(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |text| {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        },
    )
}
