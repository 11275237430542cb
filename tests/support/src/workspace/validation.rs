//! Asks the API server what it thinks of objects, without making them.

use anyhow::Result;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};

use super::{Workspace, documents, refusal};

impl Workspace {
    /// What keeps documents from being applied, fields that the API server does not know among it; nothing is.
    pub async fn complaints(&self, yaml: &str) -> Result<Vec<String>> {
        let how = PatchParams { dry_run: true, ..PatchParams::apply("test").force() }.validation_strict();
        let mut complaints = Vec::new();
        for object in documents(yaml)? {
            let (api, name) = self.api_of(&object)?;
            if let Err(refusal) = refusal(api.patch(&name, &how, &Patch::Apply(&object)).await)? {
                let kind = object.types.as_ref().map_or("", |types| &types.kind);
                complaints.push(format!("{kind} {}: {refusal}", object.name_any()));
            }
        }
        Ok(complaints)
    }
}
