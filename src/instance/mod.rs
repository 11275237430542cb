//! The client for W&B Server: queries, API keys, and the exchange of tokens.
//!
//! In reading order: [`BaseUrl`] is the address of the server, and [`ApiKey`] and [`Credential`] are the
//! credentials. `operations` has the queries and mutations, and `account` their results. `graphql` sends one of
//! them, `pages` reads a list to its end, `exchange` turns an identity token into an access token, and `health`
//! checks whether the server answers at all. All of them judge answers by `answer`, and return a [`ServerRefusal`]
//! if the server does not do what was asked. [`check`] makes a finding of that.
//!
//! Invariants:
//! - A request is sent once. The caller decides whether and when to send it again.
//! - A key or token is sent only to the server of the spec. No message contains it, even if the server repeats it.

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

/// A W&B Server, and how to connect to it.
#[derive(Clone, Copy)]
pub struct Instance<'a> {
    /// The address of the server.
    pub base_url: &'a BaseUrl,
    /// The client that sends the requests.
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
        // The future is boxed, since nested futures with TLS handshakes are large.
        Box::pin(self.http.send(request)).await
    }
}
