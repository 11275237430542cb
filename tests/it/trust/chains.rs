//! The table of chains: the operator's verdict beside Go's, certificate by certificate.

use std::{fmt::Write, sync::Arc};

use anyhow::{Context, Result, ensure};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    sign::{CertifiedKey, SingleCertAndKey},
};
use test_support::{
    ChainCase, GoOpinion,
    certificate_draft::{Critical, Draft, DraftKey, SignedWith, der, host_name, name, pem},
};
use wandb_auth_operator::{
    net::{CaBundle, Trust, encrypt},
    problem::{Problem, quote_exactly},
};

/// The first second of June 2026: verdicts must not depend on the day of the test.
const NOW: i64 = 1_780_272_000;

/// A server's certificates, a bundle, and the host that is connected to.
struct Case {
    title: &'static str,
    presented: Vec<Vec<u8>>,
    bundle: Vec<Vec<u8>>,
    host: &'static str,
    /// The private key of the server, where a TLS server takes it.
    key: Option<Vec<u8>>,
    /// Why the operator refuses what Go's verification of chains accepts.
    stricter: Option<&'static str>,
}

/// The keys of the table's authorities and servers.
struct Keys {
    root: DraftKey,
    other_root: DraftKey,
    intermediate: DraftKey,
    server: DraftKey,
}

const HOST: &str = "localhost";
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const ANY_USAGE: &str = "2.5.29.37.0";

impl Keys {
    fn make() -> Result<Self> {
        Ok(Self {
            root: DraftKey::p256()?,
            other_root: DraftKey::p256()?,
            intermediate: DraftKey::p256()?,
            server: DraftKey::p256()?,
        })
    }

    fn root(&self, draft: &Draft) -> Result<Vec<u8>> {
        draft.self_signed(&self.root)
    }

    /// Issued by the authority "Root".
    fn intermediate(&self, draft: &Draft) -> Result<Vec<u8>> {
        draft.issued(&self.intermediate, "Root", &self.root)
    }

    fn server_of_root(&self, draft: &Draft) -> Result<Vec<u8>> {
        draft.issued(&self.server, "Root", &self.root)
    }

    fn server_of_intermediate(&self, draft: &Draft) -> Result<Vec<u8>> {
        draft.issued(&self.server, "Intermediate", &self.intermediate)
    }

    fn case(&self, title: &'static str, presented: Vec<Vec<u8>>, bundle: Vec<Vec<u8>>) -> Case {
        Case { title, presented, bundle, host: HOST, key: self.server.pkcs8(), stricter: None }
    }

    /// A good server below a root that is out of the ordinary.
    fn below(&self, title: &'static str, root: &Draft) -> Result<Case> {
        Ok(self.case(title, vec![self.server_of_root(&Draft::server(HOST))?], vec![self.root(root)?]))
    }

    /// A good server below an intermediate that is out of the ordinary.
    fn between(&self, title: &'static str, intermediate: &Draft) -> Result<Case> {
        let presented =
            vec![self.server_of_intermediate(&Draft::server(HOST))?, self.intermediate(intermediate)?];
        Ok(self.case(title, presented, vec![self.root(&root())?]))
    }

    /// A server that is out of the ordinary below a good root.
    fn server(&self, title: &'static str, host: &'static str, server: &Draft) -> Result<Case> {
        let case = self.case(title, vec![self.server_of_root(server)?], vec![self.root(&root())?]);
        Ok(Case { host, ..case })
    }

    /// A server whose own certificate is the bundle.
    fn itself(&self, title: &'static str, server: &Draft) -> Result<Case> {
        let certificate = server.self_signed(&self.server)?;
        Ok(self.case(title, vec![certificate.clone()], vec![certificate]))
    }

    /// A server below a root with this key.
    fn root_key(&self, title: &'static str, key: &DraftKey) -> Result<Case> {
        let presented = vec![Draft::server(HOST).issued(&self.server, "Root", key)?];
        Ok(self.case(title, presented, vec![root().self_signed(key)?]))
    }

    /// A server with this key.
    fn server_key(&self, title: &'static str, key: &DraftKey) -> Result<Case> {
        let presented = vec![Draft::server(HOST).issued(key, "Root", &self.root)?];
        Ok(Case { key: key.pkcs8(), ..self.case(title, presented, vec![self.root(&root())?]) })
    }
}

fn root() -> Draft {
    Draft::authority("Root")
}

fn intermediate() -> Draft {
    Draft::authority("Intermediate")
}

fn authorities(keys: &Keys) -> Result<Vec<Case>> {
    let unmarked = Draft::of("Root");
    Ok(vec![
        keys.below("an ordinary root", &root())?,
        keys.below("a root that has expired", &root().years(2020, 2021))?,
        keys.below("a root that is not yet valid", &root().years(2044, 2045))?,
        keys.below("a root with CA:FALSE", &unmarked.clone().basic_constraints(Some(false), None))?,
        keys.below("a root without basicConstraints", &unmarked)?,
        keys.below("a root of version 1", &unmarked.clone().version(1))?,
        keys.below("a root of version 2", &unmarked.version(2))?,
        keys.below("a root that may sign certificates", &root().key_usage(0x06))?,
        keys.below("a root that may sign revocation lists only", &root().key_usage(0x02))?,
        keys.below("a root that may do nothing", &root().key_usage(0x00))?,
        keys.below(
            "a root with pathlen 0 above the server",
            &Draft::of("Root").basic_constraints(Some(true), Some(0)),
        )?,
        keys.below("a root for servers", &root().extended_key_usage(&[SERVER_AUTH]))?,
        keys.below("a root for clients", &root().extended_key_usage(&[CLIENT_AUTH]))?,
        keys.below("a root for anything", &root().extended_key_usage(&[CLIENT_AUTH, ANY_USAGE]))?,
        keys.below(
            "a root with an unknown critical extension",
            &root().extension("1.2.3.4", Critical::Yes, &[5, 0]),
        )?,
        keys.below("a root with an unknown extension", &root().extension("1.2.3.4", Critical::No, &[5, 0]))?,
        keys.below("a root signed with SHA-1", &root().signed_with(SignedWith::Sha1))?,
        keys.below("a root with a negative serial number", &root().serial(&[0x80]))?,
        keys.below("a root with the same extension twice", &root().basic_constraints(Some(true), None))?,
    ])
}

fn intermediates(keys: &Keys) -> Result<Vec<Case>> {
    let unmarked = Draft::of("Intermediate");
    Ok(vec![
        keys.between("an ordinary intermediate", &intermediate())?,
        keys.between("an intermediate that has expired", &intermediate().years(2020, 2021))?,
        keys.between("an intermediate that is not yet valid", &intermediate().years(2044, 2045))?,
        keys.between(
            "an intermediate with CA:FALSE",
            &unmarked.clone().basic_constraints(Some(false), None),
        )?,
        keys.between("an intermediate without basicConstraints", &unmarked)?,
        keys.between("an intermediate of version 1", &unmarked.clone().version(1))?,
        keys.between("an intermediate that may not sign", &intermediate().key_usage(0x80))?,
        keys.between("an intermediate for clients", &intermediate().extended_key_usage(&[CLIENT_AUTH]))?,
        keys.between("an intermediate signed with SHA-1", &intermediate().signed_with(SignedWith::Sha1))?,
        keys.between("an intermediate signed with MD5", &intermediate().signed_with(SignedWith::Md5))?,
        keys.between(
            "an intermediate with an unknown critical extension",
            &intermediate().extension("1.2.3.4", Critical::Yes, &[5, 0]),
        )?,
        keys.between("an intermediate with a negative serial number", &intermediate().serial(&[0x80]))?,
    ])
}

fn several(keys: &Keys) -> Result<Vec<Case>> {
    let server = keys.server_of_intermediate(&Draft::server(HOST))?;
    let between = keys.intermediate(&intermediate())?;
    let trusted = keys.root(&root())?;
    let stranger = Draft::authority("Stranger").self_signed(&keys.other_root)?;
    let second = Draft::authority("Second").issued(&keys.other_root, "Intermediate", &keys.intermediate)?;
    let below_second = Draft::server(HOST).issued(&keys.server, "Second", &keys.other_root)?;
    let limited = Draft::of("Root").basic_constraints(Some(true), Some(0));
    let narrow = Draft::of("Intermediate").basic_constraints(Some(true), Some(0));
    let expired = keys.intermediate(&intermediate().years(2020, 2021))?;
    let by_other = intermediate().issued(&keys.intermediate, "Other", &keys.other_root)?;
    let other = Draft::authority("Other").self_signed(&keys.other_root)?;
    Ok(vec![
        keys.case("an intermediate that is not sent", vec![server.clone()], vec![trusted.clone()]),
        keys.case("an intermediate that is in the bundle only", vec![server.clone()], vec![between.clone()]),
        keys.case(
            "an intermediate that is in the bundle, and its root, too",
            vec![server.clone()],
            vec![trusted.clone(), between.clone()],
        ),
        keys.case(
            "an expired intermediate in the bundle beside the good one that is sent",
            vec![server.clone(), between.clone()],
            vec![expired.clone(), trusted.clone()],
        ),
        keys.case(
            "certificates in another order, with one of somebody else",
            vec![server.clone(), stranger.clone(), trusted.clone(), between.clone()],
            vec![trusted.clone()],
        ),
        keys.case(
            "a root that is sent, but not trusted",
            vec![server.clone(), between.clone(), trusted.clone()],
            vec![stranger.clone()],
        ),
        keys.case(
            "two intermediates",
            vec![below_second.clone(), second.clone(), between.clone()],
            vec![trusted.clone()],
        ),
        keys.case(
            "a root with pathlen 0 above an intermediate",
            vec![server.clone(), between.clone()],
            vec![keys.root(&limited)?],
        ),
        keys.case(
            "an intermediate with pathlen 0 above another",
            vec![below_second, second, keys.intermediate(&narrow)?],
            vec![trusted.clone()],
        ),
        keys.case(
            "two chains, of which one has expired",
            vec![server.clone(), expired.clone(), by_other.clone()],
            vec![trusted.clone(), other.clone()],
        ),
        keys.case(
            "two chains, of which one is not trusted",
            vec![server.clone(), by_other, between],
            vec![trusted.clone()],
        ),
        keys.case(
            "two chains to one root, of which one has expired",
            vec![server, expired, keys.intermediate(&intermediate())?],
            vec![trusted.clone()],
        ),
        keys.case(
            "a root that was made anew",
            vec![keys.server_of_root(&Draft::server(HOST))?],
            vec![root().self_signed(&keys.other_root)?],
        ),
        keys.case(
            "a root that was made anew, beside the old one",
            vec![keys.server_of_root(&Draft::server(HOST))?],
            vec![root().self_signed(&keys.other_root)?, trusted.clone()],
        ),
        keys.case(
            "a root whose renewed certificate is in the bundle beside the expired one",
            vec![keys.server_of_root(&Draft::server(HOST))?],
            vec![keys.root(&root().years(2020, 2021))?, trusted.clone()],
        ),
        keys.case(
            "an issuer's name in another kind of text",
            vec![Draft::server(HOST).signed_by(&keys.server, &name(19, "Root"), &keys.root)?],
            vec![trusted],
        ),
        keys.case("a bundle of strangers", vec![keys.server_of_root(&Draft::server(HOST))?], vec![stranger]),
    ])
}

fn own(keys: &Keys) -> Result<Vec<Case>> {
    let in_bundle = keys.server_of_root(&Draft::server(HOST))?;
    let alone = Draft::server(HOST).self_signed(&keys.server)?;
    Ok(vec![
        keys.itself(
            "the server's own certificate, self-signed, with CA:TRUE",
            &Draft::server(HOST).basic_constraints(Some(true), None),
        )?,
        keys.itself(
            "the server's own certificate, self-signed, with CA:FALSE",
            &Draft::server(HOST).basic_constraints(Some(false), None),
        )?,
        keys.itself(
            "the server's own certificate, self-signed, without basicConstraints",
            &Draft::server(HOST),
        )?,
        keys.itself("the server's own certificate, expired", &Draft::server(HOST).years(2020, 2021))?,
        keys.itself("the server's own certificate, for another name", &Draft::server("elsewhere.example"))?,
        keys.itself(
            "the server's own certificate, for clients",
            &Draft::server(HOST).extended_key_usage(&[CLIENT_AUTH]),
        )?,
        keys.itself("the server's own certificate, of version 1", &Draft::of(HOST).version(1))?,
        keys.itself(
            "the server's own certificate, signed with SHA-1",
            &Draft::server(HOST).signed_with(SignedWith::Sha1),
        )?,
        keys.case(
            "the server's own certificate of an authority that is not in the bundle",
            vec![in_bundle.clone()],
            vec![in_bundle],
        ),
        keys.case(
            "a self-signed certificate that is not in the bundle",
            vec![alone],
            vec![keys.root(&root())?],
        ),
        keys.server("a server that has expired", HOST, &Draft::server(HOST).years(2020, 2021))?,
        keys.server("a server that is not yet valid", HOST, &Draft::server(HOST).years(2044, 2045))?,
        keys.server("a server for servers", HOST, &Draft::server(HOST).extended_key_usage(&[SERVER_AUTH]))?,
        keys.server("a server for clients", HOST, &Draft::server(HOST).extended_key_usage(&[CLIENT_AUTH]))?,
        keys.server(
            "a server for an unknown usage",
            HOST,
            &Draft::server(HOST).extended_key_usage(&["1.2.3.4"]),
        )?,
        keys.server("a server signed with SHA-1", HOST, &Draft::server(HOST).signed_with(SignedWith::Sha1))?,
        keys.server(
            "a server with a negative serial number",
            HOST,
            &Draft::server(HOST).serial(&[0xff, 0x01]),
        )?,
        keys.server("a server with the serial number 0", HOST, &Draft::server(HOST).serial(&[0x00]))?,
        keys.server(
            "a server with a serial number of 30 bytes",
            HOST,
            &Draft::server(HOST).serial(&[0x11; 30]),
        )?,
        keys.server(
            "a server with an unknown critical extension",
            HOST,
            &Draft::server(HOST).extension("1.2.3.4", Critical::Yes, &[5, 0]),
        )?,
        keys.server(
            "a server with a critical authority key identifier",
            HOST,
            &Draft::server(HOST).extension("2.5.29.35", Critical::Yes, &[0x30, 0]),
        )?,
        keys.server(
            "a server with bytes after its certificate",
            HOST,
            &Draft::server(HOST).trailing(&[0, 0]),
        )?,
        keys.server(
            "a server with a bad character in its subject",
            HOST,
            &Draft::server(HOST).subject(name(19, "local_host")),
        )?,
    ])
}

fn names(keys: &Keys) -> Result<Vec<Case>> {
    let text_address = |address: &str| {
        let names = der::sequence(&[host_name(address)]);
        Draft::of(address).extension("2.5.29.17", Critical::No, &names)
    };
    let names = |names: &[&str]| Draft::of("a server").alternative_names(names);
    Ok(vec![
        keys.server("a common name without subjectAltName", HOST, &Draft::of(HOST))?,
        keys.server("a server of version 1", HOST, &Draft::of(HOST).version(1))?,
        keys.server("another name", HOST, &names(&["a.example", "b.example"]))?,
        keys.server("a name in capital letters", HOST, &names(&["LocalHost"]))?,
        keys.server("a name with a dot at its end", HOST, &names(&["localhost."]))?,
        keys.server("a wildcard", "ldap.example.com", &names(&["*.example.com"]))?,
        keys.server("a wildcard for two labels", "a.b.example.com", &names(&["*.example.com"]))?,
        keys.server("a wildcard for none", "example.com", &names(&["*.example.com"]))?,
        keys.server("a part of a label as a wildcard", "ldap1.example.com", &names(&["ldap*.example.com"]))?,
        keys.server("a wildcard alone", HOST, &names(&["*"]))?,
        keys.server("an underscore", "my_ldap.example.com", &names(&["my_ldap.example.com"]))?,
        keys.server("an address", "127.0.0.1", &names(&["127.0.0.1"]))?,
        keys.server("another address", "127.0.0.1", &names(&["127.0.0.2", "localhost"]))?,
        keys.server("an address of IPv6", "::1", &names(&["::1"]))?,
        keys.server("an address of IPv4 as one of IPv6", "127.0.0.1", &names(&["::ffff:127.0.0.1"]))?,
        keys.server("an address as a DNS name", "127.0.0.1", &text_address("127.0.0.1"))?,
        keys.server("an address where there are only names", "127.0.0.1", &names(&["localhost"]))?,
        keys.server("a name where there are only addresses", HOST, &names(&["127.0.0.1"]))?,
        keys.server("a URI where a name is needed", HOST, &names(&["https://localhost/"]))?,
        keys.server(
            "an address of a wrong length",
            HOST,
            &Draft::of(HOST).extension("2.5.29.17", Critical::No, &[0x30, 5, 0x87, 3, 1, 2, 3]),
        )?,
    ])
}

/// Why the operator does not compare as many names as Go.
const COMPARISONS: &str =
    "Go had this limit before it sorted the constraints; without one a server could keep the operator busy";

/// A server and its authority that both have many names.
fn many_comparisons(keys: &Keys) -> Result<Case> {
    let names: Vec<_> = (0..600).map(|number| format!("a{number}.example.com")).collect();
    let names: Vec<_> = std::iter::once(HOST).chain(names.iter().map(String::as_str)).collect();
    let excluded: Vec<_> = (0..600).map(|number| host_name(&format!("b{number}.example.com"))).collect();
    let presented = vec![keys.server_of_root(&Draft::of(HOST).alternative_names(&names))?];
    let bundle = vec![keys.root(&root().name_constraints(&[], &excluded))?];
    Ok(keys.case("more names and constraints than are compared", presented, bundle))
}

/// Go reads no certificate with a URI that it cannot parse, or whose host is no domain name.
const URIS: [&str; 46] = [
    "URI:",
    "URI:*",
    "URI:https://localhost:636/a?b#c",
    "URI:spiffe://cluster.local/ns/a",
    "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "URI:mailto:a%zz",
    "URI:10.0.0.1:636",
    "URI:a_b:c",
    "URI:a/b:c",
    "URI::a",
    "URI:%zz",
    "URI:https://localhost/%zz",
    "URI:https://localhost/%4",
    "URI:https://localhost/?%zz",
    "URI:https://localhost/#%zz",
    "URI:https://localhost/\u{1}",
    "URI:https://localhost/#\u{1}",
    "URI:https://localhost./",
    "URI:https://.localhost/",
    "URI:https://a..b/",
    "URI:https://a b/",
    "URI:https://a_b/",
    "URI:https://a<b>/",
    "URI:https://a^b/",
    "URI:https://a%zz/",
    "URI:https://a%41/",
    "URI:https://a%25/",
    "URI:https://a%C3%A9/",
    "URI:https:///a",
    "URI:///a",
    "URI://localhost./",
    "URI:https://a:b/",
    "URI:https://a:/",
    "URI:https://a:1:2/",
    "URI:ldap://a:1:2/",
    "URI:https://[::1]/",
    "URI:https://[::1]:636",
    "URI:https://[::1]:b",
    "URI:https://[::1",
    "URI:https://[127.0.0.1]/",
    "URI:https://a[::1]/",
    "URI:https://[fe80::1%25eth0]/",
    "URI:https://[fe80::1%25a%20b]/",
    "URI:https://user:p%zz@localhost/",
    "URI:https://us er@localhost/",
    "URI:https://us@er:password@localhost/",
];

fn uris(keys: &Keys) -> Result<Vec<Case>> {
    let case = |title: &'static str| {
        let uri = der::element(0x86, title.strip_prefix("URI:").unwrap_or_default().as_bytes());
        let names = der::sequence(&[host_name(HOST), uri]);
        keys.server(title, HOST, &Draft::of(HOST).extension("2.5.29.17", Critical::No, &names))
    };
    URIS.into_iter().map(case).collect()
}

fn constraints(keys: &Keys) -> Result<Vec<Case>> {
    let dns = |name: &str| vec![host_name(name)];
    let network = |bytes: &[u8]| vec![der::element(0x87, bytes)];
    let loopback = network(&[127, 0, 0, 0, 255, 0, 0, 0]);
    let directory = vec![der::element(0xa4, &name(12, "a"))];
    let with = |title, root: Draft, server: Draft, host| -> Result<Case> {
        let case = keys.case(title, vec![keys.server_of_root(&server)?], vec![keys.root(&root)?]);
        Ok(Case { host, ..case })
    };
    let localhost = || Draft::server(HOST);
    let both = || Draft::of("both").alternative_names(&[HOST, "127.0.0.1"]);
    let wildcard = || Draft::of("any").alternative_names(&["*.example.com"]);
    Ok(vec![
        with("a permitted name", root().name_constraints(&dns("localhost"), &[]), localhost(), HOST)?,
        with(
            "a name that is not permitted",
            root().name_constraints(&dns("example.com"), &[]),
            localhost(),
            HOST,
        )?,
        with("an excluded name", root().name_constraints(&[], &dns("localhost")), localhost(), HOST)?,
        with("a name beside an excluded one", root().name_constraints(&[], &dns("host")), localhost(), HOST)?,
        with(
            "a permitted domain",
            root().name_constraints(&dns("example.com"), &[]),
            Draft::server("a.example.com"),
            "a.example.com",
        )?,
        with(
            "a permitted domain with a dot",
            root().name_constraints(&dns(".example.com"), &[]),
            Draft::server("example.com"),
            "example.com",
        )?,
        with(
            "a wildcard over an excluded name",
            root().name_constraints(&[], &dns("b.example.com")),
            wildcard(),
            "a.example.com",
        )?,
        with(
            "another name of the server that is excluded",
            root().name_constraints(&[], &loopback),
            both(),
            HOST,
        )?,
        with(
            "a permitted network",
            root().name_constraints(&loopback, &[]),
            Draft::server("127.0.0.1"),
            "127.0.0.1",
        )?,
        with(
            "a network that is not permitted",
            root().name_constraints(&network(&[10, 0, 0, 0, 255, 0, 0, 0]), &[]),
            Draft::server("127.0.0.1"),
            "127.0.0.1",
        )?,
        with(
            "a network with a mask that is no prefix",
            root().name_constraints(&network(&[127, 0, 0, 0, 255, 0, 255, 0]), &[]),
            localhost(),
            HOST,
        )?,
        with("networks only, for a name", root().name_constraints(&loopback, &[]), localhost(), HOST)?,
        with(
            "a directory name, which Go does not know",
            root().name_constraints(&directory, &[]),
            localhost(),
            HOST,
        )?,
    ])
}

fn constraints_for_uris(keys: &Keys) -> Result<Vec<Case>> {
    let localhost = || vec![host_name(HOST)];
    let uri = |domain: &str| der::element(0x86, domain.as_bytes());
    let with = |title, root: Draft, uri| -> Result<Case> {
        let server = Draft::of(HOST).alternative_names(&[HOST, uri]);
        Ok(keys.case(title, vec![keys.server_of_root(&server)?], vec![keys.root(&root)?]))
    };
    Ok(vec![
        with("a URI without a host below constraints", root().name_constraints(&localhost(), &[]), "urn://")?,
        with(
            "a permitted URI",
            root().name_constraints(&[uri("example.com")], &[]),
            "https://a.example.com/",
        )?,
        with(
            "a URI that is not permitted",
            root().name_constraints(&[uri("example.com")], &[]),
            "https://a.example.org/",
        )?,
        with(
            "a permitted URI with a port",
            root().name_constraints(&[uri("example.com")], &[]),
            "https://A.EXAMPLE.COM:8443/",
        )?,
        with(
            "a URI with an address and a port below constraints",
            root().name_constraints(&localhost(), &[]),
            "https://127.0.0.1:8443/",
        )?,
        with(
            "a URI with a colon in its host below constraints",
            root().name_constraints(&localhost(), &[]),
            "ldap://a:b:8443/",
        )?,
        Case { stricter: Some(COMPARISONS), ..many_comparisons(keys)? },
    ])
}

fn constraints_and_policies_of_intermediates(keys: &Keys) -> Result<Vec<Case>> {
    let policy = "1.2.3.5";
    let policies = |policy: &str| der::sequence(&[der::sequence(&[der::oid(policy)])]);
    // requireExplicitPolicy: 0
    let demands = || intermediate().extension("2.5.29.36", Critical::Yes, &[0x30, 3, 0x80, 1, 0]);
    let chain = |title, intermediate: &Draft, server: &Draft| -> Result<Case> {
        let presented = vec![keys.server_of_intermediate(server)?, keys.intermediate(intermediate)?];
        Ok(keys.case(title, presented, vec![keys.root(&root())?]))
    };
    Ok(vec![
        chain(
            "constraints of an intermediate",
            &intermediate().name_constraints(&[host_name("example.com")], &[]),
            &Draft::server(HOST),
        )?,
        chain("a policy that is demanded and missing", &demands(), &Draft::server(HOST))?,
        chain(
            "a policy that is demanded and there",
            &demands().extension("2.5.29.32", Critical::No, &policies(policy)),
            &Draft::server(HOST).extension("2.5.29.32", Critical::No, &policies(policy)),
        )?,
        chain(
            "a policy that is demanded, and another one",
            &demands().extension("2.5.29.32", Critical::No, &policies(policy)),
            &Draft::server(HOST).extension("2.5.29.32", Critical::No, &policies("1.2.3.6")),
        )?,
    ])
}

fn kinds_of_keys(keys: &Keys) -> Result<Vec<Case>> {
    const IN_THE_HANDSHAKE: &str =
        "Go's verification of chains does not look at the server's own key, but its handshake refuses it";
    const P224: &str = "No library for TLS on aws-lc-rs knows this curve, which TLS 1.3 has dropped";
    let short = DraftKey::short_rsa(1024)?;
    let too_short = DraftKey::short_rsa(512)?;
    let koblitz = DraftKey::public_ec("1.3.132.0.10", &[4; 65]);
    let p224 = DraftKey::public_ec("1.3.132.0.33", &bytes(P224_GENERATOR)?);
    let compressed = DraftKey::public_ec("1.2.840.10045.3.1.7", &bytes(P256_COMPRESSED_GENERATOR)?);
    let stricter = |case: Case, why| Case { stricter: Some(why), ..case };
    Ok(vec![
        keys.root_key("a root with P-384", &DraftKey::p384()?)?,
        keys.root_key("a root with P-521", &DraftKey::p521()?)?,
        keys.root_key("a root with Ed25519", &DraftKey::ed25519()?)?,
        keys.root_key("a root with RSA of 2048 bits", &DraftKey::rsa()?)?,
        keys.root_key("a root with RSA of 1024 bits", &short)?,
        keys.root_key("a root with RSA of 512 bits", &too_short)?,
        keys.server_key("a server with P-384", &DraftKey::p384()?)?,
        keys.server_key("a server with P-521", &DraftKey::p521()?)?,
        keys.server_key("a server with Ed25519", &DraftKey::ed25519()?)?,
        keys.server_key("a server with RSA of 2048 bits", &DraftKey::rsa()?)?,
        keys.server_key("a server with RSA of 1024 bits", &short)?,
        keys.server_key("a server on a curve that Go does not know", &koblitz)?,
        keys.server_key("a server with a compressed point", &compressed)?,
        stricter(keys.server_key("a server with RSA of 512 bits", &too_short)?, IN_THE_HANDSHAKE),
        stricter(
            keys.server_key("a server with RSA of 8200 bits", &DraftKey::public_rsa(8200))?,
            IN_THE_HANDSHAKE,
        ),
        stricter(keys.server_key("a server with P-224", &p224)?, P224),
    ])
}

/// The generator of the curve as an uncompressed point.
const P224_GENERATOR: &str = "04b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34";

/// The generator of the curve as a compressed point.
const P256_COMPRESSED_GENERATOR: &str = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

fn bytes(digits: &str) -> Result<Vec<u8>> {
    let byte = |pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    digits.as_bytes().chunks(2).map(byte).collect()
}

impl Case {
    fn trust(&self) -> Result<Trust> {
        let text: String = self.bundle.iter().map(|certificate| pem(certificate)).collect();
        // A bundle of which nothing can be read has its own table.
        if let Ok(reading) = CaBundle::parse(text.as_bytes()) {
            return Ok(Trust::empty().with_bundle(&reading.bundle));
        }
        let stranger = Draft::authority("a stranger").self_signed(&DraftKey::p256()?)?;
        let reading = CaBundle::parse(pem(&stranger).as_bytes()).ok().context("no bundle")?;
        Ok(Trust::empty().with_bundle(&reading.bundle))
    }

    fn server_name(&self) -> Result<ServerName<'static>> {
        ServerName::try_from(self.host).context("no host")
    }

    fn verdict(&self) -> Result<Result<String, Problem>> {
        let presented = self.presented.iter().map(Vec::as_slice);
        let verdict = self.trust()?.judge(presented, &self.server_name()?, NOW);
        Ok(verdict.map(|chain| {
            let weak =
                chain.weak_key.map(|(link, bits)| format!(", {} has {bits} bits", link.subject.what()));
            let links: Vec<_> = chain.links.iter().map(|link| link.subject.name.clone()).collect();
            format!("{}{}", links.join(" < "), weak.unwrap_or_default())
        }))
    }

    /// The outcome of a handshake with a server that presents the certificates.
    async fn handshake(&self, key: &[u8]) -> Result<Result<(), Problem>> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
        let key = provider.key_provider.load_private_key(key)?;
        let chain = self.presented.iter().map(|certificate| CertificateDer::from(certificate.clone()));
        let certified = CertifiedKey::new(chain.collect(), key);
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let (client, server) = tokio::io::duplex(1 << 16);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (name, trust) = (self.server_name()?, self.trust()?);
        let (outcome, _) = tokio::join!(encrypt(client, &name, &trust), acceptor.accept(server));
        Ok(outcome.map(drop))
    }
}

fn cases() -> Result<Vec<Case>> {
    let keys = Keys::make()?;
    let parts = [
        authorities(&keys)?,
        intermediates(&keys)?,
        several(&keys)?,
        own(&keys)?,
        names(&keys)?,
        uris(&keys)?,
        constraints(&keys)?,
        constraints_for_uris(&keys)?,
        constraints_and_policies_of_intermediates(&keys)?,
        kinds_of_keys(&keys)?,
    ];
    Ok(parts.into_iter().flatten().collect())
}

#[tokio::test]
async fn every_chain_is_judged_as_go_judges_it() -> Result<()> {
    let cases = cases()?;
    ensure!(cases.len() >= 40, "only {} cases", cases.len());
    let questions: Vec<_> = cases
        .iter()
        .map(|case| ChainCase {
            presented: case.presented.iter().map(|certificate| pem(certificate)).collect(),
            bundle: case.bundle.iter().map(|certificate| pem(certificate)).collect(),
            name: case.host.to_owned(),
            now: NOW,
        })
        .collect();
    let verdicts = GoOpinion::install()?.certificate_chains(&questions)?;
    let mut table = String::new();
    let mut differences = Vec::new();
    for (case, go) in cases.iter().zip(verdicts) {
        let ours = case.verdict()?;
        let go_says = if go.accepted { "accepted".to_owned() } else { go.error.clone() };
        let we_say = match &ours {
            Ok(chain) => format!("accepted: {chain}"),
            Err(problem) => format!("{}: {}", problem.reason, problem.message),
        };
        writeln!(table, "{}\n  Go:  {go_says}\n  we:  {we_say}", quote_exactly(case.title))?;
        if let Some(why) = case.stricter {
            writeln!(table, "  why: {why}")?;
        }
        if ours.is_ok() != go.accepted && case.stricter.is_none() || ours.is_ok() && case.stricter.is_some() {
            differences.push(case.title);
        }
        if let Some(key) = &case.key {
            let met = case.handshake(key).await?;
            ensure!(met.is_ok() == ours.is_ok(), "{}: a handshake ends with {met:?}", case.title);
        }
    }
    ensure!(differences.is_empty(), "without an explanation: {differences:?}\n{table}");
    insta::assert_snapshot!(table);
    Ok(())
}
