//! The arguments that say what `check` and `render` look at.

use std::path::PathBuf;

use clap::Args;

use super::{manifests::Manifests, references::References};

/// Files, and where what they refer to is.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// File or directory with the resources and what they refer to, or - for standard input; may be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,

    /// Namespace of the objects that name none [default: default, or the context's with --from-cluster].
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Read referenced Secrets and ConfigMaps from the current context's cluster.
    #[arg(long)]
    from_cluster: bool,
}

impl SourceArgs {
    /// Reads the files.
    pub(super) async fn read(&self) -> anyhow::Result<(References, Manifests)> {
        let (references, namespace) = if self.from_cluster {
            References::from_cluster().await?
        } else {
            (References::Files, "default".to_owned())
        };
        let namespace = self.namespace.as_deref().unwrap_or(&namespace);
        let manifests = Manifests::read(&self.files, namespace)?;
        Ok((references, manifests))
    }
}
