//! `check`: the controller's own plan and probes, for a person without any cluster.

use std::{io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::Serialize;

use super::{
    Verdict,
    examine::{Examined, Surroundings, Title},
    manifests::Manifests,
    references::References,
};
use crate::{
    api::{CheckResult, CheckStatus, Reason},
    net::{EgressPolicy, Network},
};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// File or directory with the resources and what they refer to, or - for standard input; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,

    /// Read referenced Secrets and ConfigMaps from the current context's cluster.
    #[arg(long)]
    from_cluster: bool,

    /// Refuse the addresses that the controller refuses.
    #[arg(long)]
    enforce_egress: bool,

    /// With --enforce-egress: network that is allowed all the same; may be repeated.
    #[arg(long, value_name = "CIDR", requires = "enforce_egress")]
    allow_egress: Vec<IpNet>,

    /// How findings are printed.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Tree)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Tree,
    Json,
}

/// One resource's findings, as `-o json` prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(flatten)]
    title: Title,
    origin: String,
    verdict: &'static str,
    /// What kept the checks from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<ObstacleReport>,
    /// As in `status.checks`.
    checks: Vec<CheckStatus>,
    /// In the order of `checks`.
    durations_milliseconds: Vec<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObstacleReport {
    condition: &'static str,
    reason: &'static str,
    message: String,
}

/// Checks every resource and prints what was found; the worst one decides how it ended.
pub(super) async fn check(arguments: &CheckArguments) -> anyhow::Result<Verdict> {
    let (references, namespace) = if arguments.from_cluster {
        References::from_cluster().await?
    } else {
        (References::Files, "default".to_owned())
    };
    let manifests = Manifests::read(&arguments.files, &namespace)?;
    let network = Network::new(arguments.egress());
    let mut reports = Vec::new();
    let mut worst = Verdict::Passed;
    for resource in &manifests.resources {
        let objects = references.of(&**resource, &manifests).await?;
        let surroundings =
            Surroundings { objects: &objects, resources: &manifests.resources, client: references.client() };
        let examined = resource.examine(surroundings, &network).await;
        let verdict = examined.verdict();
        worst = match (worst, verdict) {
            (Verdict::NotUsable, _) | (_, Verdict::NotUsable) => Verdict::NotUsable,
            (Verdict::Failed, _) | (_, Verdict::Failed) => Verdict::Failed,
            (Verdict::Passed, Verdict::Passed) => Verdict::Passed,
        };
        let advice = match &examined {
            Examined::Obstructed(obstacle) => references.advice(obstacle),
            Examined::Checked(_) => None,
        };
        let report = Report::new(resource.title(), resource.origin(), verdict, examined);
        match arguments.output {
            Output::Tree => print!("{}", tree(&report, advice)),
            Output::Json => reports.push(report),
        }
    }
    if arguments.output == Output::Json {
        let mut output = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut output, &reports)?;
        writeln!(output)?;
    }
    Ok(worst)
}

impl CheckArguments {
    /// A person's own rights reach as far as that person's network; the controller's reach further.
    fn egress(&self) -> EgressPolicy {
        if self.enforce_egress {
            EgressPolicy::Enforced { allowed: self.allow_egress.clone(), api_server: Vec::new() }
        } else {
            EgressPolicy::Unrestricted
        }
    }
}

impl Report {
    fn new(title: Title, origin: &str, verdict: Verdict, examined: Examined) -> Self {
        let verdict = match verdict {
            Verdict::Passed => "Passed",
            Verdict::Failed => "Failed",
            Verdict::NotUsable => "NotUsable",
        };
        let origin = origin.to_owned();
        match examined {
            Examined::Obstructed(obstacle) => Self {
                title,
                origin,
                verdict,
                obstacle: Some(ObstacleReport {
                    condition: obstacle.condition.as_str(),
                    reason: obstacle.problem.reason.as_str(),
                    message: obstacle.problem.message,
                }),
                checks: Vec::new(),
                durations_milliseconds: Vec::new(),
            },
            Examined::Checked(findings) => Self {
                title,
                origin,
                verdict,
                obstacle: None,
                checks: findings.iter().map(crate::engine::Finding::status).collect(),
                durations_milliseconds: findings
                    .iter()
                    .map(|finding| (finding.duration.as_secs_f64() * 10_000.0).round() / 10.0)
                    .collect(),
            },
        }
    }
}

/// The findings of one resource, a line a check.
fn tree(report: &Report, advice: Option<&str>) -> String {
    let Title { kind, namespace, name } = &report.title;
    let mut lines = vec![format!("{kind} {namespace}/{name}  ({})", report.origin)];
    if let Some(obstacle) = &report.obstacle {
        lines.push(format!("└─ ✗ {}: {}", obstacle.condition, obstacle.reason));
        lines.push(format!("     {}", obstacle.message));
        lines.extend(advice.map(|advice| format!("     {advice}")));
    }
    let last = report.checks.len().saturating_sub(1);
    for (index, (check, milliseconds)) in report.checks.iter().zip(&report.durations_milliseconds).enumerate()
    {
        let (branch, indent) = if index == last { ("└─", "     ") } else { ("├─", "│    ") };
        lines.push(format!("{branch} {} {}{}", mark(check.result), check.name, aside(check, *milliseconds)));
        lines.push(format!("{indent}{}", check.message));
    }
    lines.join("\n") + "\n"
}

fn mark(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Passed => "✓",
        CheckResult::Warning => "!",
        CheckResult::Failed => "✗",
        CheckResult::Skipped => "-",
    }
}

/// The reason where it says more than the mark, and the duration where there was one.
fn aside(check: &CheckStatus, milliseconds: f64) -> String {
    let reason = if check.reason == Reason::Passed.as_str() || check.result == CheckResult::Skipped {
        String::new()
    } else {
        format!(": {}", check.reason)
    };
    let duration = if milliseconds > 0.0 { format!("  ({milliseconds:.1} ms)") } else { String::new() };
    reason + &duration
}
