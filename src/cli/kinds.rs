//! The four kinds by the words of kubectl, for arguments such as `ldap/corp`.

use anyhow::{anyhow, bail};
use kube::core::ApiResource;
use serde_json::Value;

use super::status::{ObservedSpec, observed_spec};
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount, common::is_object_name},
    engine::Kind,
    problem::quote,
    similar::most_similar,
};

/// A kind of this API, for code that learns only at run time which one it is.
pub(super) struct KnownKind {
    /// How the API server names it.
    pub(super) resource: ApiResource,
    /// Its short name, such as `ldap`.
    pub(super) short_name: &'static str,
    /// Reads the spec of an object of this kind.
    pub(super) spec: fn(Value) -> Result<ObservedSpec, String>,
}

impl KnownKind {
    fn of<K: Kind>() -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            short_name: K::SHORT_NAME,
            spec: |object| {
                let object = serde_json::from_value::<K>(object).map_err(|error| error.to_string())?;
                Ok(observed_spec(&object))
            },
        }
    }

    /// Every kind, in the order of the documentation.
    pub(super) fn all() -> [Self; 4] {
        [
            Self::of::<LdapConfig>(),
            Self::of::<OidcProvider>(),
            Self::of::<JwtIssuer>(),
            Self::of::<ServiceAccount>(),
        ]
    }

    /// Whether kubectl knows the kind by this word, too. The group may follow it, as in `ldapconfigs.auth.wandb.com`.
    fn is_called(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let (word, group) =
            word.split_once('.').map_or((word.as_str(), None), |(word, rest)| (word, Some(rest)));
        let group = group.map(|rest| rest.trim_start_matches("v1alpha1."));
        let words =
            [self.resource.kind.to_lowercase(), self.resource.plural.clone(), self.short_name.to_owned()];
        words.iter().any(|known| known == word) && group.is_none_or(|group| group == self.resource.group)
    }
}

/// A resource as a person names it.
pub(super) struct NamedResource {
    /// Its kind.
    pub(super) kind: KnownKind,
    /// Its name.
    pub(super) name: String,
}

impl NamedResource {
    /// Reads `KIND/NAME`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let expected = "expected ldap/NAME, oidc/NAME, jwt/NAME or wsa/NAME";
        let Some((word, name)) = text.split_once('/') else {
            bail!("\"{}\" names no resource; {expected}", quote(text));
        };
        let kind = KnownKind::all().into_iter().find(|kind| kind.is_called(word));
        let kind = kind.ok_or_else(|| {
            let kinds = KnownKind::all();
            let known = kinds.iter().map(|kind| kind.resource.kind.as_str());
            match most_similar(known, word) {
                Some(known) => {
                    anyhow!("\"{}\" is no kind of this API; did you mean {known}/NAME?", quote(word))
                }
                None => anyhow!("\"{}\" is no kind of this API; {expected}", quote(word)),
            }
        })?;
        if !is_object_name(name) {
            bail!("\"{}\" is not the name of an object; {expected}", quote(name));
        }
        Ok(Self { kind, name: name.to_owned() })
    }

    /// As kubectl takes it, such as `ldap/corp`.
    pub(super) fn short(&self) -> String {
        format!("{}/{}", self.kind.short_name, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_as_kubectl_calls_them() {
        for (text, expected) in [
            ("ldap/corp", "LdapConfig"),
            ("LdapConfig/corp", "LdapConfig"),
            ("ldapconfigs.auth.wandb.com/corp", "LdapConfig"),
            ("ldapconfigs.v1alpha1.auth.wandb.com/corp", "LdapConfig"),
            ("oidc/corp", "OidcProvider"),
            ("JWTISSUER/corp", "JwtIssuer"),
            ("wsa/corp", "ServiceAccount"),
            ("serviceaccounts.auth.wandb.com/corp", "ServiceAccount"),
        ] {
            let named = NamedResource::parse(text).unwrap();
            assert_eq!(
                (named.kind.resource.kind.as_str(), named.name.as_str()),
                (expected, "corp"),
                "{text}"
            );
        }
        for (text, part) in [
            ("corp", "names no resource; expected ldap/NAME"),
            ("LdapConfg/corp", "did you mean LdapConfig/NAME?"),
            ("pods/corp", "is no kind of this API; expected ldap/NAME"),
            ("ldap/", "is not the name of an object"),
            ("ldap/../secrets", "is not the name of an object"),
            ("ldapconfigs.example.com/corp", "is no kind of this API"),
        ] {
            let complaint = NamedResource::parse(text).err().unwrap().to_string();
            assert!(complaint.contains(part), "{text}: {complaint}");
        }
    }
}
