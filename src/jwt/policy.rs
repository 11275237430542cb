//! Which of the issuer's keys are trusted.

use std::fmt;

use crate::{
    api::jwt_issuer::{Algorithm, KeyPolicy},
    issuer::{Key, KeyKind, KeySet},
};

/// The published keys, and what the spec asks of them.
#[derive(Clone, Copy)]
pub struct TrustedKeys<'a> {
    /// What the issuer publishes.
    pub set: &'a KeySet,
    /// `spec.keys`.
    pub policy: &'a KeyPolicy,
}

/// Why a published key is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRejection {
    /// It is too short.
    Weak {
        /// The fewest bits.
        minimum: u32,
    },
    /// Its type is for algorithms that are not accepted.
    Algorithm,
}

impl TrustedKeys<'_> {
    /// Why the key is not trusted, if it is not. What the key says of its own use does not count for W&B Server.
    pub fn misfit(&self, key: &Key) -> Option<KeyRejection> {
        let minimum = self.policy.minimum_rsa_bits;
        if matches!(key.kind, KeyKind::Rsa { bits } if bits < minimum) {
            return Some(KeyRejection::Weak { minimum });
        }
        let is_named = |algorithm: &Algorithm| key.is_for(&algorithm.to_string());
        (!self.policy.algorithms.iter().any(is_named)).then_some(KeyRejection::Algorithm)
    }

    /// The accepted algorithms as tokens name them.
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
