//! W&B Server as programs talk to it: queries, API keys, and the exchange of tokens.
//!
//! In reading order: [`BaseUrl`] says where the server is, [`ApiKey`] and [`Credential`] who asks.
//! `operations` is what can be asked, and `account` what is told of accounts; `graphql` carries a
//! question and its answer, `pages` reads a list to its end, `exchange` turns an identity token into an access token, and `health` asks
//! whether the server answers at all. All judge answers with `answer`, and give a [`ServerRefusal`] when the
//! server does not do what was asked, which [`check`] makes a finding of.
//!
//! Invariants:
//! - A question is asked once. Whoever asks decides whether and when to ask again.
//! - A key or token is sent to the server of the spec and nowhere else, and stands in no message,
//!   also where the server repeats it.

mod account;
mod answer;
mod api_key;
mod base_url;
mod credential;
mod exchange;
mod graphql;
mod health;
mod operations;
mod pages;
mod refusal;

pub use account::{Entity, ListedKey, Member, Viewer};
pub use api_key::ApiKey;
pub use base_url::BaseUrl;
pub use credential::{AccessToken, Credential};
pub use health::health;
pub use operations::GeneratedKey;
pub use refusal::{ServerRefusal, check};

use hyper::{
    Method,
    header::{HeaderName, HeaderValue},
};
use url::Url;

use crate::{
    net::{HttpClient, HttpRequest, HttpResponse},
    problem::Problem,
};

/// A W&B Server, and the way to it.
#[derive(Clone, Copy)]
pub struct Instance<'a> {
    /// Where it is.
    pub base_url: &'a BaseUrl,
    /// The way to it.
    pub http: HttpClient<'a>,
}

impl Instance<'_> {
    async fn post(
        &self,
        url: &Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: String,
    ) -> Result<HttpResponse, Problem> {
        let request = HttpRequest { method: Method::POST, url: url.clone(), headers, body: body.into() };
        // A handshake's future is large, and several of these stand in each other.
        Box::pin(self.http.send(request)).await
    }
}
