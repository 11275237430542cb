//! The tables that the API server prints for `kubectl get`.

use std::fmt;

use anyhow::Result;
use kube::Client;
use serde_json::Value;

/// A table as `kubectl get` shows it.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Asks the API server for the operator's resources of that plural name.
    pub(super) async fn fetch(client: &Client, namespace: &str, plural: &str) -> Result<Self> {
        let request =
            http::Request::get(format!("/apis/auth.wandb.com/v1alpha1/namespaces/{namespace}/{plural}"))
                .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
                .body(Vec::new())?;
        let answer: Value = serde_json::from_str(&client.request_text(request).await?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let shown: Vec<bool> =
            list(&answer["columnDefinitions"]).iter().map(|column| column["priority"] == 0).collect();
        let visible = |cells: Vec<String>| {
            cells.into_iter().zip(&shown).filter(|(_, shown)| **shown).map(|(cell, _)| cell).collect()
        };
        let header = list(&answer["columnDefinitions"])
            .iter()
            .map(|column| column["name"].as_str().unwrap_or_default().to_uppercase())
            .collect();
        let mut rows = vec![visible(header)];
        for row in list(&answer["rows"]) {
            rows.push(visible(list(&row["cells"]).iter().map(cell).collect()));
        }
        Ok(Self { rows })
    }

    /// The cells, the header first.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }
}

/// A column that has nothing to show is empty, as kubectl prints it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        for row in &self.rows {
            let cells: Vec<_> =
                row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column))).collect();
            writeln!(f, "{}", cells.join("   ").trim_end())?;
        }
        Ok(())
    }
}
