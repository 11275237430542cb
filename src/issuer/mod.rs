//! What several kinds need for issuers of tokens: their URLs, answers and keys.
//!
//! In reading order: `url` and `validate` read the spec, `answer` has the requirements for every answer, and `fetch`
//! gets documents, which several resources share. `document` reads the discovery document as W&B Server does, and
//! `endpoint` has the requirements for every endpoint that it names. `mismatch` explains an unexpected issuer, `keys`
//! parses the published keys once, and `oauth` sends requests to the token endpoint.

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
