//! Reads lists that the server returns page by page (the Relay specification of GraphQL cursors).

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::json;

use super::{Credential, Instance, ServerRefusal, answer::unauthorized, graphql::Operation};
use crate::{api::Reason, problem::quote};

/// The maximum number of pages that are read. No account needs that many.
const MOST_PAGES: usize = 100;

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// The cursor of the next page, if there is one. An empty text means that the server did not name the cursor.
    next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Page<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Connection<T> {
            edges: Option<Vec<Option<Edge<T>>>>,
            page_info: Option<PageInfo>,
        }
        #[derive(Deserialize)]
        struct Edge<T> {
            node: Option<T>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PageInfo {
            has_next_page: Option<bool>,
            end_cursor: Option<String>,
        }
        let Some(Connection { edges, page_info }) = Option::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let edges: Vec<Option<Edge<T>>> = edges.unwrap_or_default();
        let items = edges.into_iter().flatten().filter_map(|edge| edge.node).collect();
        let more = page_info.filter(|info| info.has_next_page == Some(true));
        Ok(Self { items, next: more.map(|info| info.end_cursor.unwrap_or_default()) })
    }
}

/// The answer to a query for a further page, which has the list under the name `list`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct ListedPage<T> {
    #[serde(default)]
    list: Page<T>,
}

impl Instance<'_> {
    /// The complete list of the credential's account that begins with this page. It fails if the list cannot be
    /// read to its end, because an incomplete list cannot show that something is missing from it.
    pub(super) async fn rest<T: DeserializeOwned>(
        &self,
        credential: &Credential,
        operation: &Operation,
        first: Page<T>,
    ) -> Result<Vec<T>, ServerRefusal> {
        let Page { mut items, mut next } = first;
        let mut seen = Vec::new();
        while let Some(after) = next {
            if after.is_empty() || seen.contains(&after) || seen.len() >= MOST_PAGES {
                return Err(self.endless(operation));
            }
            let page: Option<ListedPage<T>> =
                self.ask(credential, operation, json!({ "after": after })).await?;
            let ListedPage { list } = page
                .ok_or_else(|| unauthorized(self.base_url.graphql_url(), "nobody's account", credential))?;
            items.extend(list.items);
            next = list.next;
            seen.push(after);
        }
        Ok(items)
    }

    fn endless(&self, operation: &Operation) -> ServerRefusal {
        ServerRefusal::new(
            Reason::InvalidDocument,
            format!(
                "{} returns a list whose pages do not end; expected {} on at most {MOST_PAGES} pages, each with another endCursor. Check that the server is a W&B Server, and which version.",
                quote(self.base_url.graphql_url().as_str()),
                operation.expected
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn reads_what_is_there() {
        for (document, items, next) in [
            (json!(null), vec![], None),
            (json!({}), vec![], None),
            (json!({ "edges": null, "pageInfo": null }), vec![], None),
            (json!({ "edges": [null, { "node": null }, { "node": 1 }], "pageInfo": {} }), vec![1], None),
            (json!({ "edges": [], "pageInfo": { "hasNextPage": false, "endCursor": "a" } }), vec![], None),
            (
                json!({ "edges": [{ "node": 1 }], "pageInfo": { "hasNextPage": true, "endCursor": "a" } }),
                vec![1],
                Some("a"),
            ),
            // There is a next page, but no cursor for it. That is not the end of the list.
            (json!({ "pageInfo": { "hasNextPage": true } }), vec![], Some("")),
        ] {
            let page: Page<Value> = serde_json::from_value(document.clone()).unwrap();
            assert_eq!(
                (page.items, page.next.as_deref()),
                (items.into_iter().map(Value::from).collect(), next),
                "{document}"
            );
        }
    }
}
