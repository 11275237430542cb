//! Short names mean what they mean to the pods of the resource's namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Result;
use insta::assert_snapshot;
use test_support::{NameServer, Slapd};

use super::call::Directory;
use crate::{own_network, world::PASSWORD};

#[test]
fn a_short_name_leads_to_the_resources_own_namespace() -> Result<()> {
    if !own_network::is_possible() {
        eprintln!("skipped: this machine lets nobody make a network of one's own with `unshare`");
        return Ok(());
    }
    own_network::call("command_line::names::inside_a_network_of_its_own")
}

/// The resolver's settings of the operator's own pod.
const RESOLVER: &str = "\
search operator.svc.cluster.local svc.cluster.local cluster.local
nameserver 127.0.0.1
options ndots:5
";

#[test]
#[ignore = "is called in a network of its own by the test above"]
fn inside_a_network_of_its_own() -> Result<()> {
    let _resolver = own_network::set_up(RESOLVER)?;
    let (ours, theirs) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let names = NameServer::start(
        SocketAddr::from(([127, 0, 0, 1], 53)),
        &[
            ("openldap.team-a.svc.cluster.local", ours),
            ("openldap.operator.svc.cluster.local", theirs),
            ("ldap.example.com", ours),
        ],
    )?;
    let ldap = Slapd::builder(PASSWORD).bind_address(IpAddr::V4(ours)).start()?;
    // Whoever has the name beside the operator would get the password.
    let beside = TcpListener::bind((theirs, ldap.port()))?;
    beside.set_nonblocking(true)?;

    for (name, host, namespace, code) in [
        ("own_namespace", "openldap", "team-a", 0),
        ("other_namespace", "openldap", "team-b", 1),
        ("with_its_namespace", "openldap.team-a", "team-b", 0),
        ("full_name", "openldap.team-a.svc.cluster.local", "team-b", 0),
        ("outside", "ldap.example.com", "team-b", 0),
    ] {
        let files = Directory::with(&[("corp.yaml", &resource(host, ldap.port()))])?;
        let printed = files.call(&format!("check -f corp.yaml -n {namespace}"))?;
        assert_eq!(printed.code, code, "{printed}");
        let shown = printed.to_string().replace(&ldap.port().to_string(), "<port>");
        assert_snapshot!(name, shown);
    }
    assert!(beside.accept().is_err(), "somebody beside the operator was connected to");
    let asked = names.questions();
    assert!(!asked.iter().any(|name| name == "openldap.operator.svc.cluster.local"), "{asked:?}");
    Ok(())
}

fn resource(host: &str, port: u16) -> String {
    let (suffix, service) = (Slapd::SUFFIX, Slapd::SERVICE_DN);
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {{name: corp}}
spec:
  address: ldap://{host}:{port}
  insecurePlaintext: true
  baseDN: {suffix}
  bind: {{dn: '{service}', passwordSecretRef: {{name: ldap-bind, key: password}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: ldap-bind}}
stringData: {{password: {PASSWORD}}}
"
    )
}
