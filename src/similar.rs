//! Finds the name that somebody may have meant.

/// How alike two names are from which on one may be a misspelling of the other, from 0 to 1.
pub const ALIKE: f64 = 0.8;

/// How alike two names are, from 0 to 1, without regard to case.
pub fn likeness(one: &str, other: &str) -> f64 {
    strsim::jaro_winkler(&one.to_lowercase(), &other.to_lowercase())
}

/// The known name that another one is probably a misspelling of, if there is one.
pub fn most_similar<'a>(known: impl IntoIterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    most_similar_from(ALIKE, known, name)
}

/// The same among names that are this much alike, where all of them have much in common.
pub fn most_similar_from<'a>(
    alike: f64,
    known: impl IntoIterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (likeness(known, name), known))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|left, right| left.0.total_cmp(&right.0).then(right.1.cmp(left.1)))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_leads_to_the_name_that_was_meant() {
        let known = ["default-token", "ldap-bind", "ldap-ca", "oidc-client", "wandb-license"];
        for (name, expected) in [
            ("ldap-bnd", Some("ldap-bind")),
            ("ldap_bind", Some("ldap-bind")),
            ("LDAP-Bind", Some("ldap-bind")),
            ("oidc-clients", Some("oidc-client")),
            ("smtp", None),
            ("", None),
        ] {
            assert_eq!(most_similar(known, name), expected, "{name}");
        }
        assert_eq!(most_similar([], "ldap-bind"), None);
        // The order of what is known changes nothing.
        assert_eq!(most_similar(["team-b", "team-a"], "team-"), Some("team-a"));
        assert_eq!(most_similar(["team-a", "team-b"], "team-"), Some("team-a"));
    }
}
