//! Looks host names up as the pods of a namespace do.
//!
//! A name with few dots is completed by a search list (resolv.conf(5)), and the first entry of a pod's list is
//! the pod's own namespace. W&B Server runs in the namespace of the resource, and the operator perhaps in
//! another. With the operator's own list, `ldap://openldap` would lead to a service of that name in the
//! operator's namespace.

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
};

/// A search list, and the number of dots from which on it applies last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchList {
    domains: Vec<String>,
    ndots: usize,
}

/// The value of `ndots` where the file has none: a name with this many dots is tried as it is first.
const DEFAULT_NDOTS: usize = 1;

/// The largest value of `ndots` that the C library and Go accept.
const MOST_NDOTS: usize = 15;

impl SearchList {
    /// Parses the text of a resolv.conf as Go does. The last search list counts.
    fn parse(text: &str) -> Self {
        let (mut domains, mut ndots) = (Vec::new(), DEFAULT_NDOTS);
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("search") => domains = words.map(absolute).filter(|domain| domain != ".").collect(),
                Some("domain") => domains = words.next().map(absolute).into_iter().collect(),
                Some("options") => {
                    let mut stated = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    ndots = stated.next_back().map_or(ndots, |stated: usize| stated.min(MOST_NDOTS));
                }
                _ => {}
            }
        }
        Self { domains, ndots }
    }

    /// The search list of a pod in this namespace; `None` if this list is not the list of a pod.
    ///
    /// The kubelet writes `<namespace>.svc.<domain>`, `svc.<domain>` and `<domain>` first. Other entries below
    /// `svc.<domain>` were added for the operator's own pod and lead to other namespaces, so they are left out.
    fn of_namespace(&self, namespace: &str) -> Option<Self> {
        let below = |entry: &str| entry.split_once('.').map(|(_, parent)| parent.to_owned());
        let services = self
            .domains
            .iter()
            .filter_map(|entry| below(entry))
            .find(|parent| parent.starts_with("svc.") && self.domains.contains(parent))?;
        let suffix = format!(".{services}");
        let others = self.domains.iter().filter(|entry| !entry.ends_with(&suffix)).cloned();
        let domains = [format!("{namespace}{suffix}")].into_iter().chain(others).collect();
        Some(Self { domains, ndots: self.ndots })
    }

    /// The full names to try, in the order of Go's resolver (`nameList` in `net/dnsclient_unix.go`).
    fn candidates(&self, name: &str) -> Vec<String> {
        let itself = absolute(name);
        if name.ends_with('.') {
            return vec![itself];
        }
        let completed = self.domains.iter().map(|domain| format!("{name}.{domain}"));
        if name.matches('.').count() >= self.ndots {
            return [itself].into_iter().chain(completed).collect();
        }
        completed.chain([itself]).collect()
    }
}

/// The name with a dot at its end, which keeps resolvers from completing it.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// Looks up the names of one run.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The namespace and the search list of its pods; `None` outside of a cluster, where the system's resolver
    /// completes names.
    list: Option<(String, SearchList)>,
    /// The text of the hosts file, whose names come before all search lists.
    hosts: String,
    /// The full names that were resolved so far in this run, by the name as written.
    answered: Mutex<HashMap<String, String>>,
}

impl Names {
    /// Looks names up as the pods of the namespace do, if this process runs in a pod itself.
    pub(super) fn of_namespace(namespace: &str) -> Self {
        let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        Self::new(&resolver, hosts, namespace)
    }

    fn new(resolver: &str, hosts: String, namespace: &str) -> Self {
        let list = SearchList::parse(resolver).of_namespace(namespace);
        let list = list.map(|list| (namespace.to_owned(), list));
        Self { list, hosts, answered: Mutex::default() }
    }

    /// Every name for which the system's resolver must be asked, one after the other.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        match &self.list {
            Some((_, list)) if !self.is_in_hosts(name) => match self.known(name) {
                Some(answered) => vec![absolute(&answered)],
                None => list.candidates(name),
            },
            _ => vec![name.to_owned()],
        }
    }

    /// The namespace whose search list is used, if one is.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.list.as_ref().map(|(namespace, _)| namespace.as_str())
    }

    /// Records the full name that was resolved, so that a name means the same server for the whole run.
    pub(super) fn learn(&self, name: &str, answered: &str) {
        let answered = answered.trim_end_matches('.').to_owned();
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), answered);
    }

    /// The full name to which the name was resolved in this run.
    pub(super) fn known(&self, name: &str) -> Option<String> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A text that differs for servers with the same short name: the full name if this run knows it already,
    /// otherwise the name together with the namespace that completes it.
    pub(super) fn identity(&self, name: &str) -> String {
        match (self.known(name), self.namespace()) {
            (Some(known), _) => known,
            (None, Some(namespace)) => format!("{name} in {namespace}"),
            (None, None) => name.to_owned(),
        }
    }

    fn is_in_hosts(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        let lines = self.hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
        name.eq_ignore_ascii_case("localhost")
            || lines
                .flat_map(|line| line.split_whitespace().skip(1))
                .any(|known| known.trim_end_matches('.').eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "\
search operator.svc.cluster.local svc.cluster.local cluster.local corp.example
nameserver 10.96.0.10
options ndots:5
";

    fn candidates(resolver: &str, name: &str) -> Vec<String> {
        Names::new(resolver, "127.0.0.1 localhost\n10.0.0.1 Alias.example # b\n".into(), "team-a")
            .candidates(name)
    }

    #[test]
    fn a_short_name_means_what_it_means_to_a_pod_of_the_namespace() {
        for (name, expected) in [
            (
                "openldap",
                vec![
                    "openldap.team-a.svc.cluster.local.",
                    "openldap.svc.cluster.local.",
                    "openldap.cluster.local.",
                    "openldap.corp.example.",
                    "openldap.",
                ],
            ),
            (
                "openldap.team-b",
                vec![
                    "openldap.team-b.team-a.svc.cluster.local.",
                    "openldap.team-b.svc.cluster.local.",
                    "openldap.team-b.cluster.local.",
                    "openldap.team-b.corp.example.",
                    "openldap.team-b.",
                ],
            ),
            ("openldap.team-b.svc.cluster.local.", vec!["openldap.team-b.svc.cluster.local."]),
            (
                "a.b.c.d.e.f",
                vec![
                    "a.b.c.d.e.f.",
                    "a.b.c.d.e.f.team-a.svc.cluster.local.",
                    "a.b.c.d.e.f.svc.cluster.local.",
                    "a.b.c.d.e.f.cluster.local.",
                    "a.b.c.d.e.f.corp.example.",
                ],
            ),
            // Names of the hosts file, whatever their case.
            ("localhost", vec!["localhost"]),
            ("alias.example", vec!["alias.example"]),
        ] {
            assert_eq!(candidates(POD, name), expected, "{name}");
        }
    }

    #[test]
    fn lists_of_every_form_are_read() {
        for (resolver, first) in [
            (
                "search a.svc.k8s.corp svc.k8s.corp k8s.corp\noptions ndots:2 timeout:1\n",
                "x.team-a.svc.k8s.corp.",
            ),
            (
                "search one.example\nsearch a.svc.cluster.local. svc.cluster.local.\n",
                "x.team-a.svc.cluster.local.",
            ),
            // Entries of the operator's own pod for other namespaces must not lead a team's password there.
            (
                "search a.svc.cluster.local svc.cluster.local b.svc.cluster.local\noptions ndots:5",
                "x.team-a.svc.cluster.local.",
            ),
        ] {
            let found = candidates(resolver, "x");
            assert_eq!(found.first().map(String::as_str), Some(first), "{resolver}");
            assert!(
                !found.iter().any(|name| name.contains(".a.svc") || name.contains(".b.svc")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn outside_of_a_cluster_the_system_completes_names() {
        for resolver in
            ["", "search corp.example svc.example\n", "# search a.svc.c svc.c\n", "domain a.svc.c\n"]
        {
            assert_eq!(candidates(resolver, "openldap"), ["openldap"], "{resolver}");
        }
    }

    #[test]
    fn a_name_means_one_server_in_a_run() {
        let names = Names::new(POD, String::new(), "team-a");
        names.learn("openldap", "openldap.svc.cluster.local.");
        assert_eq!(names.candidates("openldap"), ["openldap.svc.cluster.local."]);
        assert_eq!(names.known("openldap").as_deref(), Some("openldap.svc.cluster.local"));
    }

    #[test]
    fn a_short_name_that_was_not_looked_up_is_another_server_in_each_namespace() {
        let resolver = "search operator.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
        let [of_a, of_b] =
            ["team-a", "team-b"].map(|namespace| Names::new(resolver, String::new(), namespace));
        assert_ne!(of_a.identity("keycloak"), of_b.identity("keycloak"));
        for names in [&of_a, &of_b] {
            names.learn("login.example.com", "login.example.com.");
        }
        assert_eq!(of_a.identity("login.example.com"), of_b.identity("login.example.com"));
        let outside = Names::new("nameserver 192.0.2.1\n", String::new(), "team-a");
        assert_eq!(outside.identity("keycloak"), "keycloak");
    }
}
