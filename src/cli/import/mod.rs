//! The command `import`: prints the resources for the settings that a server has already, so that adopting them
//! changes nothing.
//!
//! Standard output is a stream for `kubectl apply -f -`. Everything that is meant for people goes to standard
//! error.

mod comparison;
mod named;
mod output;
mod result;
mod subjects;

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use clap::Args;

use self::{result::Imported, subjects::Gathered};
use super::{
    CommandVerdict,
    check::{ResourceFindings, look},
    proxies::ProxyArgs,
    terminal,
    tree::{self, Detail, Layout},
};
use crate::{
    import::remarks_on_variables,
    net::{EgressPolicy, SharedNetwork},
};

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// What runs the server: deployment/NAME, statefulset/NAME or weightsandbiases/NAME; with -f, the one in the files, or what their chart values are for.
    #[arg(value_name = "KIND/NAME", required_unless_present = "files")]
    target: Option<String>,

    /// File or directory with manifests or with the values of W&B's charts, or - for standard input, instead of the cluster; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,

    /// Namespace of the server [default: the context's, or default with -f].
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// With -f: read the Secrets and ConfigMaps that the files do not have from the current context's cluster.
    #[arg(long, requires = "files")]
    from_cluster: bool,

    /// The container that runs the server, where its pod has several.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// The URL at which people open W&B, if the server's settings do not have it.
    #[arg(long, value_name = "URL")]
    host: Option<String>,

    /// The issuer whose tokens the server accepts; it is registered in W&B's own pages, and in no setting.
    #[arg(long, value_name = "URL")]
    jwt_issuer: Option<String>,

    #[command(flatten)]
    proxies: ProxyArgs,

    /// Print the Secrets that are to be made with their values.
    #[arg(long, conflicts_with = "secrets_out")]
    reveal: bool,

    /// Write the Secrets that are to be made to this new file, which only its owner can read.
    #[arg(long, value_name = "FILE")]
    secrets_out: Option<PathBuf>,
}

/// Prints the resources, notes about them, and the results of their checks.
pub(super) async fn import(arguments: &ImportArguments) -> anyhow::Result<CommandVerdict> {
    let mut gathered = Gathered::read(arguments).await?;
    let mut imports = Vec::new();
    for subject in std::mem::take(&mut gathered.subjects) {
        let subject = gathered.with_layers(subject).await?;
        let objects = gathered.objects(&subject).await?;
        imports.push(Imported::of(subject, &objects, arguments));
    }
    if imports.iter().all(|imported| imported.drafts.is_empty()) {
        let places: Vec<_> = imports.iter().map(|imported| imported.subject.place.as_str()).collect();
        let remarks = imports.iter().flat_map(|imported| remarks_on_variables(&imported.found));
        let remarks =
            remarks.fold(String::new(), |text, remark| format!("{text}. {}", remark.trim_end_matches('.')));
        bail!(
            "there is no setting of how people log in in {}; nothing is printed{remarks}",
            places.join(" and ")
        );
    }
    imports.retain(|imported| !imported.drafts.is_empty());
    apart(&imports)?;
    output::print(&imports, arguments)?;
    let Gathered { references, mut manifests, .. } = gathered;
    let mut verdict = CommandVerdict::Passed;
    for imported in &imports {
        imported.add_to(&mut manifests)?;
    }
    for imported in &imports {
        let (lines, outcome) = comparison::compare(imported, &references, &manifests).await?;
        eprint!("{lines}");
        verdict = verdict.worse(outcome);
    }
    if manifests.resources.is_empty() {
        return Ok(verdict);
    }
    eprintln!("\nThe checks of the result:");
    let network = SharedNetwork::new(EgressPolicy::Unrestricted).behind(arguments.proxies.proxies()?);
    let network = Arc::new(network);
    let layout = Layout {
        width: terminal::width(&std::io::stderr()),
        detail: Detail::Everything,
        glyphs: terminal::Glyphs::of_the_locale(),
    };
    let checked = look(&references, &manifests, &network, |report: ResourceFindings, advice| {
        anstream::eprint!("{}", tree::draw(&report, advice.as_deref(), layout));
    });
    Ok(verdict.worse(checked.await?))
}

/// Fails if two workloads have the same name and namespace. Each gives its name to its resources, so they cannot be
/// imported together.
fn apart(imports: &[Imported]) -> anyhow::Result<()> {
    for (index, imported) in imports.iter().enumerate() {
        let (name, namespace) = (&imported.subject.name, &imported.subject.namespace);
        let twin = imports
            .iter()
            .skip(index + 1)
            .find(|other| (&other.subject.name, &other.subject.namespace) == (name, namespace));
        if let Some(twin) = twin {
            bail!(
                "{} and {} would both become resources named {name}; name one of them, such as deployment/{name}",
                imported.subject.place,
                twin.subject.place
            );
        }
    }
    Ok(())
}
