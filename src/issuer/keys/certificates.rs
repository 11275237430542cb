//! Checks the certificates of a key (`x5c`, `x5t`): go-jose refuses a key whose certificate belongs to another key.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;
use x509_parser::{parse_x509_certificate, public_key::PublicKey as CertifiedKey};

use super::public::{VerificationKey, without_zeros};
use crate::net;

/// Base64 as Go decodes it, which ignores surplus bits at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The certificates in DER form. The first one is the certificate of the key itself.
pub(super) fn chain(x5c: Option<&Value>) -> Result<Vec<Vec<u8>>, String> {
    let Some(x5c) = x5c.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let list = x5c.as_array().ok_or("its x5c is not a list")?;
    list.iter()
        .map(|value| {
            let text = value.as_str().ok_or("its x5c has something that is not a text")?;
            let der = BASE64.decode(text.replace(['\r', '\n'], "")).map_err(|_| "its x5c is not base64")?;
            match net::certificate_fault(&der) {
                None => Ok(der),
                Some(why) => Err(format!("its x5c has a certificate that W&B Server cannot read: {why}")),
            }
        })
        .collect()
}

/// Fails if the first certificate belongs to another key.
pub(super) fn expect_same_key(chain: &[Vec<u8>], key: &VerificationKey) -> Result<(), String> {
    let Some(der) = chain.first() else { return Ok(()) };
    let is_same = parse_x509_certificate(der).is_ok_and(|(_, certificate)| {
        let info = certificate.public_key();
        match (key, info.parsed()) {
            (VerificationKey::Rsa { modulus, exponent }, Ok(CertifiedKey::RSA(certified))) => {
                without_zeros(certified.modulus) == modulus && without_zeros(certified.exponent) == exponent
            }
            (VerificationKey::Rsa { .. }, _) => false,
            (VerificationKey::Point { .. } | VerificationKey::Ed25519 { .. }, _) => {
                info.subject_public_key.data.as_ref() == key.bytes()
            }
        }
    });
    if is_same { Ok(()) } else { Err("its certificate (x5c) is for another key".to_owned()) }
}

/// Fails if a thumbprint is malformed, or is not that of the first certificate.
pub(super) fn expect_thumbprints(
    chain: &[Vec<u8>],
    thumbprints: [(&str, Option<Vec<u8>>); 2],
) -> Result<(), String> {
    let algorithms: [&'static Algorithm; 2] = [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256];
    for ((name, thumbprint), algorithm) in thumbprints.into_iter().zip(algorithms) {
        let Some(thumbprint) = thumbprint.filter(|bytes| !bytes.is_empty()) else { continue };
        let length = algorithm.output_len();
        // Some issuers encode the hexadecimal digits of the thumbprint instead of its bytes.
        let thumbprint =
            if thumbprint.len() == 2 * length { hexadecimal(&thumbprint) } else { Some(thumbprint) };
        let thumbprint = thumbprint
            .filter(|bytes| bytes.len() == length)
            .ok_or_else(|| format!("its {name} is no thumbprint"))?;
        if chain.first().is_some_and(|der| digest(algorithm, der).as_ref() != thumbprint) {
            return Err(format!("its {name} is not that of its certificate (x5c)"));
        }
    }
    Ok(())
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}
