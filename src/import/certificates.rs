//! The certificates of authorities that an installation trusts, wherever it keeps them.

use std::collections::BTreeMap;

use crate::{
    engine::{Fetched, ObjectKey, Requirement},
    net::only_certificates,
};

/// Certificates of authorities, with their place and purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificates {
    /// For which connections the server trusts the certificates.
    pub purpose: TrustPurpose,
    /// The place of the certificates.
    pub place: CertificatePlace,
    /// Whether the certificates may be missing.
    pub need: Requirement,
}

/// For which connections certificates are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustPurpose {
    /// They are trusted for every connection.
    Everything,
    /// They are trusted only for connections to the directory.
    Directory,
}

/// The place of certificates.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificatePlace {
    /// These keys of an object contain them.
    Keys(ObjectKey, Vec<String>),
    /// All keys of an object contain them.
    Object(ObjectKey),
    /// The text itself contains them.
    Text(String),
}

/// An object, and one of its keys.
type ObjectEntry = (ObjectKey, String);

impl Certificates {
    pub(super) fn everything(place: CertificatePlace) -> Self {
        Self { purpose: TrustPurpose::Everything, place, need: Requirement::Required }
    }

    /// The object that contains the certificates, if they are in one.
    pub fn object(&self) -> Option<&ObjectKey> {
        match &self.place {
            CertificatePlace::Keys(object, _) | CertificatePlace::Object(object) => Some(object),
            CertificatePlace::Text(_) => None,
        }
    }

    /// The texts that contain certificates, each with its place and reduced to the certificates themselves.
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

/// The PEM text of all certificates of some purpose.
pub struct Authorities {
    /// All certificates; equal texts occur only once.
    pub pem: String,
    /// The object and key that contain all of the certificates, if there is such a key. A spec can then refer to
    /// it.
    pub only: Option<(ObjectKey, String)>,
}

impl Authorities {
    /// Reads the certificates; `None` if there are none.
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
