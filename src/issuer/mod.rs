//! What every kind asks of an issuer of tokens: its URL, its answers and its keys.
//!
//! `url` and `accept` read the spec, `answer` is what every answer must be, `fetch` has documents that resources share, `document` reads the discovery document as
//! W&B Server does, and `endpoint` is what every endpoint that a document names must be. `mismatch` explains another issuer than expected, `keys` reads the published keys, once, and
//! `oauth` carries requests to the token endpoint.

mod answer;
mod document;
mod endpoint;
mod fetch;
mod keys;
mod mismatch;
pub(crate) mod oauth;
mod url;
mod validate;

pub use keys::{BrokenKey, Key, KeyKind, KeyPurpose, KeySet, UnsupportedKey};
pub use url::Issuer;
pub use validate::Plaintext;

pub(crate) use answer::{expect_available, expect_ok, is_unavailable, read_json};
pub(crate) use document::{Document, TextList};
pub(crate) use endpoint::{at, expect_encrypted};
pub(crate) use fetch::fetch;
pub(crate) use mismatch::expect_issuer;
pub(crate) use url::{is_https, plain_url, without_slash};
pub(crate) use validate::validate;
