//! What the API server warns of, which kubectl prints as `Warning:` and client libraries drop.

use anyhow::{Context, Result, ensure};
use kube::{
    api::{Patch, PatchParams},
    client::Body,
    core::Request,
};

use super::{Workspace, documents};

impl Workspace {
    /// Applies every document like [`Workspace::apply`]; returns the warnings that the API server answers with.
    pub async fn apply_and_listen(&self, yaml: &str) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for object in documents(yaml)? {
            let (api, name) = self.api_of(&object)?;
            let parameters = PatchParams::apply("test").force();
            let request =
                Request::new(api.resource_url()).patch(&name, &parameters, &Patch::Apply(&object))?;
            let response = self.client.send(request.map(Body::from)).await?;
            ensure!(response.status().is_success(), "{name}: {}", response.status());
            for header in response.headers().get_all("warning") {
                warnings.push(format!("{name}: {}", text_of(header.to_str().context("a warning")?)));
            }
        }
        Ok(warnings)
    }
}

/// The text of a warning header: `299 - "text"` (RFC 7234 section 5.5).
fn text_of(header: &str) -> &str {
    let text = header.splitn(3, ' ').nth(2).unwrap_or(header);
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_text_of_a_warning_is_what_stands_in_quotes() {
        assert_eq!(super::text_of(r#"299 - "unknown field \"spec.a\"""#), r#"unknown field \"spec.a\""#);
        assert_eq!(super::text_of("nothing"), "nothing");
    }
}
