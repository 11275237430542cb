//! `check`: the controller's own plan and probes, for a person without any cluster.

use std::{io::Write, sync::Arc};

use anstyle::Style;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    CommandVerdict, EnvironmentArgs,
    dyn_resource::{CheckSurroundings, CheckedResource, Title},
    egress::EgressArgs,
    from_environment,
    manifests::Manifests,
    proxies::{ProxyArgs, complain},
    references::References,
    sources::SourceArgs,
    tally::Tally,
    terminal::{BAD, DOUBTFUL, GOOD, Glyphs, styled, width},
    tree::{self, Detail, Layout, is_shown},
    yaml,
};
use crate::{api::CheckStatus, net::SharedNetwork};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(mut_arg("files", |files| files.required(false).required_unless_present("from_environment")))]
pub struct CheckArguments {
    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    environment: EnvironmentArgs,

    #[command(flatten)]
    egress: EgressArgs,

    #[command(flatten)]
    proxies: ProxyArgs,

    /// How findings are printed.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Tree)]
    output: Output,

    /// Print only what did not pass, and the last line.
    #[arg(short = 'q', long)]
    quiet: bool,

    /// End with exit code 1 also where a check warns.
    #[arg(long)]
    fail_on_warning: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Tree,
    Json,
    Yaml,
}

/// One resource's findings, as `-o json` and `-o yaml` print them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceFindings {
    #[serde(flatten)]
    pub(super) title: Title,
    pub(super) origin: String,
    pub(super) verdict: &'static str,
    /// What kept the checks from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) obstacle: Option<ObstacleReport>,
    /// As in `status.checks`.
    pub(super) checks: Vec<CheckStatus>,
    /// In the order of `checks`.
    pub(super) durations_milliseconds: Vec<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObstacleReport {
    pub(super) condition: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Checks every resource and prints what was found; the worst one decides how it ended.
pub(super) async fn check(arguments: &CheckArguments) -> anyhow::Result<CommandVerdict> {
    let mut reports = Vec::new();
    let mut tally = Tally::default();
    let layout = arguments.layout();
    let mut tell = |report: ResourceFindings, advice: Option<String>| match arguments.output {
        Output::Tree => {
            tally.add(&report);
            anstream::print!("{}", tree::draw(&report, advice.as_deref(), layout));
        }
        Output::Json | Output::Yaml => reports.push(report.with(layout.detail)),
    };
    let worst = if arguments.environment.is_asked() {
        let place = (arguments.egress.policy(), &arguments.proxies);
        from_environment::look(&arguments.environment, place, |report| tell(report, None)).await?
    } else {
        let (references, manifests) = arguments.sources.read().await?;
        let proxies = arguments.proxies.proxies()?;
        complain(&proxies, |remark| eprintln!("warning: {remark}"));
        let network = Arc::new(SharedNetwork::new(arguments.egress.policy()).behind(proxies));
        look(&references, &manifests, &network, tell).await?
    };
    let mut output = anstream::stdout().lock();
    match arguments.output {
        Output::Tree => writeln!(output, "{}", styled(style_of(worst), tally))?,
        Output::Json => writeln!(output, "{}", serde_json::to_string_pretty(&reports)?)?,
        Output::Yaml => write!(output, "{}", yaml::write(&reports)?)?,
    }
    Ok(match worst {
        CommandVerdict::PassedWithWarnings if arguments.fail_on_warning => CommandVerdict::Failed,
        worst => worst,
    })
}

fn style_of(verdict: CommandVerdict) -> Style {
    match verdict {
        CommandVerdict::Passed => GOOD,
        CommandVerdict::PassedWithWarnings => DOUBTFUL,
        CommandVerdict::Failed | CommandVerdict::NotUsable => BAD,
    }
}

/// Checks every resource, one after the other, and hands out what was found and what to do about an obstacle.
pub(super) async fn look(
    references: &References,
    manifests: &Manifests,
    network: &Arc<SharedNetwork>,
    mut tell: impl FnMut(ResourceFindings, Option<String>),
) -> anyhow::Result<CommandVerdict> {
    let mut worst = CommandVerdict::Passed;
    for resource in &manifests.resources {
        let objects = references.of(&**resource, manifests).await?;
        let surroundings = CheckSurroundings {
            objects: &objects,
            resources: &manifests.resources,
            cluster: references.cluster(),
        };
        let examined = resource.examine(surroundings, network).await;
        let verdict = examined.verdict();
        worst = worst.worse(verdict);
        let advice = match &examined {
            CheckedResource::Obstructed(obstacle) => references.advice(obstacle, &**resource, manifests),
            CheckedResource::Checked(_) => None,
        };
        tell(ResourceFindings::new(resource.title(), resource.origin(), verdict, examined), advice);
    }
    Ok(worst)
}

impl CheckArguments {
    fn layout(&self) -> Layout {
        let detail = if self.quiet { Detail::Complaints } else { Detail::Everything };
        Layout { width: width(&std::io::stdout()), detail, glyphs: Glyphs::of_the_locale() }
    }
}

impl ResourceFindings {
    /// The findings that people want to see, each with its duration.
    fn with(self, detail: Detail) -> Self {
        let findings = self.checks.into_iter().zip(self.durations_milliseconds);
        let (checks, durations_milliseconds) = findings.filter(|(check, _)| is_shown(check, detail)).unzip();
        Self { checks, durations_milliseconds, ..self }
    }

    pub(super) fn new(
        title: Title,
        origin: &str,
        verdict: CommandVerdict,
        examined: CheckedResource,
    ) -> Self {
        let verdict = verdict.as_str();
        let origin = origin.to_owned();
        match examined {
            CheckedResource::Obstructed(obstacle) => Self {
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
            CheckedResource::Checked(findings) => Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CheckFrom, CheckResult};

    #[test]
    fn programs_are_told_as_little_as_people_if_they_ask_for_it() {
        let findings = |names: &[(&str, CheckResult, f64)]| ResourceFindings {
            title: Title { kind: "LdapConfig".into(), namespace: "default".into(), name: "corp".into() },
            origin: "corp.yaml".to_owned(),
            verdict: "Failed",
            obstacle: None,
            checks: names
                .iter()
                .map(|(name, result, _)| CheckStatus {
                    name: (*name).into(),
                    result: *result,
                    reason: "Passed".into(),
                    message: "".into(),
                    from: CheckFrom::Operator,
                })
                .collect(),
            durations_milliseconds: names.iter().map(|(_, _, milliseconds)| *milliseconds).collect(),
        };
        let all = [
            ("DnsResolves", CheckResult::Passed, 1.0),
            ("TlsVerifies", CheckResult::Warning, 2.0),
            ("Bind", CheckResult::Failed, 3.0),
            ("BaseDnExists", CheckResult::Skipped, 0.0),
        ];
        let quiet = findings(&all).with(Detail::Complaints);
        let names: Vec<_> = quiet.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["TlsVerifies", "Bind"]);
        assert_eq!(quiet.durations_milliseconds, [2.0, 3.0]);
        assert_eq!(findings(&all).with(Detail::Everything).checks.len(), all.len());
    }
}
