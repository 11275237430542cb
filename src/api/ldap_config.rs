//! `LdapConfig`: the directory that people log in with.

#![expect(clippy::struct_excessive_bools, reason = "they are the switches of the API")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CommonSpec, KeyReference, SharedStatus, common};

/// An LDAP directory that W&B Server authenticates people against.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "auth.wandb.com",
    version = "v1alpha1",
    kind = "LdapConfig",
    namespaced,
    status = "SharedStatus",
    shortname = "ldap",
    category = "wandb-auth",
    doc = "An LDAP directory that W&B Server authenticates people against.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Warnings", type_ = "integer", json_path = ".status.warnings"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name"),
    printcolumn(name = "Last Check", type_ = "date", json_path = ".status.lastCheckTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    validation = common::secret_name_stays(),
    validation = common::name_leaves_room()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = common::server_pod_needs_a_target(),
    validation = Rule::new("!(self.address.startsWith('ldaps://') && self.startTLS)").message("startTLS is only for an ldap:// address; an ldaps:// address is encrypted from the start"),
    validation = Rule::new("!self.address.startsWith('ldap://') || self.startTLS || self.insecurePlaintext").message("an ldap:// address sends passwords unencrypted: use ldaps://, set startTLS: true, or set insecurePlaintext: true to accept that"),
    validation = Rule::new("!has(self.tls) || !self.address.startsWith('ldap://') || self.startTLS || !self.insecurePlaintext").message("tls has no effect without encryption: use ldaps:// or set startTLS: true"),
    validation = Rule::new("!has(self.testUsers) || self.testUsers.all(user, !has(user.expect.allowed) || (has(self.groupAllowList) && self.groupAllowList.size() > 0) || user.expect.allowed)").message("a test user can be expected not to be allowed only where groupAllowList is set, since without it everybody is allowed")
)]
pub struct LdapConfigSpec {
    /// `ldaps://host[:port]`, or `ldap://host[:port]` with `startTLS`. Without a port it is 636 for `ldaps://` and 389 for `ldap://`.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = common::port_can_be_reached("address"),
        validation = Rule::new("self.matches('^ldaps?://([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$')").message("address must be ldap://host[:port] or ldaps://host[:port], in lower case and without a path, a user or a trailing slash")
    )]
    pub address: String,

    /// `true` encrypts an `ldap://` connection with the StartTLS operation (RFC 4511 section 4.14) before any password is sent. Default: `false`. An `ldap://` address is refused without it, unless `insecurePlaintext` is `true`.
    #[serde(default, rename = "startTLS")]
    pub start_tls: bool,

    /// `true` accepts that passwords travel unencrypted over `ldap://`, where everybody on the way can read them. Default: `false`, an `ldap://` address without `startTLS` is refused.
    #[serde(default)]
    pub insecure_plaintext: bool,

    /// The entry in the directory that people and groups are below, such as `dc=example,dc=org`. An entry elsewhere is not found, unless `userSearch` or `groupSearch` says otherwise.
    #[serde(rename = "baseDN")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = common::begins_like_a_dn("baseDN"))]
    pub base_dn: String,

    /// The account that searches the directory. Default: none; the bind is anonymous, which many directories refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,

    /// Which directory attributes hold what: `email` and `group`, plus any extra pairs. Default: `{email: mail, group: gidNumber}`. Whoever has no value in the one for `email` cannot log in.
    #[serde(default = "attributes")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(
        validation = Rule::new("'email' in self && 'group' in self").message("attributes must name both email and group"),
        validation = Rule::new("self.all(key, key.matches('^[A-Za-z0-9_.-]+$') && self[key].matches('^[A-Za-z][A-Za-z0-9.;-]*$'))").message("attributes must map names to LDAP attribute names, such as email: mail")
    )]
    pub attributes: BTreeMap<String, AttributeName>,

    /// Groups, by DN or by name, whose members may log in. Default: none; everybody below the base DN may. With `[wandb]`, only members of the group `wandb` may log in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub group_allow_list: Vec<GroupReference>,

    /// `true` puts people into the W&B teams that are named like their groups in the directory. Default: `false`, teams are kept in W&B alone.
    #[serde(default)]
    pub group_sync: bool,

    /// Where people are looked for, and among which entries. Default: below `spec.baseDN`, among the usual classes of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("has(self.baseDN) || has(self.objectClass)").message("userSearch must have baseDN, objectClass or both"))]
    pub user_search: Option<SearchSpec>,

    /// Where groups are looked for, and among which entries. Default: below `spec.baseDN`, among the usual classes of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("has(self.baseDN) || has(self.objectClass)").message("groupSearch must have baseDN, objectClass or both"))]
    pub group_search: Option<SearchSpec>,

    /// Whether people log in through this directory. Default: `true`, as soon as the checks have passed. `false` publishes the settings for testing, and people go on logging in as before.
    #[serde(default = "login")]
    pub login: bool,

    /// People whom the operator looks up to prove the configuration. Default: none. Each one is a check of its own, `TestUser/0` and so on: if it fails, the values are not published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub test_users: Vec<TestUser>,

    /// The fields that every kind has.
    #[serde(flatten)]
    pub common: CommonSpec,
}

/// The account that searches the directory.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bind {
    /// The account's DN; for Active Directory also `user@domain` or `DOMAIN\user`. W&B Server logs in to the directory as this account, too, so that it must be allowed to search for people.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(r"self.contains('=') || self.contains('@') || self.contains('\\')").message(r"dn must be a DN such as cn=admin,dc=example,dc=org, or user@domain or DOMAIN\user for Active Directory"))]
    pub dn: String,
    /// The Secret's key that holds the password. A new password there is tried at once; one that the directory refuses is not sent again by itself, since that could lock the account.
    pub password_secret_ref: KeyReference,
}

/// The name of an LDAP attribute.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct AttributeName(#[schemars(length(max = 128))] pub String);

/// A group, by DN or by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct GroupReference(#[schemars(length(min = 1, max = 1024))] pub String);

/// Where and among which entries to search.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchSpec {
    /// The entry to search below. Default: `spec.baseDN`. Entries elsewhere are not found.
    #[serde(default, rename = "baseDN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = common::begins_like_a_dn("baseDN of a search"))]
    pub base_dn: Option<String>,
    /// The object class that entries must have, such as `inetOrgPerson`. Default: any of the usual ones. Entries without that class are not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9.-]*$"))]
    pub object_class: Option<String>,
}

/// A person whom the operator looks up to prove the configuration.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
pub struct TestUser {
    /// An LDAP filter (RFC 4515) that finds exactly this person, such as `(mail=alice@example.org)`. If it finds nobody, or several, the check fails.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.trim().startsWith('(') && self.trim().endsWith(')') && self.trim().size() >= 3").message("filter must be an LDAP filter in parentheses, such as (mail=alice@example.org)"))]
    pub filter: String,
    /// What must be true of the person. Default: that there is exactly one, with an e-mail address.
    #[serde(default)]
    pub expect: TestUserExpectation,
}

/// What must be true of a test user.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema)]
pub struct TestUserExpectation {
    /// The value that the e-mail attribute must have; upper and lower case do not matter. Default: any; there must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub email: Option<String>,
    /// Groups, by DN or by name, that the person must be a member of. Default: none is looked at. If the person is missing in one of them, the check fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<GroupReference>,
    /// Whether the person may log in by `groupAllowList`. Default: not looked at. With `false`, the check fails if the person may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
}

fn attributes() -> BTreeMap<String, AttributeName> {
    [("email", "mail"), ("group", "gidNumber")]
        .into_iter()
        .map(|(name, attribute)| (name.to_owned(), AttributeName(attribute.to_owned())))
        .collect()
}

fn login() -> bool {
    true
}
