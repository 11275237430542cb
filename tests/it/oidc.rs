//! Every check of `OidcProvider` against a real OpenID Provider.
