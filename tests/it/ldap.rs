//! Every check of `LdapConfig` against a real directory.
