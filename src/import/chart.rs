//! Reads the values of W&B's charts: `charts/operator-wandb`, whose values are also in the resource of the W&B
//! operator v1, and the legacy `charts/wandb`. The result is the environment that the templates of the chart make
//! of the values.

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::{Map, Value, json};

use super::{
    Certificates, EntryOrigin, EnvironmentEntry, ServerShape, TrustPurpose,
    certificates::CertificatePlace,
    resource::{listed, scalar},
    subject::{config_map, secret},
    workload,
};
use crate::{
    api::OidcProvider,
    engine::{Env, Field, Kind, Requirement},
    workloads::v1,
};

/// The chart to which values belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chart {
    /// `charts/operator-wandb`.
    Operator,
    /// `charts/wandb`.
    Legacy,
}

/// The keys by which values of the legacy chart are recognized.
const LEGACY_KEYS: [&str; 4] = ["sso", "ldap", "extraEnv", "customCACerts"];

impl Chart {
    /// The chart to which these values belong, judged by their keys.
    pub fn of(values: &Value) -> Option<Self> {
        if values.get("global").is_some_and(Value::is_object) {
            return Some(Self::Operator);
        }
        LEGACY_KEYS.iter().any(|key| values.get(key).is_some()).then_some(Self::Legacy)
    }
}

/// The default for the hours of a session in `charts/operator-wandb`.
const SESSION_HOURS: &str = "720";

/// The settings of the server that result from the values of a chart.
#[derive(Debug)]
pub struct Chosen {
    /// The shape of the server that answers logins.
    pub shape: ServerShape,
    /// The environment of that server.
    pub entries: Vec<EnvironmentEntry>,
    /// The certificate authorities that the server trusts.
    pub certificates: Vec<Certificates>,
    /// The address at which people open W&B.
    pub host: Option<String>,
}

/// The settings that the values of `charts/operator-wandb` give to the part of the server that answers logins.
pub fn operator(values: &Value) -> Chosen {
    let at = |path: &str| values.pointer(path);
    let text = |path: &str| at(path).and_then(scalar).filter(|text| !text.is_empty());
    let is_split = at("/app/install") == Some(&Value::Bool(false));
    let (shape, part) = if is_split { (ServerShape::Split, "api") } else { (ServerShape::Local, "app") };
    let mut entries = Vec::new();
    // Without a client id, the chart sets none of these three.
    if text("/global/auth/oidc/clientId").is_some() {
        for (field, path) in [
            (Field::Issuer, "/global/auth/oidc/issuer"),
            (Field::ClientId, "/global/auth/oidc/clientId"),
            (Field::AuthMethod, "/global/auth/oidc/authMethod"),
        ] {
            let origin = text(path).map_or(EntryOrigin::Text(String::new()), written);
            entries.extend(under_each_name(field, &origin));
        }
    }
    // The chart always sets this for the split services, and uses its own default if no value is given.
    let hours =
        text("/global/auth/sessionLengthHours").or_else(|| is_split.then(|| SESSION_HOURS.to_owned()));
    if let Some(hours) = hours {
        let split = oidc(Field::SessionLength).into_iter().flat_map(|env| env.split);
        entries.extend(split.map(|name| variable(name, written(format!("{hours}h")))));
    }
    if let Some(name) = text("/global/auth/oidc/oidcSecret/name") {
        let key = text("/global/auth/oidc/oidcSecret/secretKey").unwrap_or_else(|| "OIDC_SECRET".to_owned());
        let origin = EntryOrigin::Key { object: secret(&name), key, need: Requirement::Required };
        entries.extend(under_each_name(Field::ClientSecret, &origin));
    } else if let Some(value) = text("/global/auth/oidc/secret") {
        entries.extend(under_each_name(Field::ClientSecret, &written(value)));
    }
    for path in v1::places(part).iter().rev() {
        let map = at(&format!("/{}", path.join("/"))).and_then(Value::as_object).into_iter().flatten();
        entries.extend(map.filter(|(_, value)| !value.is_null()).map(|(name, value)| entry(name, value)));
    }
    Chosen {
        shape,
        entries,
        certificates: listed(at("/global/customCACerts"), at("/global/caCertsConfigMap")),
        host: text("/global/host").filter(|host| !host.contains("{{")),
    }
}

/// The settings that the values of `charts/wandb` give to the server. `release` is the name of the Deployment, if
/// it is known.
pub fn legacy(values: &Value, release: Option<&str>) -> Chosen {
    let at = |path: &str| values.pointer(path);
    let text = |path: &str| at(path).and_then(scalar).filter(|text| !text.is_empty());
    let mut entries = Vec::new();
    let mut set = |name: &str, value: Option<String>| {
        entries.push(variable(name, EntryOrigin::Text(value.unwrap_or_default())));
    };
    if at("/sso/enabled") == Some(&Value::Bool(true)) {
        set("OIDC_ISSUER", text("/sso/issuer"));
        set("OIDC_AUTH_METHOD", Some(text("/sso/method").unwrap_or_else(|| "implicit".to_owned())));
        set("OIDC_CLIENT_ID", text("/sso/clientId"));
        set("OIDC_CLIENT_SECRET", text("/sso/clientSecret"));
        let provisions = at("/sso/autoProvision") != Some(&Value::Bool(false));
        set("GORILLA_DISABLE_SSO_PROVISIONING", Some((!provisions).to_string()));
    }
    let has_directory = at("/ldap/enabled") == Some(&Value::Bool(true));
    let is_encrypted = at("/ldap/tls") == Some(&Value::Bool(true));
    if has_directory {
        set("LOCAL_LDAP_LOGIN", Some("true".to_owned()));
        for (name, path) in [
            ("LOCAL_LDAP_ADDRESS", "/ldap/host"),
            ("LOCAL_LDAP_BASE_DN", "/ldap/baseDN"),
            ("LOCAL_LDAP_BIND_DN", "/ldap/bindDN"),
            ("LOCAL_LDAP_BIND_PW", "/ldap/bindPW"),
            ("LOCAL_LDAP_ATTRIBUTES", "/ldap/attributes"),
            ("LOCAL_LDAP_GROUP_ALLOW_LIST", "/ldap/groupAllowList"),
        ] {
            set(name, text(path));
        }
        if is_encrypted {
            set("LOCAL_LDAP_TLS_ENABLE", Some("true".to_owned()));
        }
    }
    if let Some(release) = release.filter(|_| at("/createSecrets") != Some(&Value::Bool(false))) {
        in_secret_of_the_release(&mut entries, release);
    }
    let extra = at("/extraEnv").and_then(Value::as_array).into_iter().flatten();
    entries.extend(extra.filter_map(|value| {
        let variable: EnvVar = serde_json::from_value(value.clone()).ok()?;
        Some(EnvironmentEntry::Variable { origin: workload::origin(&variable), name: variable.name })
    }));
    let mut certificates = listed(at("/customCACerts"), None);
    if let (true, Some(name), Some(key)) = (
        has_directory && is_encrypted,
        text("/ldap/tlsCert/configMap/name"),
        text("/ldap/tlsCert/configMap/key"),
    ) {
        let place = CertificatePlace::Keys(config_map(&name), vec![key]);
        certificates.push(Certificates {
            purpose: TrustPurpose::Directory,
            place,
            need: Requirement::Required,
        });
    }
    Chosen { shape: ServerShape::Local, entries, certificates, host: text("/host") }
}

/// Replaces both secrets by references to the Secret into which the legacy chart writes them.
fn in_secret_of_the_release(entries: &mut [EnvironmentEntry], release: &str) {
    for entry in entries {
        let EnvironmentEntry::Variable { name, origin } = entry else { continue };
        let key = match name.as_str() {
            "LOCAL_LDAP_BIND_PW" => "LOCAL_LDAP_BIND_PW",
            "OIDC_CLIENT_SECRET" => "CLIENT_SECRET",
            _ => continue,
        };
        if *origin != EntryOrigin::Text(String::new()) {
            let object = secret(&format!("{release}-secrets"));
            *origin = EntryOrigin::Key { object, key: key.to_owned(), need: Requirement::Required };
        }
    }
}

fn oidc(field: Field) -> Option<Env> {
    OidcProvider::ENVIRONMENT.iter().copied().find(|env| env.field == Some(field))
}

fn under_each_name(field: Field, origin: &EntryOrigin) -> Vec<EnvironmentEntry> {
    oidc(field).into_iter().flat_map(Env::names).map(|name| variable(name, origin.clone())).collect()
}

fn variable(name: &str, origin: EntryOrigin) -> EnvironmentEntry {
    EnvironmentEntry::Variable { name: name.to_owned(), origin }
}

/// A text that the chart writes into a variable. If its template engine would change the text, the result is
/// unknown here.
fn written(text: String) -> EntryOrigin {
    if text.contains("{{") { EntryOrigin::Elsewhere } else { EntryOrigin::Text(text) }
}

/// An entry of a map of variables. Its value is a scalar, or the entry of a container's `env` without its name.
fn entry(name: &str, value: &Value) -> EnvironmentEntry {
    let origin = match value {
        Value::Object(source) => {
            let mut source: Map<String, Value> = source.clone();
            source.insert("name".to_owned(), json!(name));
            serde_json::from_value(source.into())
                .map_or(EntryOrigin::Elsewhere, |variable| workload::origin(&variable))
        }
        other => scalar(other).map_or(EntryOrigin::Elsewhere, written),
    };
    variable(name, origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LdapConfig;

    fn names(entries: &[EnvironmentEntry]) -> Vec<&str> {
        entries
            .iter()
            .filter_map(|entry| match entry {
                EnvironmentEntry::Variable { name, .. } => Some(name.as_str()),
                EnvironmentEntry::Every { .. } => None,
            })
            .collect()
    }

    #[test]
    fn values_tell_their_chart() {
        for (values, expected) in [
            (json!({"global": {}}), Some(Chart::Operator)),
            (json!({"global": {}, "extraEnv": []}), Some(Chart::Operator)),
            (json!({"ldap": {"enabled": true}}), Some(Chart::Legacy)),
            (json!({"sso": {}}), Some(Chart::Legacy)),
            (json!({"replicas": 1}), None),
        ] {
            assert_eq!(Chart::of(&values), expected, "{values}");
        }
    }

    /// The variables that the legacy chart sets are known to the kinds, except for one that no server reads.
    #[test]
    fn the_legacy_chart_sets_known_names() {
        let values = json!({
            "sso": {"enabled": true, "clientSecret": "s"}, "ldap": {"enabled": true, "tls": true},
        });
        let known: Vec<_> = OidcProvider::ENVIRONMENT
            .iter()
            .chain(LdapConfig::ENVIRONMENT)
            .copied()
            .flat_map(Env::names)
            .collect();
        let chosen = legacy(&values, None);
        let unknown: Vec<_> =
            names(&chosen.entries).into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(unknown, ["OIDC_CLIENT_SECRET"]);
    }

    /// The last entry of a variable counts. The order shows that a place closer to the application wins, and that a
    /// map overrides the chart's own fields.
    #[test]
    fn the_chart_lets_the_closest_value_count() {
        let values = json!({
            "global": {
                "auth": {"oidc": {"clientId": "fields", "issuer": "https://a.example"}},
                "extraEnv": {"OIDC_CLIENT_ID": "global.extraEnv", "X": "{{ .Release.Name }}", "Y": null},
                "env": {"OIDC_CLIENT_ID": "global.env"},
            },
            "app": {"extraEnv": {"OIDC_CLIENT_ID": "app.extraEnv"}, "env": {"OIDC_CLIENT_ID": 7}},
            "api": {"env": {"OIDC_CLIENT_ID": "api.env"}},
        });
        let chosen = operator(&values);
        let of = |wanted: &str| {
            let all = chosen.entries.iter().filter_map(|entry| match entry {
                EnvironmentEntry::Variable { name, origin } if name == wanted => Some(origin.clone()),
                _ => None,
            });
            all.collect::<Vec<_>>()
        };
        let texts = ["fields", "global.extraEnv", "global.env", "app.extraEnv", "7"];
        assert_eq!(of("OIDC_CLIENT_ID"), texts.map(|text| EntryOrigin::Text(text.to_owned())));
        assert_eq!(of("X"), [EntryOrigin::Elsewhere]);
        assert_eq!(of("Y"), []);
    }

    #[test]
    fn what_the_container_gets_itself_counts_most() {
        let values = json!({
            "global": {"env": {"X": "all"}},
            "app": {"env": {"X": "app"}, "containers": {"app": {"env": {"X": "container"}}}},
        });
        let last = operator(&values).entries.pop();
        assert_eq!(last, Some(variable("X", EntryOrigin::Text("container".to_owned()))));
    }
}
