//! The numbers of a public key, and the verification of signatures with them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
        VerificationAlgorithm,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::KeyKind;

/// A public key in the form that verification needs.
pub(super) enum VerificationKey {
    /// An RSA key, with big-endian numbers without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A point on its elliptic curve, in uncompressed form (SEC 1 section 2.3.3).
    Point { bytes: Vec<u8>, parsed: ParsedPublicKey },
    /// A point of Ed25519 (RFC 8032 section 5.1.5).
    Ed25519 { bytes: Vec<u8> },
}

/// The shortest RSA key, and the greatest exponent, with which Go's crypto/rsa verifies.
const SHORTEST_RSA_BITS: u32 = 1024;
const GREATEST_EXPONENT: u64 = (1 << 31) - 1;

impl VerificationKey {
    /// An RSA key. Leading zeros of its numbers are dropped.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { modulus: without_zeros(modulus).to_vec(), exponent: without_zeros(exponent).to_vec() }
    }

    /// A point, or `None` if it is not on the curve.
    pub fn point(kind: KeyKind, x: &[u8], y: &[u8]) -> Option<Self> {
        // The first byte 4 marks the uncompressed form (SEC 1 section 2.3.3).
        let bytes = [&[4], x, y].concat();
        let parsed = ParsedPublicKey::new(curve(kind)?, &bytes).ok()?;
        Some(Self::Point { bytes, parsed })
    }

    /// A point of Ed25519, or `None` if anybody could make signatures that it verifies.
    pub fn ed25519(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == 32 && !is_low_order(&bytes)).then_some(Self::Ed25519 { bytes })
    }

    /// The bytes of the key, as certificates contain them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Rsa { modulus, .. } => modulus,
            Self::Point { bytes, .. } | Self::Ed25519 { bytes } => bytes,
        }
    }

    /// The length of the modulus of an RSA key, in bits; 0 for other keys.
    pub fn bits(&self) -> u32 {
        let Self::Rsa { modulus, .. } = self else { return 0 };
        let first = modulus.first().map_or(0, |byte| 8 - byte.leading_zeros());
        let further = u32::try_from(modulus.len().saturating_sub(1)).unwrap_or(u32::MAX);
        first.saturating_add(further.saturating_mul(8))
    }

    /// The exponent of an RSA key, if it has at most 63 bits.
    pub fn exponent(&self) -> Option<u64> {
        let Self::Rsa { exponent, .. } = self else { return None };
        let number = exponent
            .iter()
            .try_fold(0_u64, |number, byte| number.checked_mul(256).map(|number| number | u64::from(*byte)));
        number.filter(|number| i64::try_from(*number).is_ok())
    }

    /// Whether Go's libraries can verify any signature with the key.
    pub fn can_verify(&self) -> bool {
        let Self::Rsa { modulus, .. } = self else { return true };
        let is_odd = |number: u64| number % 2 == 1;
        self.bits() >= SHORTEST_RSA_BITS
            && modulus.last().is_some_and(|byte| is_odd(u64::from(*byte)))
            && self.exponent().is_some_and(|exponent| is_odd(exponent) && exponent <= GREATEST_EXPONENT)
    }

    /// Whether the key made the signature.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|parameters| {
                let key = PublicKeyComponents { n: modulus.as_slice(), e: exponent.as_slice() };
                key.verify(parameters, message, signature).is_ok()
            }),
            Self::Point { parsed, .. } => parsed.verify_sig(message, signature).is_ok(),
            Self::Ed25519 { bytes } => ED25519.verify_sig(bytes, message, signature).is_ok(),
        }
    }

    /// The thumbprint of the key (RFC 7638).
    pub fn thumbprint(&self, kind: KeyKind) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key_type = kind.key_type();
        // RFC 7638 requires the members in the order of their names, which is how `serde_json` writes them.
        let members = match self {
            Self::Rsa { modulus, exponent } => {
                json!({ "e": encode(exponent), "kty": key_type, "n": encode(modulus) })
            }
            Self::Point { bytes, .. } => {
                let coordinates = bytes.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                json!({ "crv": curve_name(kind), "kty": key_type, "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519 { bytes } => {
                json!({ "crv": curve_name(kind), "kty": key_type, "x": encode(bytes) })
            }
        };
        encode(digest(&SHA256, members.to_string().as_bytes()).as_ref())
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn curve(kind: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match kind {
        KeyKind::P256 => &ECDSA_P256_SHA256_FIXED,
        KeyKind::P384 => &ECDSA_P384_SHA384_FIXED,
        KeyKind::P521 => &ECDSA_P521_SHA512_FIXED,
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => return None,
    })
}

fn curve_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P256 => "P-256",
        KeyKind::P384 => "P-384",
        KeyKind::P521 => "P-521",
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => "Ed25519",
    }
}

/// The big-endian number without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether the Ed25519 point has a low order, so that signatures for it can be made without a private key. go-jose
/// refuses these points in each of their encodings.
fn is_low_order(point: &[u8]) -> bool {
    const ORDER_EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    // The highest bit of the last byte is the sign of the other coordinate, so it is ignored.
    let Some((last, rest)) = point.split_last() else { return false };
    let last = last & 0x7f;
    let Some((first, middle)) = rest.split_first() else { return false };
    let all = |expected: u8| middle.iter().all(|byte| *byte == expected);
    let is_order_eight =
        ORDER_EIGHT.iter().any(|known| known.starts_with(rest) && known.last() == Some(&last));
    // These are the encodings of 0 and 1, and those of -1, 0 and 1 with the field's prime added.
    is_order_eight
        || (last == 0 && all(0) && *first <= 1)
        || (last == 0x7f && all(0xff) && (0xec..=0xee).contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bits_without_leading_zeros() {
        for (number, expected) in [
            (&[][..], 0),
            (&[0], 0),
            (&[1], 1),
            (&[0xff], 8),
            (&[1, 0], 9),
            (&[0, 0xff, 0], 16),
            (&[0x80, 0, 0], 24),
        ] {
            assert_eq!(VerificationKey::rsa(number, &[]).bits(), expected, "{number:?}");
        }
    }

    #[test]
    fn reads_exponents() {
        for (bytes, expected) in [
            (&[1, 0, 1][..], Some(65537)),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 3], Some(3)),
            (&[], Some(0)),
            (&[0x7f; 8], Some(0x7f7f_7f7f_7f7f_7f7f)),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0], None),
            (&[1; 9], None),
        ] {
            assert_eq!(VerificationKey::rsa(&[], bytes).exponent(), expected, "{bytes:?}");
        }
    }
}
