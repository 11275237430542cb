//! The entries of the directory.

/// The policy of every account.
pub(super) const POLICY_DN: &str = "cn=default,ou=policies,dc=example,dc=org";

const FIXED: &str = "\
dn: dc=example,dc=org
objectClass: organization
objectClass: dcObject
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: ou=services,dc=example,dc=org
objectClass: organizationalUnit
ou: services

dn: ou=policies,dc=example,dc=org
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5

dn: cn=wandb,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: wandb
member: uid=alice,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org

dn: cn=developers,ou=groups,dc=example,dc=org
objectClass: posixGroup
cn: developers
gidNumber: 5001
memberUid: alice
memberUid: bob

dn: cn=empty,ou=groups,dc=example,dc=org
objectClass: posixGroup
cn: empty
gidNumber: 5002
";

/// Entries are loaded while slapd does not run, so what its overlays would have written
/// (`memberOf`, the time of the lock) is written here.
pub(super) fn ldif(service_password: &str) -> String {
    let in_wandb = "memberOf: cn=wandb,ou=groups,dc=example,dc=org\n";
    // The policy overlay's word for a lock without an end.
    let locked_for_ever = "pwdAccountLockedTime: 000001010000Z\n";
    [
        FIXED.to_owned(),
        service("wandb", service_password, ""),
        service("locked", service_password, locked_for_ever),
        person("alice", 10_001, in_wandb),
        person("bob", 10_002, in_wandb),
        person("carol", 10_003, ""),
    ]
    .join("\n")
}

fn service(name: &str, password: &str, extra: &str) -> String {
    format!(
        "dn: cn={name},ou=services,dc=example,dc=org\n\
         objectClass: organizationalRole\n\
         objectClass: simpleSecurityObject\n\
         cn: {name}\n\
         userPassword: {password}\n\
         {extra}"
    )
}

fn person(uid: &str, number: u32, extra: &str) -> String {
    format!(
        "dn: uid={uid},ou=people,dc=example,dc=org\n\
         objectClass: inetOrgPerson\n\
         objectClass: posixAccount\n\
         uid: {uid}\n\
         cn: {uid}\n\
         sn: Example\n\
         mail: {uid}@example.org\n\
         uidNumber: {number}\n\
         gidNumber: 5001\n\
         homeDirectory: /home/{uid}\n\
         userPassword: {uid}-password\n\
         {extra}"
    )
}
