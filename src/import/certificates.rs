//! Certificates of authorities, where an installation keeps them.

use std::collections::BTreeMap;

use crate::{
    engine::{Fetched, ObjectKey, Requirement},
    net::only_certificates,
};

/// Where certificates of authorities stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificates {
    /// What the server trusts them for.
    pub purpose: TrustPurpose,
    /// Where they are.
    pub place: CertificatePlace,
    /// What their absence means.
    pub need: Requirement,
}

/// What certificates are trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustPurpose {
    /// Every connection.
    Everything,
    /// The directory alone.
    Directory,
}

/// Where certificates are.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificatePlace {
    /// In these keys of an object.
    Keys(ObjectKey, Vec<String>),
    /// In every key of an object.
    Object(ObjectKey),
    /// In this text.
    Text(String),
}

/// A key of an object.
type ObjectEntry = (ObjectKey, String);

impl Certificates {
    pub(super) fn everything(place: CertificatePlace) -> Self {
        Self { purpose: TrustPurpose::Everything, place, need: Requirement::Required }
    }

    /// The object that holds them.
    pub fn object(&self) -> Option<&ObjectKey> {
        match &self.place {
            CertificatePlace::Keys(object, _) | CertificatePlace::Object(object) => Some(object),
            CertificatePlace::Text(_) => None,
        }
    }

    /// Each text with certificates, without anything else, and the key that holds it.
    pub(super) fn texts(&self, objects: &BTreeMap<ObjectKey, Fetched>) -> Vec<(Option<ObjectEntry>, String)> {
        let of = |object: &ObjectKey, is_meant: &dyn Fn(&String) -> bool| {
            let Some(Fetched::Found { data, .. }) = objects.get(object) else { return Vec::new() };
            let meant = data.iter().filter(|(key, _)| is_meant(key));
            meant
                .map(|(key, bytes)| {
                    (Some((object.clone(), key.clone())), String::from_utf8_lossy(bytes).into_owned())
                })
                .collect()
        };
        let texts = match &self.place {
            CertificatePlace::Text(text) => vec![(None, text.clone())],
            CertificatePlace::Object(object) => of(object, &|_| true),
            CertificatePlace::Keys(object, keys) => of(object, &|key| keys.contains(key)),
        };
        let certificates = texts.into_iter().map(|(key, text)| (key, only_certificates(&text)));
        certificates.filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// The PEM text of every certificate, with the one key that holds them all, where there is one.
pub struct Authorities {
    /// The certificates, each text once.
    pub pem: String,
    /// The key of the object that holds all of them, where there is one such.
    pub only: Option<(ObjectKey, String)>,
}

impl Authorities {
    /// Reads them; nothing where there is none.
    pub fn read<'a>(
        certificates: impl IntoIterator<Item = &'a Certificates>,
        objects: &BTreeMap<ObjectKey, Fetched>,
    ) -> Option<Self> {
        let texts: Vec<_> =
            certificates.into_iter().flat_map(|certificates| certificates.texts(objects)).collect();
        let mut distinct: Vec<&str> = Vec::new();
        for (_, text) in &texts {
            if !distinct.contains(&text.as_str()) {
                distinct.push(text);
            }
        }
        let only = match (texts.as_slice(), distinct.len()) {
            ([(key, _), ..], 1) => key.clone(),
            _ => None,
        };
        (!distinct.is_empty()).then(|| Self { pem: distinct.concat(), only })
    }
}
