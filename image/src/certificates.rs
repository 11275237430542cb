//! The certificate authorities that the operator trusts beside those that resources name.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The crate that the authorities come from.
pub const SOURCE: &str = "webpki-root-certs";

/// Its licence, as an SPDX expression.
pub const LICENSE: &str = "CDLA-Permissive-2.0";

/// How long a line of base64 is in a PEM file (RFC 7468).
const LINE: usize = 64;

/// Mozilla's authorities for servers, as Cargo.lock pins them, in the format that every TLS library reads.
pub fn bundle() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(certificate).as_bytes().chunks(LINE) {
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_library_reads_every_authority() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca-certificates.crt");
        std::fs::write(&file, bundle()).unwrap();
        let read = rustls_native_certs::load_certs_from_paths(Some(&file), None);
        assert!(read.errors.is_empty(), "{:?}", read.errors);
        assert_eq!(read.certs.len(), TLS_SERVER_ROOT_CERTS.len());
        assert!(TLS_SERVER_ROOT_CERTS.iter().all(|authority| read.certs.contains(authority)));
    }
}
