//! Which of the issuer's keys are trusted.

use std::fmt;

use crate::{
    api::jwt_issuer::{Algorithm, KeyPolicy},
    issuer::{Key, KeyKind, KeySet, Purpose},
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
pub enum Misfit {
    /// It is not for signatures.
    Purpose,
    /// It is too short.
    Weak {
        /// The fewest bits.
        minimum: u32,
    },
    /// It is longer than W&B Server's and this operator's libraries read.
    TooLong,
    /// It is for algorithms that are not accepted.
    Algorithm,
}

/// The longest RSA key that verifies signatures here.
const LONGEST_RSA_BITS: u32 = 8192;

impl TrustedKeys<'_> {
    /// Why the key is not trusted, if it is not.
    pub fn misfit(&self, key: &Key) -> Option<Misfit> {
        let minimum = self.policy.minimum_rsa_bits;
        match (key.purpose, key.kind) {
            (Purpose::Encryption | Purpose::Other, _) => Some(Misfit::Purpose),
            (Purpose::Signatures, KeyKind::Rsa { bits }) if bits < minimum => Some(Misfit::Weak { minimum }),
            (Purpose::Signatures, KeyKind::Rsa { bits }) if bits > LONGEST_RSA_BITS => Some(Misfit::TooLong),
            (Purpose::Signatures, _) => {
                let is_named = |algorithm: &Algorithm| key.is_for(&algorithm.to_string());
                (!self.policy.algorithms.iter().any(is_named)).then_some(Misfit::Algorithm)
            }
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Purpose => f.write_str("is not for signatures"),
            Self::Weak { minimum } => write!(f, "is shorter than {minimum} bits"),
            Self::TooLong => write!(f, "is longer than {LONGEST_RSA_BITS} bits"),
            Self::Algorithm => f.write_str("is for none of the accepted algorithms"),
        }
    }
}
