//! Keys of the tests' own issuers, and whatever can be signed with them.

use anyhow::{Context, Result, bail};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::Certificate;

/// A private key with its identifier.
pub struct SigningKey {
    kid: Option<String>,
    private: Private,
}

/// The library that makes JSON Web Tokens knows no P-521.
enum Private {
    Known { algorithm: Algorithm, key: EncodingKey },
    P521(EcdsaKeyPair),
}

/// What precedes PKCS#1 in the PKCS#8 form of an RSA key of 2048 bits or more.
const PKCS8_PREFIX: usize = 26;

impl SigningKey {
    /// An RSA key of 2048 bits that signs with RS256.
    pub fn rsa(kid: &str) -> Result<Self> {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
        let der = pair.as_der()?;
        let pkcs1 = der.as_ref().get(PKCS8_PREFIX..).context("the key is too short")?;
        Ok(Self::new(kid, Algorithm::RS256, EncodingKey::from_rsa_der(pkcs1)))
    }

    /// A key on P-256.
    pub fn p256(kid: &str) -> Result<Self> {
        Self::ec(kid, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A key on P-384.
    pub fn p384(kid: &str) -> Result<Self> {
        Self::ec(kid, Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    /// The key of a server's certificate, which is on P-256.
    pub fn of_certificate(kid: &str, certificate: &Certificate) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
        Ok(Self::new(kid, Algorithm::ES256, EncodingKey::from_ec_der(key.secret_der())))
    }

    /// A key on P-521.
    pub fn p521(kid: &str) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING)?;
        Ok(Self { kid: Some(kid.to_owned()), private: Private::P521(pair) })
    }

    fn ec(kid: &str, algorithm: Algorithm, curve: &'static EcdsaSigningAlgorithm) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(curve)?;
        Ok(Self::new(kid, algorithm, EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref())))
    }

    /// An Ed25519 key.
    pub fn ed25519(kid: &str) -> Result<Self> {
        let pair = Ed25519KeyPair::generate()?;
        Ok(Self::new(kid, Algorithm::EdDSA, EncodingKey::from_ed_der(pair.to_pkcs8v1()?.as_ref())))
    }

    fn new(kid: &str, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { kid: Some(kid.to_owned()), private: Private::Known { algorithm, key } }
    }

    /// The same without an identifier.
    #[must_use]
    pub fn without_kid(self) -> Self {
        Self { kid: None, ..self }
    }

    /// The same signing with another algorithm of the key's type, such as `PS384`.
    pub fn signing_with(self, algorithm: &str) -> Result<Self> {
        let Private::Known { key, .. } = self.private else { bail!("a key on P-521 signs with ES512 only") };
        Ok(Self { private: Private::Known { algorithm: algorithm.parse()?, key }, ..self })
    }

    /// The name of its algorithm.
    fn algorithm(&self) -> Result<Value> {
        Ok(match &self.private {
            Private::Known { algorithm, .. } => serde_json::to_value(algorithm)?,
            Private::P521(_) => json!("ES512"),
        })
    }

    /// The public key as a JSON Web Key with identifier, algorithm and use.
    pub fn jwk(&self) -> Result<Value> {
        let mut jwk = match &self.private {
            Private::Known { algorithm, key } => {
                serde_json::to_value(Jwk::from_encoding_key(key, *algorithm)?)?
            }
            Private::P521(pair) => {
                let point = pair.public_key().as_ref().get(1..).context("a point")?;
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-521", "alg": "ES512", "x": base64url(x), "y": base64url(y) })
            }
        };
        let fields = jwk.as_object_mut().context("a JSON Web Key is an object")?;
        fields.insert("use".to_owned(), json!("sig"));
        if let Some(kid) = &self.kid {
            fields.insert("kid".to_owned(), json!(kid));
        }
        Ok(jwk)
    }

    /// A token with these claims and nothing unusual about it.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let algorithm = self.algorithm()?;
        let header = match &self.kid {
            Some(kid) => json!({ "alg": algorithm, "typ": "JWT", "kid": kid }),
            None => json!({ "alg": algorithm, "typ": "JWT" }),
        };
        self.sign_with(&header, claims)
    }

    /// A token with this header, whatever it says, and a signature by this key and its algorithm.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> Result<String> {
        let message = message(header, claims);
        let signature = match &self.private {
            Private::Known { algorithm, key } => crypto::sign(message.as_bytes(), key, *algorithm)?,
            Private::P521(pair) => base64url(pair.sign(&SystemRandom::new(), message.as_bytes())?),
        };
        Ok(format!("{message}.{signature}"))
    }
}

/// A token that is signed by HS256 with this secret.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> Result<String> {
    let message = message(header, claims);
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256)?;
    Ok(format!("{message}.{signature}"))
}

/// A token whose signature is empty.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", message(header, claims))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()))
}

/// The bytes in base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An RSA key of 1024 bits, which no library makes any more, with the identifier `weak`.
pub fn weak_jwk() -> Value {
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "weak", "e": "AQAB", "n": WEAK_MODULUS })
}

/// A token that the key of [`weak_jwk`] signed.
pub fn weak_token() -> String {
    WEAK_TOKEN.to_owned()
}

const WEAK_MODULUS: &str = "yqnRNrL1s_fHr21oxOjUnoW5iq7Rb9cLzLZXLSH79VGBhKnYlXUNDxMwfczmcDNOJ4o9fmFhxCSpz883wjIDoGwM5ICnVz0KoAvmIgEZBE3KVmPobw01Y4qpIEG-Or_hGxCSS63HtBJk2yJSXP0G1s3xz7KZD6A_LWyzbBSCS7s";

/// Its header and claims are `{"alg":"RS256","kid":"weak"}` and an issuer, a subject, an audience and
/// an expiry in 2100.
const WEAK_TOKEN: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogIndlYWsifQ.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIuZXhhbXBsZSIsICJzdWIiOiAiY2lAZXhhbXBsZS5vcmciLCAiYXVkIjogIm15LW9yZyIsICJleHAiOiA0MTAyNDQ0ODAwfQ.aRGYfHPegNEj2TgbAPGM-g3MK-TDlH4f8S2NDvzRHDlCepYpEjZr9XdCn8hI4pClV0RoiLm-wV9ci7ANteapfXG7f9PtSFg281ukwc-uup9Tx6RnDChaOdnMoekcA4fgpF-4SVr8WD62YdY-jTalriUSZvyKryqdPa8wUGr7IFk";
