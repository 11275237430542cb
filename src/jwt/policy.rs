//! Decides which of the issuer's keys are trusted.

use std::fmt;

use crate::{
    api::jwt_issuer::{Algorithm, KeyPolicy},
    issuer::{Key, KeyKind, KeySet},
};

/// The published keys, with the requirements of the spec.
#[derive(Clone, Copy)]
pub struct TrustedKeys<'a> {
    /// The keys that the issuer publishes.
    pub set: &'a KeySet,
    /// The requirements in `spec.keys`.
    pub policy: &'a KeyPolicy,
}

/// Why a published key is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRejection {
    /// The key is too short.
    Weak {
        /// The required length, in bits.
        minimum: u32,
    },
    /// The type of the key is not suitable for any accepted algorithm.
    Algorithm,
}

impl TrustedKeys<'_> {
    /// Why the key is not trusted, or `None` if it is. The use that the key declares does not matter, because W&B
    /// Server ignores it.
    pub fn misfit(&self, key: &Key) -> Option<KeyRejection> {
        let minimum = self.policy.minimum_rsa_bits;
        if matches!(key.kind, KeyKind::Rsa { bits } if bits < minimum) {
            return Some(KeyRejection::Weak { minimum });
        }
        let is_named = |algorithm: &Algorithm| key.is_for(&algorithm.to_string());
        (!self.policy.algorithms.iter().any(is_named)).then_some(KeyRejection::Algorithm)
    }

    /// The names of the accepted algorithms, as tokens contain them.
    pub fn algorithms(&self) -> Vec<String> {
        self.policy.algorithms.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for KeyRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weak { minimum } => write!(f, "is shorter than {minimum} bits"),
            Self::Algorithm => f.write_str("is for none of the accepted algorithms"),
        }
    }
}
