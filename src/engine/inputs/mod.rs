//! Resolves the references of a spec to values, and cleans and judges them. In reading order: `references` (where
//! references lead, and reading those objects), `resolve` (the step in a run), this module (from objects to values),
//! `secret_value` (values that look like a mistake), `validate` (whether a spec makes sense by itself), and
//! `fingerprint` (the identity of inputs across processes).

pub(super) mod fingerprint;
pub(super) mod references;
pub(super) mod resolve;
pub(super) mod secret_value;
pub(super) mod validate;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use self::references::{Fetched, FoundResource, ObjectKey, Reference, ReferenceSource, Requirement};
use self::secret_value::{Flaw, Look};
use super::plan::checked;
use crate::{
    api::{RECHECK_ANNOTATION, Reason},
    net::{BundleFault, BundleReading, CaBundle, Trust},
    problem::Problem,
    sensitive::{Redactor, Sensitive},
    similar::likeness,
};

/// The values to which a spec refers, judged and cleaned.
pub struct Inputs {
    values: Vec<(Reference, Sensitive)>,
    resources: Vec<(Cow<'static, str>, FoundResource)>,
    /// Remarks on values that were read, such as a line break that was dropped.
    pub remarks: Vec<Problem>,
    /// The CA bundle, if the spec has one.
    pub ca_bundle: Option<CaBundle>,
    /// The system's authorities together with those of the CA bundle.
    pub trust: Trust,
}

impl Inputs {
    /// Looks up every reference. The problem has the reason of the first fault, and a message about all of them.
    /// `is_vouched_for` says whether a value may be used although it looks like a mistake.
    pub fn resolve(
        references: &[Reference],
        ca_bundle: Option<&Reference>,
        objects: &BTreeMap<ObjectKey, Fetched>,
        system_trust: &Trust,
        is_vouched_for: impl Fn(&Sensitive) -> bool,
    ) -> Result<Self, Problem> {
        let mut problems = Vec::new();
        let mut values = Vec::new();
        let mut resources = Vec::new();
        let mut remarks = Vec::new();
        for reference in references {
            if let Some(Fetched::Resource(found)) = objects.get(&reference.object()) {
                resources.push((reference.field.clone(), FoundResource::clone(found)));
                continue;
            }
            match look_up(reference, objects).and_then(|bytes| text(reference, bytes)) {
                Ok(raw) => {
                    let (value, remark) = clean(reference, raw);
                    match judge(reference, &value, &is_vouched_for) {
                        Ok(doubt) => remarks.extend(remark.into_iter().chain(doubt)),
                        Err(problem) => problems.push(problem),
                    }
                    values.push((reference.clone(), value));
                }
                Err(problem) if reference.need == Requirement::Optional && problem.reason.is_absence() => {}
                Err(problem) => problems.push(problem),
            }
        }
        let mut trust = system_trust.clone();
        let mut bundle = None;
        if let Some(reference) = ca_bundle {
            let parsed = look_up(reference, objects)
                .and_then(|bytes| CaBundle::parse(bytes).map_err(|fault| invalid_bundle(reference, &fault)));
            match parsed {
                Ok(BundleReading { bundle: parsed, passed_over }) => {
                    remarks.extend(partly_read(reference, &passed_over));
                    trust = system_trust.with_bundle(&parsed);
                    bundle = Some(parsed);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let Some(first) = problems.first() else {
            return Ok(Self { values, resources, remarks, ca_bundle: bundle, trust });
        };
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Err(Problem::new(first.reason, messages.join(" ")))
    }

    /// The value to which this field of the spec refers.
    pub fn get(&self, field: &str) -> Option<&Sensitive> {
        self.values.iter().find(|(reference, _)| reference.field == field).map(|(_, value)| value)
    }

    /// Where the value that a field of the spec refers to is, as messages name it after "the key".
    pub fn location(&self, field: &str) -> Option<String> {
        let (reference, _) = self.values.iter().find(|(reference, _)| reference.field == field)?;
        let Reference { source, name, key, .. } = reference;
        Some(format!("\"{key}\" of the {} \"{name}\" ({field})", source.kind()))
    }

    /// The custom resource that a field of the spec refers to.
    pub fn resource(&self, field: &str) -> Option<&FoundResource> {
        self.resources.iter().find(|(at, _)| *at == field).map(|(_, found)| found)
    }

    /// Which of the referenced custom resources are verified. A change leads to new checks, but does not count as
    /// other inputs.
    pub(super) fn dependency_readiness(&self) -> Vec<bool> {
        let is_verified = |(_, found): &(_, FoundResource)| found.is_verified();
        self.resources.iter().map(is_verified).collect()
    }

    /// Every value that was read.
    pub fn secrets(&self) -> impl Iterator<Item = &Sensitive> {
        self.values.iter().map(|(_, value)| value)
    }

    /// A redactor that removes every value of this run from texts.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.secrets().cloned())
    }
}

impl Hash for Inputs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (reference, value) in &self.values {
            reference.field.hash(state);
            value.expose().hash(state);
        }
        for (field, found) in &self.resources {
            field.hash(state);
            checked(found.spec.clone()).to_string().hash(state);
        }
        self.ca_bundle.hash(state);
        // Remarks count as inputs, because a certificate that is left out of a bundle changes what people must
        // know, although it changes no published value.
        for remark in &self.remarks {
            remark.message.hash(state);
        }
    }
}

fn look_up<'a>(
    reference: &Reference,
    objects: &'a BTreeMap<ObjectKey, Fetched>,
) -> Result<&'a [u8], Problem> {
    let Reference { source, name, key, field, .. } = reference;
    let kind = source.kind();
    let data = match objects.get(&reference.object()) {
        Some(Fetched::Found { data, .. }) => data,
        Some(Fetched::Forbidden) => {
            return Err(Problem::new(
                Reason::Forbidden,
                format!(
                    "The operator is not allowed to read the {kind} \"{name}\" ({field}). Give its service account the verb get on it."
                ),
            ));
        }
        missing @ (Some(Fetched::Missing { .. } | Fetched::Resource(_)) | None) => {
            let hint = hint(missing);
            let reason = match source {
                ReferenceSource::Secret => Reason::SecretNotFound,
                ReferenceSource::ConfigMap => Reason::ConfigMapNotFound,
                ReferenceSource::Neighbour(_) => {
                    return Err(Problem::new(
                        Reason::ResourceNotFound,
                        format!(
                            "There is no {kind} \"{name}\" in this namespace ({field}){hint}. Create it, or correct the reference."
                        ),
                    ));
                }
            };
            return Err(Problem::new(
                reason,
                format!(
                    "There is no {kind} \"{name}\" in this namespace ({field}){hint}. Create it with the key \"{key}\", or correct the reference."
                ),
            ));
        }
    };
    match data.get(key) {
        None => Err(Problem::new(
            Reason::KeyNotFound,
            format!(
                "The {kind} \"{name}\" has no key \"{key}\" ({field}); it has {}. Add that key, or correct the reference.",
                list_keys(data, key)
            ),
        )),
        Some(value) if value.iter().all(u8::is_ascii_whitespace) => Err(Problem::new(
            Reason::EmptyValue,
            format!("The key \"{key}\" of the {kind} \"{name}\" is empty ({field}). Put the value into it."),
        )),
        Some(value) => Ok(value),
    }
}

/// Which name may have been meant.
fn hint(missing: Option<&Fetched>) -> String {
    match missing {
        Some(Fetched::Missing { similar: Some(name) }) => format!("; there is \"{name}\""),
        _ => String::new(),
    }
}

fn invalid_bundle(reference: &Reference, fault: &BundleFault) -> Problem {
    let Reference { source, name, key, field, .. } = reference;
    let BundleFault { seen, advice } = fault;
    Problem::new(
        Reason::InvalidCABundle,
        format!("The key \"{key}\" of the {} \"{name}\" {seen} ({field}). {advice}", source.kind()),
    )
}

/// The remark that W&B Server cannot read a part of the bundle. That part is not published, and somebody may rely
/// on it.
fn partly_read(reference: &Reference, passed_over: &[String]) -> Option<Problem> {
    let Reference { source, name, key, .. } = reference;
    (!passed_over.is_empty()).then(|| {
        Problem::new(
            Reason::BundlePartlyRead,
            format!(
                "Not everything in the key \"{key}\" of the {} \"{name}\" is a certificate that W&B Server can read, and the rest was left out: {}. Correct it if it is needed, or remove it.",
                source.kind(),
                passed_over.join("; ")
            ),
        )
    })
}

/// The most keys of an object that a message shows.
const KEYS: usize = 10;

/// The keys of an object, those that are most like the wanted one first.
fn list_keys(data: &BTreeMap<String, Vec<u8>>, wanted: &str) -> String {
    if data.is_empty() {
        return "none".to_owned();
    }
    let mut keys: Vec<_> = data.keys().collect();
    keys.sort_by(|one, other| likeness(other, wanted).total_cmp(&likeness(one, wanted)));
    let shown: Vec<_> = keys.iter().take(KEYS).map(|key| format!("\"{key}\"")).collect();
    let more = if keys.len() > KEYS { " and more" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn text(reference: &Reference, bytes: &[u8]) -> Result<String, Problem> {
    String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.contains('\0')).ok_or_else(|| {
        Problem::new(
            Reason::InvalidValue,
            format!(
                "The key \"{}\" of the {} \"{}\" is not text ({}). Store it as UTF-8 without zero bytes, and encoded only once.",
                reference.key,
                reference.source.kind(),
                reference.name,
                reference.field
            ),
        )
    })
}

/// Refuses a value that is certainly a mistake, before it is sent once. Returns a remark on a value that may be a
/// mistake.
fn judge(
    reference: &Reference,
    value: &Sensitive,
    is_vouched_for: impl Fn(&Sensitive) -> bool,
) -> Result<Option<Problem>, Problem> {
    let Reference { name, key, field, .. } = reference;
    let subject = format!("The value of the key \"{key}\" of the Secret \"{name}\" ({field})");
    match secret_value::look(value.expose()) {
        Look::Sound => Ok(None),
        Look::Wrong(Flaw { seen, remedy }) if !is_vouched_for(value) => Err(Problem::new(
            Reason::InvalidValue,
            format!(
                "{subject} {seen}, so it is not sent: a wrong one may lock the account. {remedy} If it is right as it is, give the annotation {RECHECK_ANNOTATION} a new value: then it is tried once, and kept if it works."
            ),
        )),
        Look::Wrong(Flaw { seen, remedy }) | Look::Doubtful(Flaw { seen, remedy }) => {
            Ok(Some(Problem::new(Reason::DoubtfulValue, format!("{subject} {seen}. {remedy}"))))
        }
    }
}

/// The contents of a key without one line break at the end, which is the form in which they are used.
pub(super) fn without_line_break(raw: &[u8]) -> &[u8] {
    let line = raw.strip_suffix(b"\n");
    line.map_or(raw, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Removes one line break at the end, which editors and `echo` add, and warns about other white space.
fn clean(reference: &Reference, mut raw: String) -> (Sensitive, Option<Problem>) {
    let Reference { name, key, .. } = reference;
    let before = raw.len();
    raw.truncate(without_line_break(raw.as_bytes()).len());
    let remark = if raw.trim().len() != raw.len() {
        Some(Problem::new(
            Reason::SurroundingWhitespace,
            format!(
                "The key \"{key}\" of the Secret \"{name}\" begins or ends with white space, which was kept. Remove it if it is not part of the value."
            ),
        ))
    } else if raw.len() != before {
        Some(Problem::new(
            Reason::TrailingNewline,
            format!(
                "The line break at the end of the key \"{key}\" of the Secret \"{name}\" was dropped. Store the value without it, for example with printf instead of echo."
            ),
        ))
    } else {
        None
    };
    (Sensitive::from(raw), remark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KeyReference;

    const FIELD: &str = "spec.bind.passwordSecretRef";

    fn reference() -> Reference {
        Reference::secret(&KeyReference { name: "ldap".into(), key: "password".into() }, FIELD)
    }

    fn resolve(fetched: Fetched) -> Result<Inputs, Problem> {
        let objects = BTreeMap::from([(reference().object(), fetched)]);
        let trust = Trust::empty();
        Inputs::resolve(&[reference()], None, &objects, &trust, |_| false)
    }

    fn found(key: &str, value: &[u8]) -> Fetched {
        Fetched::Found { version: "1".into(), data: BTreeMap::from([(key.to_owned(), value.to_vec())]) }
    }

    #[test]
    fn every_way_a_reference_can_fail_has_its_reason() {
        for (fetched, reason) in [
            (Fetched::Missing { similar: None }, Reason::SecretNotFound),
            (Fetched::Forbidden, Reason::Forbidden),
            (found("pasword", b"x"), Reason::KeyNotFound),
            (found("password", b""), Reason::EmptyValue),
            (found("password", b" \n"), Reason::EmptyValue),
            (found("password", b"\xff"), Reason::InvalidValue),
            (found("password", b"a\0b"), Reason::InvalidValue),
        ] {
            let problem = resolve(fetched).err().unwrap();
            assert_eq!(problem.reason, reason);
            assert!(problem.message.contains(FIELD), "{}", problem.message);
        }
    }

    #[test]
    fn a_misspelling_is_told_what_may_have_been_meant() {
        let missing = |similar: Option<&str>| Fetched::Missing { similar: similar.map(str::to_owned) };
        let mut many: BTreeMap<_, _> =
            (0..12).map(|number| (format!("a{number:02}"), b"x".to_vec())).collect();
        many.insert("passwort".to_owned(), b"secret".to_vec());
        for (fetched, words, absent) in [
            (
                missing(Some("ldap-bind")),
                "There is no Secret \"ldap\" in this namespace (spec.bind.passwordSecretRef); there is \"ldap-bind\". Create it with the key \"password\", or correct the reference.",
                "has no key",
            ),
            (missing(None), "(spec.bind.passwordSecretRef). Create it", "there is \""),
            (
                found("pass", b"secret"),
                "it has \"pass\". Add that key, or correct the reference.",
                "secret\"",
            ),
            (Fetched::Found { version: "1".into(), data: many }, "it has \"passwort\", \"a00\"", "a11"),
        ] {
            let message = resolve(fetched).err().unwrap().message;
            assert!(message.contains(words) && !message.contains(absent), "{message}");
        }
    }

    #[test]
    fn a_bundle_holds_certificates_only() {
        let bundle = KeyReference { name: "ca".into(), key: "ca.crt".into() };
        let reference = Reference { field: "spec.tls.caBundle".into(), ..Reference::secret(&bundle, FIELD) };
        let resolve = |text: &str| {
            let objects = BTreeMap::from([(reference.object(), found("ca.crt", text.as_bytes()))]);
            Inputs::resolve(&[], Some(&reference), &objects, &Trust::empty(), |_| false)
        };
        let authority = test_support::CertificateAuthority::new("one").unwrap();
        let pem = authority.certificate_pem();
        let clean = resolve(&format!("One:\n{pem}")).ok().unwrap();
        assert!(clean.remarks.is_empty());
        assert_eq!(clean.ca_bundle.unwrap().pem(), pem);

        let partly = resolve(&format!("{pem}  {pem}")).ok().unwrap();
        assert_eq!(partly.remarks.first().unwrap().reason, Reason::BundlePartlyRead);
        let message = &partly.remarks.first().unwrap().message;
        assert!(message.contains("is indented") && message.contains("Secret \"ca\""), "{message}");

        let key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
        for (text, words) in [
            (format!("{pem}{key}"), "holds a private key (line "),
            (format!("{}{pem}", pem.trim_end()), "put a line break between them"),
            ("see the wiki".to_owned(), "holds no certificate (spec.tls.caBundle)"),
        ] {
            let problem = resolve(&text).err().unwrap();
            assert_eq!(problem.reason, Reason::InvalidCABundle);
            assert!(problem.message.contains(words), "{}", problem.message);
            assert!(!problem.message.contains("c2VjcmV0"));
        }
    }

    #[test]
    fn what_is_not_the_value_is_never_shown() {
        for (value, reason) in
            [("aHVudGVyMg==", Reason::InvalidValue), ("hunt\u{200b}er2", Reason::InvalidValue)]
        {
            let problem = resolve(found("password", value.as_bytes())).err().unwrap();
            assert_eq!(problem.reason, reason);
            assert!(
                !problem.message.contains("hun") && !problem.message.contains("aHV"),
                "{}",
                problem.message
            );
        }
        let inputs = resolve(found("password", b"c2VjcmV0")).ok().unwrap();
        assert_eq!(inputs.remarks.first().map(|remark| remark.reason), Some(Reason::DoubtfulValue));
    }

    #[test]
    fn cleans_one_line_break_and_nothing_else() {
        for (raw, clean, remark) in [
            ("pw", "pw", None),
            ("pw\n", "pw", Some(Reason::TrailingNewline)),
            ("pw\r\n", "pw", Some(Reason::TrailingNewline)),
            ("pw\n\n", "pw\n", Some(Reason::SurroundingWhitespace)),
            (" pw", " pw", Some(Reason::SurroundingWhitespace)),
        ] {
            let inputs = resolve(found("password", raw.as_bytes())).ok().unwrap();
            assert_eq!(inputs.get(FIELD).unwrap().expose(), clean);
            assert_eq!(inputs.remarks.first().map(|remark| remark.reason), remark);
        }
    }
}
