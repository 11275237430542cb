//! Maintains the owner's entry in lists of certificate authorities, and decides whether one is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    api::MANAGER,
    net::{certificates_in, only_certificates},
    workloads::Owner,
};

/// Returns the list with the owner's entry brought up to date. Without certificates, the owner has no entry.
///
/// Programs that read certificates ignore text outside of PEM blocks, so the first line of an entry can name its
/// owner. No entry is needed if somebody else has listed the same certificates, since the server reads all entries.
/// Entries of other resources of this operator do not count for that, because they are removed together with their
/// resource.
pub(super) fn listed(present: &[Value], owner: &Owner, certificates: Option<&str>) -> Vec<Value> {
    let mark = format!("# {}", owner.manager);
    let is_own = |entry: &Value| first_line(entry) == Some(mark.as_str());
    let certificates = certificates.map(only_certificates).filter(|pem| !pem.is_empty());
    let certificates = certificates.as_deref();
    let mut wanted = certificates.map(|pem| Value::from(format!("{mark}\n{pem}")));
    if !present.iter().any(is_own) && certificates.is_some_and(|pem| are_listed(present, pem)) {
        wanted = None;
    }
    let mut list = Vec::new();
    for entry in present {
        if is_own(entry) {
            list.extend(wanted.take());
        } else {
            list.push(entry.clone());
        }
    }
    list.extend(wanted);
    list
}

fn first_line(entry: &Value) -> Option<&str> {
    entry.as_str()?.lines().next().map(str::trim_end)
}

/// Whether every one of these certificates is in an entry that belongs to no resource of this operator.
fn are_listed(present: &[Value], pem: &str) -> bool {
    let ours = format!("# {MANAGER}/");
    let others =
        present.iter().filter(|entry| first_line(entry).is_some_and(|line| !line.starts_with(&ours)));
    let listed: BTreeSet<_> = others.filter_map(Value::as_str).flat_map(blocks).collect();
    let wanted = blocks(pem);
    !wanted.is_empty() && wanted.is_subset(&listed)
}

/// The decoded certificates, so that line breaks make no difference.
fn blocks(pem: &str) -> BTreeSet<Vec<u8>> {
    certificates_in(pem).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A PEM block that is not a real certificate.
    fn pem(content: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
    }

    fn owner(name: &str) -> Owner {
        Owner::new("LdapConfig", "ldap", &format!("{MANAGER}/ldapconfig"), name, format!("{name}-ldap"))
    }

    fn marked(name: &str, content: &str) -> Value {
        json!(format!("# wandb-auth-operator/ldapconfig/{name}\n{}", pem(content)))
    }

    #[test]
    fn the_owner_has_one_entry_and_others_keep_theirs() {
        let (a, b) = (json!(pem("AAAA")), json!(pem("BBBB")));
        let both = json!(format!("# root and branch\r\n{}\n{}", pem("BBBB"), pem("AA\nAA")));
        let (mine, mine_b, other) = (marked("corp", "AAAA"), marked("corp", "BBBB"), marked("other", "AAAA"));
        for (present, certificates, expected) in [
            (vec![], None, vec![]),
            (vec![], Some("AAAA"), vec![&mine]),
            (vec![&b], Some("AAAA"), vec![&b, &mine]),
            // The entry is replaced in its position, and duplicates of it are removed.
            (vec![&mine_b, &b], Some("AAAA"), vec![&mine, &b]),
            (vec![&mine, &b, &mine], Some("AAAA"), vec![&mine, &b]),
            (vec![&mine, &b], None, vec![&b]),
            // Somebody else has listed the certificate, so no entry is needed.
            (vec![&a], Some("AAAA"), vec![&a]),
            (vec![&both], Some("AAAA"), vec![&both]),
            (vec![&both], None, vec![&both]),
            // Somebody else lists the certificate later. The entry stays, because removing it would cause another
            // rollout.
            (vec![&a, &mine], Some("AAAA"), vec![&a, &mine]),
            // The entry of another resource does not count, because it may be removed at any time.
            (vec![&other], Some("AAAA"), vec![&other, &mine]),
            (vec![&other, &mine], None, vec![&other]),
        ] {
            let present: Vec<_> = present.into_iter().cloned().collect();
            let expected: Vec<_> = expected.into_iter().cloned().collect();
            let certificates = certificates.map(pem);
            let list = listed(&present, &owner("corp"), certificates.as_deref());
            assert_eq!(list, expected);
            assert_eq!(listed(&list, &owner("corp"), certificates.as_deref()), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_listed_by_nobody() {
        let odd = [json!(7), json!(""), json!("no certificate")];
        let list = listed(&odd, &owner("corp"), Some("no certificate"));
        assert_eq!(list, odd);
    }

    #[test]
    fn nothing_but_certificates_is_delivered() {
        let key = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
        let list = listed(&[], &owner("corp"), Some(&format!("words\n{}{key}", pem("AAAA"))));
        assert_eq!(list, [marked("corp", "AAAA")]);
    }
}
