//! Sets up how logs are written.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For reading in a terminal.
    Text,
}

/// What is logged unless `RUST_LOG` says otherwise. The kube crates are silenced because they log each failed
/// request as an error, while the operator reports once what is wrong and what to do.
const DEFAULT_FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Starts logging to standard error. A second call in the same process changes nothing.
pub fn start(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = filter(wanted.as_deref());
    // Escape codes are for people's eyes: not for files, and not where somebody asked for none (no-color.org).
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let filtered = registry().with(filter);
    let _ = match format {
        LogFormat::Json => filtered.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => filtered.with(lines.with_target(false)).try_init(),
    };
}

/// Levels by the part of the program. What cannot be read counts as nothing said.
fn filter(wanted: Option<&str>) -> Targets {
    let read = |text: &str| text.parse::<Targets>().ok();
    wanted.and_then(read).or_else(|| read(DEFAULT_FILTER)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_by_target() {
        for (wanted, target, level, expected) in [
            (None, "wandb_auth_operator::engine", Level::INFO, true),
            (None, "wandb_auth_operator::engine", Level::DEBUG, false),
            (None, "kube_client::client", Level::ERROR, false),
            (Some("debug"), "kube_client::client", Level::DEBUG, true),
            (Some("warn,wandb_auth_operator=debug"), "wandb_auth_operator::net", Level::DEBUG, true),
            (Some("warn,wandb_auth_operator=debug"), "hyper", Level::INFO, false),
            (Some("trace"), "hyper", Level::TRACE, true),
            (Some("no=such=thing"), "wandb_auth_operator", Level::INFO, true),
        ] {
            assert_eq!(filter(wanted).would_enable(target, &level), expected, "{wanted:?} {target} {level}");
        }
    }
}
