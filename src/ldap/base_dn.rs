//! The check `BaseDnExists`: whether searches can begin where the spec says.

use ldap3::Scope;

use super::{
    Directory, Dn,
    connection::{AttributeSelection, Connection, Query},
    hints::HintTime,
    search::{ANYTHING, NO_ATTRIBUTES, SearchResult, find},
};
use crate::{
    api::Reason,
    engine::Checked,
    problem::{Problem, quote},
};

/// Searches from the base of every search, as W&B Server does. The base entry itself is not asked for:
/// an account that may read people's entries need not be allowed to read that one.
pub async fn base_dn_exists(connection: &mut Connection, directory: &Directory) -> Result<Checked, Problem> {
    let mut limit = search_from(connection, "spec.baseDN", &directory.base_dn)
        .await
        .map_err(|problem| with_hint(problem, directory))?;
    for (field, scope) in [
        ("spec.userSearch.baseDN", &directory.user_search),
        ("spec.groupSearch.baseDN", &directory.group_search),
    ] {
        if let Some(base) = &scope.base_dn {
            limit = limit.or(search_from(connection, field, base).await?);
        }
    }
    let base = quote(directory.base_dn.as_str());
    Ok(match limit {
        None => Checked::passed((), format!("{base} exists, and the account finds entries from there.")),
        Some(limit) => Checked::warning(
            (),
            Reason::SearchLimited,
            format!(
                "{base} exists, but the directory limits searches ({limit}): a search for everything below a base ends before it finds anything. Searches for one person may still work; the checks of spec.testUsers show that."
            ),
        ),
    })
}

/// Searches once, and tells at which limit of its own the directory gave up, if it did.
async fn search_from(connection: &mut Connection, field: &str, base: &Dn) -> Result<Option<String>, Problem> {
    let query = Query {
        base: base.as_str(),
        scope: Scope::Subtree,
        filter: ANYTHING,
        attributes: NO_ATTRIBUTES,
        limit: 1,
        content: AttributeSelection::Values,
    };
    let found = find(connection, &query).await.map_err(|problem| match problem.reason {
        Reason::BaseDnNotFound => Problem::new(problem.reason, format!("{field}: {}", problem.message)),
        _ => problem,
    });
    let found = match found {
        Err(problem) if problem.reason == Reason::BaseDnNotFound => {
            let held = HintTime::default().naming_contexts(connection, field, base).await;
            let words = [Some(problem.message), held].into_iter().flatten().collect::<Vec<_>>();
            return Err(Problem::new(problem.reason, words.join(" ")));
        }
        found => found?,
    };
    let base = quote(base.as_str());
    match found {
        SearchResult { entries, .. } if !entries.is_empty() => Ok(None),
        SearchResult { limit: Some(limit), .. } => Ok(Some(limit)),
        SearchResult { refers_elsewhere: true, .. } => Err(Problem::new(
            Reason::Referral,
            format!(
                "{field}: the directory shows nothing at {base} and refers to other servers. Use the address of the server that has the entries."
            ),
        )),
        SearchResult { .. } => Err(Problem::new(
            Reason::NotReadable,
            format!(
                "{field}: the directory shows nothing at {base} or below, which usually means that the account is not allowed to read it. Allow that in the directory, or check spec.bind."
            ),
        )),
    }
}

/// The vendor's own example shows an attribute map where the base DN belongs, and it parses as a DN.
fn with_hint(problem: Problem, directory: &Directory) -> Problem {
    if looks_like_attribute_map(directory) {
        let message = format!(
            "{} spec.baseDN looks like an attribute map: put such pairs into spec.attributes, and a DN such as dc=example,dc=org here.",
            problem.message
        );
        return Problem::new(problem.reason, message);
    }
    problem
}

fn looks_like_attribute_map(directory: &Directory) -> bool {
    // Types that real DNs begin with, whatever the extra attributes are called.
    const USUAL_TYPES: &[&str] = &["dc", "ou", "o", "c", "l", "st", "cn", "uid"];
    directory.base_dn.attribute_types().any(|of_dn| {
        let extra = directory.attributes.extra.iter().map(|(name, _)| name.as_str());
        extra
            .filter(|name| !USUAL_TYPES.iter().any(|usual| usual.eq_ignore_ascii_case(name)))
            .chain(["email", "group"])
            .any(|name| name.eq_ignore_ascii_case(of_dn))
    })
}
