//! Short names mean what they mean to the pods of the resource's namespace.
//!
//! The system's own resolver is asked, and it reads one file and asks one port: so the test calls itself again
//! in a network and with mounts of its own, where it may bring both.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use test_support::{NameServer, Slapd};

use super::call::Directory;
use crate::world::PASSWORD;

const NAMESPACES: [&str; 5] = ["--user", "--map-root-user", "--net", "--mount", "--kill-child"];

/// Says that the test is in a network of its own.
const INSIDE: &str = "WANDB_AUTH_TEST_NAMES";

#[test]
fn a_short_name_leads_to_the_resources_own_namespace() -> Result<()> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(NAMESPACES).arg("--fork");
        command
    };
    if !unshare().args(["ip", "link", "set", "lo", "up"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody make a network of one's own with `unshare`");
        return Ok(());
    }
    let test = "command_line::names::inside_a_network_of_its_own";
    let mut inside = unshare();
    inside.arg(env::current_exe()?).args(["--exact", test, "--ignored"]).env(INSIDE, "yes");
    let output = inside.output()?;
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && printed.contains("1 passed"), "{printed}");
    Ok(())
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
    ensure!(env::var_os(INSIDE).is_some(), "this test changes the network that it is in");
    run("ip", &["link", "set", "lo", "up"])?;
    let own = tempfile::tempdir()?;
    let resolver = own.path().join("resolv.conf");
    fs::write(&resolver, RESOLVER)?;
    run("mount", &["--bind", resolver.to_str().context("a path")?, "/etc/resolv.conf"])?;

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

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status().with_context(|| program.to_owned())?;
    ensure!(status.success(), "{program} {}", arguments.join(" "));
    Ok(())
}
