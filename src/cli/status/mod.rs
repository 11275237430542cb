//! `status`: one tree of everything in a namespace, for a person who wants to know whether all is well.
//!
//! `collect` reads a cluster into `observed`; everything after that is pure: `report` makes of it what programs read,
//! and `draw` and `one` draw that for people.

mod collect;
mod contradiction;
mod draw;
mod moments;
mod observed;
mod one;
mod pods;
mod report;
mod standing;
mod watch;
mod web;

#[cfg(test)]
mod tests;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::Client;

pub(super) use self::{
    collect::{EventScope, StatusScope, collect},
    draw::overview,
    observed::{ObservedSpec, observed_spec},
    report::StatusReport,
};
use self::{observed::ObservedCluster, one::details, web::PageArgs};
use super::{
    CommandVerdict, cluster,
    kinds::NamedResource,
    terminal::{self, Glyphs, width},
    tree::{Detail, Layout},
    yaml,
};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Show everything of this resource, with its last events: ldap/NAME, oidc/NAME, jwt/NAME or wsa/NAME.
    #[arg(value_name = "KIND/NAME", conflicts_with = "all_namespaces")]
    resource: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Show the resources of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// Show it again whenever something changes, until interrupted; in a pipe, one after the other.
    #[arg(short = 'w', long)]
    watch: bool,

    #[command(flatten)]
    page: PageArgs,

    /// How it is printed.
    #[arg(short = 'o', long, value_enum, default_value_t = StatusOutput::Tree)]
    output: StatusOutput,

    /// Leave out what is Ready and has no warning.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Which cluster and which namespace a command is about.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Namespace of the resources [default: the context's].
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Context of the kubeconfig [default: the current one].
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StatusOutput {
    Tree,
    Json,
    Yaml,
}

impl PlaceArgs {
    /// The namespace, where one is named.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The context, where one is named.
    pub(super) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// A client, and the namespace.
    pub(super) async fn connect(&self) -> anyhow::Result<(Client, String)> {
        let config = cluster::of_context(self.context.as_deref()).await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((cluster::client(config)?, namespace))
    }

    /// The arguments that lead another command to the same namespace of the same cluster.
    pub(super) fn arguments(&self, namespace: &str) -> String {
        let context = self.context.as_deref().map(|context| format!(" --context {}", in_shell(context)));
        format!("-n {namespace}{}", context.unwrap_or_default())
    }
}

/// The word as a shell takes it.
fn in_shell(word: &str) -> String {
    let is_plain = |each: char| each.is_ascii_alphanumeric() || "-_./:@%+=,".contains(each);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Prints the status; with `--watch` again and again.
pub(super) async fn status(arguments: &StatusArguments) -> anyhow::Result<CommandVerdict> {
    let named = arguments.resource.as_deref().map(NamedResource::parse).transpose()?;
    let (client, namespace) = arguments.place.connect().await?;
    if arguments.page.is_wanted() {
        let namespace = (!arguments.all_namespaces).then_some(namespace);
        return web::serve_page(&client, namespace, &arguments.page).await;
    }
    let scope = match &named {
        Some(named) => StatusScope::of(named, &namespace),
        None => StatusScope {
            namespace: (!arguments.all_namespaces).then_some(namespace),
            events: EventScope::Nothing,
        },
    };
    let view = StatusView { named, output: arguments.output, quiet: arguments.quiet };
    if arguments.watch {
        return watch::watch(&client, &scope, &view).await;
    }
    let observed = collect(&client, &scope).await;
    let report = view.report(&observed, &scope)?;
    let text = view.text(&report, observed.now, terminal_layout())?;
    terminal::print(&text)?;
    Ok(report.verdict())
}

/// How a person wants to see it.
struct StatusView {
    named: Option<NamedResource>,
    output: StatusOutput,
    quiet: bool,
}

impl StatusView {
    /// What was observed, as far as the person wants to see it. Nothing to see is an error.
    fn report(&self, observed: &ObservedCluster, scope: &StatusScope) -> anyhow::Result<StatusReport> {
        let report = StatusReport::of(observed);
        if report.is_empty() && report.verdict_is_doubtful() {
            bail!(draw::unread(&report.unread).join(" "));
        }
        let place = scope.namespace.as_ref();
        let place =
            place.map_or_else(|| "the cluster".to_owned(), |namespace| format!("the namespace {namespace}"));
        if let Some(named) = &self.named {
            let report = report.only(&named.kind.resource.kind, &named.name);
            if report.is_empty() && report.verdict_is_doubtful() {
                bail!(draw::unread(&report.unread).join(" "));
            }
            return if report.is_empty() {
                Err(anyhow!(
                    "there is no {} \"{}\" in {place}; name another with -n",
                    named.kind.resource.kind,
                    named.name
                ))
            } else {
                Ok(report)
            };
        }
        if report.is_empty() {
            bail!(
                "there is no LdapConfig, OidcProvider, JwtIssuer or ServiceAccount of auth.wandb.com in {place}; name another with -n, or call with -A"
            );
        }
        Ok(report)
    }

    /// What is printed of it.
    fn text(&self, report: &StatusReport, now: Timestamp, layout: Layout) -> anyhow::Result<String> {
        let quiet = self.quiet.then(|| report.clone().without_ready());
        let shown = quiet.as_ref().unwrap_or(report);
        Ok(match self.output {
            StatusOutput::Tree if self.named.is_some() => details(shown, report, now, layout),
            StatusOutput::Tree => overview(shown, report, now, layout),
            StatusOutput::Json => serde_json::to_string_pretty(shown)? + "\n",
            StatusOutput::Yaml => yaml::write(shown)?,
        })
    }
}

/// The layout for standard output.
pub(super) fn terminal_layout() -> Layout {
    Layout { width: width(&std::io::stdout()), detail: Detail::Complaints, glyphs: Glyphs::of_the_locale() }
}
