//! What network policies let through.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::Helm;

use super::{cases, documents};

/// Whether the list has entries: Kubernetes reads one that is empty or missing as everything.
fn restricts(rule: &Value, list: &str) -> bool {
    rule[list].as_array().is_some_and(|entries| !entries.is_empty())
}

/// The complaints about a rule that allows every port, every peer or both.
fn loophole(rule: &Value, peers: &str) -> Option<String> {
    let narrow = restricts(rule, "ports") || restricts(rule, peers);
    let given = ["ports", peers].into_iter().filter(|list| rule.get(list).is_some());
    let empty: Vec<_> = given.filter(|list| !restricts(rule, list)).collect();
    (!narrow || !empty.is_empty()).then(|| format!("{rule} allows more than it says: {empty:?}"))
}

fn loopholes(policy: &Value) -> Vec<String> {
    let rules = |direction: &str| policy["spec"][direction].as_array().cloned().unwrap_or_default();
    let outwards = rules("egress").into_iter().filter_map(|rule| loophole(&rule, "to"));
    let inwards = rules("ingress").into_iter().filter_map(|rule| loophole(&rule, "from"));
    outwards.chain(inwards).collect()
}

fn policies(rendered: &str) -> Result<Vec<Value>> {
    let mut objects = documents(rendered)?;
    objects.retain(|object| object["kind"] == "NetworkPolicy");
    Ok(objects)
}

#[test]
fn no_rule_allows_everything() -> Result<()> {
    let helm = Helm::new()?;
    let mut seen = 0;
    for case in cases()? {
        for policy in policies(&case.rendered(&helm)?)? {
            let found = loopholes(&policy);
            ensure!(found.is_empty(), "{}: {found:#?}", case.name);
            ensure!(policy["spec"]["policyTypes"] == json!(["Ingress", "Egress"]), "{}", case.name);
            seen += 1;
        }
    }
    ensure!(seen > 5, "most values make a policy");
    let open = json!({"spec": {"egress": [{}, {"ports": null}, {"ports": [{"port": 53}], "to": []}]}});
    ensure!(loopholes(&open).len() == 3, "each of them would be seen: {:#?}", loopholes(&open));
    Ok(())
}

#[test]
fn no_port_is_no_rule() -> Result<()> {
    let none = json!({"dnsPorts": [], "apiServerPorts": null, "ldapPorts": [], "httpsPorts": null});
    let rendered = Helm::new()?.template(&json!({"networkPolicy": none}))?;
    let policy = policies(&rendered)?.pop().context("no policy")?;
    ensure!(policy["spec"]["egress"].is_null(), "{policy}");
    Ok(())
}
