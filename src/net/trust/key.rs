//! Reads the public keys of certificates, and verifies signatures as Go does.

use aws_lc_rs::signature as aws;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey, sha2};
use x509_parser::{
    asn1_rs::{Oid, Tag, oid},
    signature_algorithm::RsaSsaPssParams,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// The smallest RSA key, in bits, with which Go verifies.
const SMALLEST_RSA: usize = 1024;
/// The largest RSA key, in bits, that Go's TLS accepts from a server, and that aws-lc-rs accepts at all.
pub(super) const LARGEST_RSA: usize = 8192;
/// The smallest RSA key, in bits, that is not weak by today's rules, and that aws-lc-rs accepts.
pub(super) const COMMON_RSA: usize = 2048;

/// A public key of one of the kinds that Go knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa(RsaKey),
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    /// A kind of key that Go reads but cannot verify signatures with.
    Other,
}

/// An RSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// The modulus and exponent in the encoding of PKCS #1.
    der: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P224,
    P256,
    P384,
    P521,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
    /// It is so weak that nobody accepts it.
    Broken(&'static str),
    Unknown,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureFault {
    Wrong,
    Broken(&'static str),
    ShortKey(usize),
    Unsupported,
}

const RSA: Oid<'_> = oid!(1.2.840.113549.1.1.1);
const EC: Oid<'_> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'_> = oid!(1.3.101.112);
/// The first byte of a point that is not compressed (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
const MGF1: Oid<'_> = oid!(1.2.840.113549.1.1.8);
const CURVES: [(Oid<'_>, Curve); 4] = [
    (oid!(1.3.132.0.33), Curve::P224),
    (oid!(1.2.840.10045.3.1.7), Curve::P256),
    (oid!(1.3.132.0.34), Curve::P384),
    (oid!(1.3.132.0.35), Curve::P521),
];
const HASHES: [(Oid<'_>, Hash, u32); 3] = [
    (oid!(2.16.840.1.101.3.4.2.1), Hash::Sha256, 32),
    (oid!(2.16.840.1.101.3.4.2.2), Hash::Sha384, 48),
    (oid!(2.16.840.1.101.3.4.2.3), Hash::Sha512, 64),
];
const PSS: Oid<'_> = oid!(1.2.840.113549.1.1.10);
const SIGNATURES: [(Oid<'_>, SignatureAlgorithm); 12] = [
    (oid!(1.2.840.113549.1.1.4), SignatureAlgorithm::Broken("MD5")),
    (oid!(1.2.840.113549.1.1.5), SignatureAlgorithm::Broken("SHA-1")),
    (oid!(1.3.14.3.2.29), SignatureAlgorithm::Broken("SHA-1")),
    (oid!(1.2.840.10045.4.1), SignatureAlgorithm::Broken("SHA-1")),
    (oid!(1.2.840.10040.4.3), SignatureAlgorithm::Broken("DSA with SHA-1")),
    (oid!(1.2.840.113549.1.1.11), SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
    (oid!(1.2.840.113549.1.1.12), SignatureAlgorithm::RsaPkcs1(Hash::Sha384)),
    (oid!(1.2.840.113549.1.1.13), SignatureAlgorithm::RsaPkcs1(Hash::Sha512)),
    (oid!(1.2.840.10045.4.3.2), SignatureAlgorithm::Ecdsa(Hash::Sha256)),
    (oid!(1.2.840.10045.4.3.3), SignatureAlgorithm::Ecdsa(Hash::Sha384)),
    (oid!(1.2.840.10045.4.3.4), SignatureAlgorithm::Ecdsa(Hash::Sha512)),
    (ED25519, SignatureAlgorithm::Ed25519),
];

impl PublicKey {
    /// Reads a key. The error says why Go cannot read a certificate with it.
    pub fn read(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, &'static str> {
        let AlgorithmIdentifier { algorithm, parameters } = &info.algorithm;
        let data = info.subject_public_key.data.as_ref();
        if *algorithm == RSA {
            if parameters.as_ref().is_none_or(|any| any.tag() != Tag::Null) {
                return Err("its RSA key lacks the NULL that belongs into the parameters");
            }
            return rsa_key(info, data).map(Self::Rsa);
        }
        if *algorithm == EC {
            let named = parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = CURVES.into_iter().find(|(oid, _)| named.as_ref() == Some(oid));
            let (_, curve) = curve.ok_or("its key is on an elliptic curve that Go does not know")?;
            // Go does not read compressed points.
            if data.first() != Some(&UNCOMPRESSED) {
                return Err("its key is not an uncompressed point of its elliptic curve");
            }
            let algorithm = curve.algorithm(Hash::Sha256);
            if algorithm.is_some_and(|algorithm| aws::ParsedPublicKey::new(algorithm, data).is_err()) {
                return Err("its key is no point of its elliptic curve");
            }
            return Ok(Self::Ec(curve, data.to_vec()));
        }
        if *algorithm == ED25519 {
            if parameters.is_some() || data.len() != 32 {
                return Err("its Ed25519 key is malformed");
            }
            return Ok(Self::Ed25519(data.to_vec()));
        }
        Ok(Self::Other)
    }

    /// The length of an RSA key in bits.
    pub fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa(key) => Some(key.bits()),
            _ => None,
        }
    }

    /// Why no signature of this key can be verified, whatever the algorithm.
    pub fn fault(&self) -> Option<SignatureFault> {
        match self {
            Self::Rsa(key) if key.bits() < SMALLEST_RSA => Some(SignatureFault::ShortKey(key.bits())),
            Self::Other | Self::Ec(Curve::P224, _) => Some(SignatureFault::Unsupported),
            _ => None,
        }
    }

    /// Verifies a signature.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        if let SignatureAlgorithm::Broken(name) = algorithm {
            return Err(SignatureFault::Broken(name));
        }
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        match (self, algorithm) {
            (_, SignatureAlgorithm::Unknown) => Err(SignatureFault::Unsupported),
            (Self::Rsa(key), SignatureAlgorithm::RsaPkcs1(hash)) => {
                key.verify(Padding::Pkcs1, hash, message, signature)
            }
            (Self::Rsa(key), SignatureAlgorithm::RsaPss(hash)) => {
                key.verify(Padding::Pss, hash, message, signature)
            }
            (Self::Ec(curve, point), SignatureAlgorithm::Ecdsa(hash)) => {
                let algorithm = curve.algorithm(hash).ok_or(SignatureFault::Unsupported)?;
                check(algorithm, point, message, signature)
            }
            (Self::Ed25519(key), SignatureAlgorithm::Ed25519) => {
                check(&aws::ED25519, key, message, signature)
            }
            _ => Err(SignatureFault::Wrong),
        }
    }
}

fn check(
    algorithm: &'static dyn aws::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureFault> {
    aws::UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| SignatureFault::Wrong)
}

impl SignatureAlgorithm {
    /// Reads the algorithm of a certificate's signature.
    pub fn read(identifier: &AlgorithmIdentifier<'_>) -> Self {
        if identifier.algorithm == PSS {
            return pss(identifier).map_or(Self::Unknown, Self::RsaPss);
        }
        let known = SIGNATURES.into_iter().find(|(oid, _)| *oid == identifier.algorithm);
        match known {
            Some((_, Self::Ed25519)) if identifier.parameters.is_some() => Self::Unknown,
            Some((_, algorithm)) => algorithm,
            None => Self::Unknown,
        }
    }
}

/// The hash of an RSA-PSS signature. Go requires the same hash for every purpose, and a salt of its length.
fn pss(identifier: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    let parameters = RsaSsaPssParams::try_from(identifier.parameters.as_ref()?).ok()?;
    let mask = parameters.mask_gen_algorithm().ok()?;
    let (_, hash, length) = HASHES.into_iter().find(|(oid, _, _)| oid == parameters.hash_algorithm_oid())?;
    let is_usual = mask.mgf == MGF1
        && mask.hash == *parameters.hash_algorithm_oid()
        && parameters.salt_length() == length
        && parameters.trailer_field() == 1;
    is_usual.then_some(hash)
}

impl Curve {
    fn algorithm(self, hash: Hash) -> Option<&'static aws::EcdsaVerificationAlgorithm> {
        Some(match (self, hash) {
            // aws-lc-rs does not have this curve.
            (Self::P224, _) => return None,
            (Self::P256, Hash::Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
            (Self::P256, Hash::Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
            (Self::P256, Hash::Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
            (Self::P384, Hash::Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
            (Self::P384, Hash::Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
            (Self::P384, Hash::Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
            (Self::P521, Hash::Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
            (Self::P521, Hash::Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
            (Self::P521, Hash::Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
        })
    }
}

#[derive(Clone, Copy)]
enum Padding {
    Pkcs1,
    Pss,
}

fn rsa_key(info: &SubjectPublicKeyInfo<'_>, der: &[u8]) -> Result<RsaKey, &'static str> {
    let malformed = "its RSA key is malformed";
    let Ok(x509_parser::public_key::PublicKey::RSA(key)) = info.parsed() else { return Err(malformed) };
    let positive = |number: &[u8]| number.first().is_some_and(|first| *first < 0x80) && number != [0];
    if !positive(key.modulus) || !positive(key.exponent) {
        return Err(malformed);
    }
    Ok(RsaKey { modulus: key.modulus.to_vec(), exponent: key.exponent.to_vec(), der: der.to_vec() })
}

impl RsaKey {
    fn bits(&self) -> usize {
        BigUint::from_bytes_be(&self.modulus).bits()
    }

    /// Verifies a signature. aws-lc-rs accepts only keys of common lengths, and Go others, too.
    fn verify(
        &self,
        padding: Padding,
        hash: Hash,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        if !(COMMON_RSA..=LARGEST_RSA).contains(&self.bits()) {
            return self.verify_uncommon(padding, hash, message, signature);
        }
        let algorithm: &'static aws::RsaParameters = match (padding, hash) {
            (Padding::Pkcs1, Hash::Sha256) => &aws::RSA_PKCS1_2048_8192_SHA256,
            (Padding::Pkcs1, Hash::Sha384) => &aws::RSA_PKCS1_2048_8192_SHA384,
            (Padding::Pkcs1, Hash::Sha512) => &aws::RSA_PKCS1_2048_8192_SHA512,
            (Padding::Pss, Hash::Sha256) => &aws::RSA_PSS_2048_8192_SHA256,
            (Padding::Pss, Hash::Sha384) => &aws::RSA_PSS_2048_8192_SHA384,
            (Padding::Pss, Hash::Sha512) => &aws::RSA_PSS_2048_8192_SHA512,
        };
        check(algorithm, &self.der, message, signature)
    }

    fn verify_uncommon(
        &self,
        padding: Padding,
        hash: Hash,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let [modulus, exponent] =
            [&self.modulus, &self.exponent].map(|number| BigUint::from_bytes_be(number));
        let key = RsaPublicKey::new_with_max_size(modulus, exponent, 2 * LARGEST_RSA)
            .map_err(|_| SignatureFault::Unsupported)?;
        let verified = match hash {
            Hash::Sha256 => verify_with::<sha2::Sha256>(&key, padding, message, signature),
            Hash::Sha384 => verify_with::<sha2::Sha384>(&key, padding, message, signature),
            Hash::Sha512 => verify_with::<sha2::Sha512>(&key, padding, message, signature),
        };
        verified.map_err(|_| SignatureFault::Wrong)
    }
}

fn verify_with<D>(key: &RsaPublicKey, padding: Padding, message: &[u8], signature: &[u8]) -> rsa::Result<()>
where
    D: sha2::Digest + rsa::pkcs8::AssociatedOid + Send + Sync + 'static + sha2::digest::DynDigest,
{
    let hashed = D::digest(message);
    match padding {
        Padding::Pkcs1 => key.verify(Pkcs1v15Sign::new::<D>(), &hashed, signature),
        Padding::Pss => key.verify(Pss::new::<D>(), &hashed, signature),
    }
}

#[cfg(test)]
mod tests {
    use rsa::{RsaPrivateKey, rand_core::OsRng, sha2::Digest, traits::PublicKeyParts};

    use super::*;

    /// Go verifies with keys of lengths that aws-lc-rs does not accept.
    #[test]
    fn short_rsa_keys_verify_in_both_paddings() {
        let private = RsaPrivateKey::new(&mut OsRng, 1024).unwrap();
        let key = PublicKey::Rsa(RsaKey {
            modulus: private.n().to_bytes_be(),
            exponent: private.e().to_bytes_be(),
            der: Vec::new(),
        });
        assert_eq!((key.rsa_bits(), key.fault()), (Some(1024), None));
        let hashed = sha2::Sha384::digest(b"message");
        let signatures = [
            (
                SignatureAlgorithm::RsaPkcs1(Hash::Sha384),
                private.sign(Pkcs1v15Sign::new::<sha2::Sha384>(), &hashed).unwrap(),
            ),
            (
                SignatureAlgorithm::RsaPss(Hash::Sha384),
                private.sign_with_rng(&mut OsRng, Pss::new::<sha2::Sha384>(), &hashed).unwrap(),
            ),
        ];
        for (algorithm, signature) in signatures {
            assert_eq!(key.verify(algorithm, b"message", &signature), Ok(()));
            assert_eq!(key.verify(algorithm, b"massage", &signature), Err(SignatureFault::Wrong));
            assert_eq!(
                key.verify(SignatureAlgorithm::Ed25519, b"message", &signature),
                Err(SignatureFault::Wrong)
            );
        }
        let broken = SignatureAlgorithm::Broken("MD5");
        assert_eq!(key.verify(broken, b"message", &[]), Err(SignatureFault::Broken("MD5")));
    }
}
