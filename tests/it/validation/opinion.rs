//! What the operator itself makes of a spec, without any API server.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;
use wandb_auth_operator::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount},
    engine::{Kind, Prepared, prepare},
    net::Trust,
};

/// What the operator makes of a spec.
#[derive(Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It does not even decode.
    Undecodable,
    /// It turns `Accepted` False, with this message.
    NotAccepted(String),
    /// It makes sense, or asks for something that is valid but not there yet.
    Accepted,
}

/// The operator's opinion of an object.
pub fn opinion(object: &Value) -> Result<Opinion> {
    match object["kind"].as_str() {
        Some("LdapConfig") => Ok(of::<LdapConfig>(object)),
        Some("OidcProvider") => Ok(of::<OidcProvider>(object)),
        Some("JwtIssuer") => Ok(of::<JwtIssuer>(object)),
        Some("ServiceAccount") => Ok(of::<ServiceAccount>(object)),
        kind => bail!("{kind:?} is no kind of these tests"),
    }
}

fn of<K: Kind>(object: &Value) -> Opinion {
    let Ok(object) = serde_json::from_value::<K>(object.clone()) else {
        return Opinion::Undecodable;
    };
    match prepare(&object, &[], &BTreeMap::new(), &Trust::empty(), &[]) {
        Prepared::NotAccepted(problem) => Opinion::NotAccepted(problem.message),
        _ => Opinion::Accepted,
    }
}
