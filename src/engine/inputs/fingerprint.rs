//! The fingerprint of the inputs of a check run, in a form that outlives the process. The functions are pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Write},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use kube::ResourceExt;

use super::without_line_break;
use crate::engine::{Fetched, Kind, ObjectKey, Reference, SpecDigest, references};
use crate::{
    api::{RECHECK_ANNOTATION, Status},
    problem::quote,
};

/// Names the object, its spec, the objects to which it refers, and the re-check annotation, in a form that the
/// status keeps.
///
/// Contents appear as a digest whose key is the identifier (`metadata.uid`) of the object that holds them. Only
/// those who may read a Secret know its identifier, so nobody else can test guesses of a value against the
/// digest. A change of metadata alone does not change the digest. The version beside it is for people who look
/// for the cause of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedInputs {
    text: String,
    generation: Option<i64>,
}

impl CheckedInputs {
    /// The inputs of a run on these objects.
    pub fn of<K: Kind>(object: &K, objects: &BTreeMap<ObjectKey, Fetched>) -> Self {
        Self::known(object, &SpecDigest::of(object), objects)
    }

    /// The same for a resource of which the digest is known.
    pub(in crate::engine) fn known<K: Kind>(
        object: &K,
        spec: &SpecDigest,
        objects: &BTreeMap<ObjectKey, Fetched>,
    ) -> Self {
        let uid = object.uid().unwrap_or_default();
        let mut text = format!("uid={uid}{SPEC_MARK}{}", spec.checked);
        let references = references(object);
        for (key, fetched) in objects {
            let _ = match fetched {
                Fetched::Found { version, data } => {
                    let (version, uid) = version.split_once('.').unwrap_or((version, ""));
                    let contents = contents(uid, data, references.iter().filter(|one| one.object() == *key));
                    write!(text, " {}/{}={version}{CONTENTS_MARK}{contents}", key.source.kind(), key.name)
                }
                Fetched::Resource(found) => {
                    write!(text, " {}/{}={}", key.source.kind(), key.name, found.version)
                }
                Fetched::Missing { .. } | Fetched::Forbidden => Ok(()),
            };
        }
        text.push_str(&recheck(object));
        Self { text, generation: object.meta().generation }
    }

    /// Whether a status was written with the re-check that the object asks for now.
    pub fn has_recheck_of<K: Kind>(object: &K, status: &Status) -> bool {
        recorded(status).is_none_or(|(inputs, _)| match recheck(object).as_str() {
            "" => !inputs.contains(RECHECK_MARK),
            wanted => inputs.ends_with(wanted),
        })
    }

    /// Whether a person asks to use these inputs even if a value looks like a mistake: by a re-check that no
    /// status shows yet, or one that a status shows with these very inputs. So each re-check allows a value once.
    pub(in crate::engine) fn has_consent_of<K: Kind>(&self, object: &K) -> bool {
        let is_asked = object.annotations().contains_key(RECHECK_ANNOTATION);
        let is_used_up = |status: &Status| {
            let is_known = status.checked_inputs.is_some() && Self::has_recheck_of(object, status);
            is_known && !self.agrees_with(status)
        };
        is_asked && !object.status().is_some_and(is_used_up)
    }

    /// A digest of these inputs, the re-check among them, which a change of metadata alone leaves as it is.
    pub(in crate::engine) fn digest(&self) -> String {
        hexadecimal(digest(&SHA256, without_versions(&self.text).as_bytes()).as_ref())
    }

    /// Whether a status was written with the same inputs, by any version of the operator.
    pub fn agrees_with(&self, status: &Status) -> bool {
        recorded(status).is_some_and(|(inputs, _)| {
            without_versions(inputs) == without_versions(&self.text)
                || self.agrees_with_earlier(inputs, status)
        })
    }

    /// Whether a status was written with the same inputs by this version of the operator.
    pub fn agrees_with_own(&self, status: &Status) -> bool {
        self.agrees_with(status)
            && recorded(status).is_some_and(|(_, version)| version == env!("CARGO_PKG_VERSION"))
    }

    /// Whether a status was written with the same spec and Secrets, so that its findings about credentials are
    /// about these.
    pub fn has_credentials_of(&self, status: &Status) -> bool {
        let recorded = status.checked_inputs.as_deref();
        self.agrees_with(status) || recorded.is_some_and(|recorded| secrets(recorded) == secrets(&self.text))
    }

    /// Whether a person changed the spec, or asked for a re-check, since a status was written.
    pub fn is_asked_since(&self, status: &Status) -> bool {
        let Some(recorded) = status.checked_inputs.as_deref() else { return false };
        let recorded = recorded.rsplit_once(VERSION_MARK).map_or(recorded, |(inputs, _)| inputs);
        !self.agrees_with(status) && wishes(recorded) != wishes(&self.text)
    }

    /// Whether a status agrees that the previous release wrote. It has a shorter digest of another kind, and
    /// versions of objects instead of their contents, so the generation shows that the spec is the same. Without
    /// this, an upgrade would send all refused credentials once more, at the same time. Remove this after the
    /// next release.
    fn agrees_with_earlier(&self, recorded: &str, status: &Status) -> bool {
        let earlier = without_spec(recorded, EARLIER_DIGITS);
        let own = without_contents(&self.text);
        self.generation.is_some()
            && self.generation == status.observed_generation
            && earlier.is_some()
            && earlier == without_spec(&own, 2 * DIGEST_BYTES)
    }
}

/// The inputs that a status names, and the version of the operator that wrote them.
fn recorded(status: &Status) -> Option<(&str, &str)> {
    status.checked_inputs.as_deref()?.rsplit_once(VERSION_MARK)
}

/// The first bytes of a digest in hexadecimal.
pub(in crate::engine) fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().take(DIGEST_BYTES).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of the contents to which the references lead in an object.
fn contents<'a>(
    uid: &str,
    data: &BTreeMap<String, Vec<u8>>,
    references: impl Iterator<Item = &'a Reference>,
) -> String {
    let keys: BTreeSet<_> = references.map(|reference| reference.key.as_str()).collect();
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, uid.as_bytes()));
    for key in keys {
        let Some(value) = data.get(key).map(|value| without_line_break(value)) else { continue };
        for part in [key.as_bytes(), value] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
    }
    hexadecimal(context.sign().as_ref())
}

/// The text before the digest of a spec.
const SPEC_MARK: &str = " spec=";

/// The text before the digest of contents, after a version.
const CONTENTS_MARK: char = '~';

/// The words before the re-check, and the re-check, which may contain any words.
fn words(text: &str) -> (impl Iterator<Item = &str>, &str) {
    let end = text.find(RECHECK_MARK).unwrap_or(text.len());
    let (objects, recheck) = text.split_at_checked(end).unwrap_or((text, ""));
    (objects.split(' '), recheck)
}

/// The text without the versions of those objects of which it has the contents.
fn without_versions(text: &str) -> String {
    let (words, recheck) = words(text);
    let word = |word: &str| match (word.split_once('='), word.split_once(CONTENTS_MARK)) {
        (Some((object, _)), Some((_, contents))) => format!("{object}={contents}"),
        _ => word.to_owned(),
    };
    words.map(word).collect::<Vec<_>>().join(" ") + recheck
}

/// The text without the contents of those objects of which it has the versions.
fn without_contents(text: &str) -> String {
    let (words, recheck) = words(text);
    let word = |word: &str| word.split_once(CONTENTS_MARK).map_or(word, |(version, _)| version).to_owned();
    words.map(word).collect::<Vec<_>>().join(" ") + recheck
}

/// The words of a text about the object, its spec and its Secrets.
fn secrets(text: &str) -> Vec<String> {
    let text = without_versions(text);
    let starts = ["uid=", SPEC_MARK.trim_start(), "Secret/"];
    let is_meant = |word: &&str| starts.iter().any(|start| word.starts_with(start));
    words(&text).0.filter(is_meant).map(str::to_owned).collect()
}

/// The parts of a text about the spec and the re-check.
fn wishes(text: &str) -> (Option<&str>, &str) {
    let (mut words, recheck) = words(text);
    (words.find(|word| word.starts_with(SPEC_MARK.trim_start())), recheck)
}

/// How many digits the digest of a spec had in the previous release.
const EARLIER_DIGITS: usize = 16;

/// The text before and after the digest of a spec with this many digits.
fn without_spec(text: &str, digits: usize) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(SPEC_MARK)?;
    let (digest, after) = rest.split_at_checked(digits)?;
    let is_whole = digest.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_whole && (after.is_empty() || after.starts_with(' '))).then_some((before, after))
}

/// How many bytes of a digest are written: enough to tell two specs of one resource apart.
const DIGEST_BYTES: usize = 16;

/// The text before the value of the re-check annotation.
const RECHECK_MARK: &str = " recheck=";

/// The re-check for which the object asks, as text.
fn recheck<K: Kind>(object: &K) -> String {
    let value = object.annotations().get(RECHECK_ANNOTATION);
    value.map_or_else(String::new, |value| format!("{RECHECK_MARK}{}", quote(value)))
}

/// The text before the operator's version in [`CheckedInputs`].
const VERSION_MARK: &str = " operator=";

impl Display for CheckedInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{VERSION_MARK}{}", self.text, env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
impl From<&str> for CheckedInputs {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), generation: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::LdapConfig, engine::ReferenceSource};

    const DN: &str = "cn=w,dc=example,dc=org";

    fn object(recheck: Option<&str>, dn: &str) -> LdapConfig {
        let annotations = recheck.map(|value| BTreeMap::from([(RECHECK_ANNOTATION, value)]));
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "LdapConfig",
            "metadata": {"name": "corp", "uid": "1", "generation": 2, "annotations": annotations},
            "spec": {
                "address": "ldaps://ldap.example.org",
                "baseDN": "dc=example,dc=org",
                "bind": {"dn": dn, "passwordSecretRef": {"name": "ldap", "key": "password"}},
            },
        }))
        .unwrap()
    }

    fn objects(version: &str, password: &str) -> BTreeMap<ObjectKey, Fetched> {
        let data = [("password", password), ("other", version)];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
        let key = ObjectKey { source: ReferenceSource::Secret, name: "ldap".into() };
        BTreeMap::from([(key, Fetched::Found { version: version.into(), data })])
    }

    fn status(recorded: &CheckedInputs) -> Status {
        Status { checked_inputs: Some(recorded.to_string()), ..Status::default() }
    }

    #[test]
    fn only_what_is_used_of_an_object_counts() {
        let of = |recheck, dn, version, password| {
            CheckedInputs::of(&object(recheck, dn), &objects(version, password))
        };
        let before = status(&of(Some("a"), DN, "1.uid", "hunter2"));
        for (version, password, agrees) in [
            ("1.uid", "hunter2", true),
            ("2.uid", "hunter2", true),
            // The line break is dropped before the password is sent.
            ("2.uid", "hunter2\n", true),
            ("2.uid", "hunter3", false),
            ("1.uid", " hunter2", false),
            // Somebody who does not know the Secret's identifier cannot test passwords.
            ("1.other", "hunter2", false),
        ] {
            let now = of(Some("a"), DN, version, password);
            assert_eq!(now.agrees_with(&before), agrees, "{version} {password:?}");
            assert_eq!(now.agrees_with_own(&before), agrees, "{version} {password:?}");
            assert_eq!(now.has_credentials_of(&before), agrees, "{version} {password:?}");
            assert!(!now.is_asked_since(&before), "{version} {password:?}");
        }
        assert!(!before.checked_inputs.unwrap().contains("uid Secret"));
    }

    #[test]
    fn a_person_asks_by_another_spec_or_by_a_recheck() {
        let of = |recheck, dn| CheckedInputs::of(&object(recheck, dn), &objects("1.uid", "hunter2"));
        let before = status(&of(Some("a"), DN));
        for (recheck, dn, is_asked, has_credentials) in [
            (Some("a"), DN, false, true),
            (Some("b operator=1 Secret/x=1"), DN, true, true),
            (None, DN, true, true),
            (Some("a"), "cn=x,dc=example,dc=org", true, false),
        ] {
            let now = of(recheck, dn);
            assert_eq!(now.is_asked_since(&before), is_asked, "{recheck:?} {dn}");
            assert_eq!(now.has_credentials_of(&before), has_credentials, "{recheck:?} {dn}");
        }
        assert!(!of(None, DN).is_asked_since(&Status::default()), "nobody asked who comes first");
    }

    #[test]
    fn the_form_of_the_release_before_agrees_where_nothing_changed() {
        let object = object(Some("a"), DN);
        let inputs = CheckedInputs::of(&object, &objects("1", "hunter2"));
        let earlier = |digest: &str, version: &str, recheck: &str| {
            format!("uid=1 spec={digest} Secret/ldap={version}{recheck} operator=0.1.0")
        };
        let digest = "0123456789abcdef";
        for (recorded, generation, agrees) in [
            (inputs.to_string(), 1, true),
            (earlier(digest, "1", " recheck=a"), 2, true),
            (earlier(digest, "1", " recheck=a"), 1, false),
            (earlier(digest, "0", " recheck=a"), 2, false),
            (earlier(digest, "1", " recheck=b"), 2, false),
            (earlier(digest, "1", ""), 2, false),
            (earlier(&digest.repeat(2), "1", " recheck=a"), 2, false),
            (earlier("0123456789abcdeg", "1", " recheck=a"), 2, false),
        ] {
            let status = Status {
                checked_inputs: Some(recorded.clone()),
                observed_generation: Some(generation),
                ..Status::default()
            };
            assert_eq!(inputs.agrees_with(&status), agrees, "{recorded} {generation}");
        }
    }
}
