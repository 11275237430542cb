//! Finds the chains from a server's certificate to a trusted authority, as Go's `x509.Certificate.Verify` does.
//! Pure.
//!
//! Go differs from most libraries: an authority's own validity, purposes and constraints count, a trusted
//! certificate may be the server's own without being an authority's, and one good chain is enough.

use rustls::pki_types::ServerName;

use super::{
    Trust,
    budget::Budget,
    certificate::Certificate,
    constraints,
    key::{COMMON_RSA, LARGEST_RSA, SignatureFault},
    names, policies,
    refusal::TrustRefusal,
};

/// The position of a certificate in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server's own certificate.
    Server,
    /// A certificate between the server's own and the authority's, which the server sent.
    Intermediate,
    /// A trusted certificate from `tls.caBundle`.
    BundleAuthority,
    /// A trusted certificate of the system.
    SystemAuthority,
}

/// A chain that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    /// The server's certificate first, the trusted authority last.
    pub links: Vec<ChainLink>,
    /// The certificate of the chain with a key that Go accepts but much other software does not, and the length
    /// of that key in bits.
    pub weak_key: Option<(ChainLink, usize)>,
}

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// Its position, and whose it is.
    pub subject: CertificateSubject,
    /// The last second of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// A certificate of a chain, as words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSubject {
    /// Its position.
    pub role: Role,
    /// The name of its subject.
    pub name: String,
}

impl CertificateSubject {
    /// The certificate as words for the middle of a sentence.
    pub fn what(&self) -> String {
        let name = &self.name;
        match self.role {
            Role::Server => format!("the server's certificate ({name})"),
            Role::Intermediate => format!("the intermediate certificate ({name}) that the server sends"),
            Role::BundleAuthority => format!("the authority's certificate ({name}) in tls.caBundle"),
            Role::SystemAuthority => format!("the authority's certificate ({name}) among the system's"),
        }
    }

    /// How a person renews it.
    pub fn renewal(&self) -> &'static str {
        match self.role {
            Role::Server => "Renew it on the server.",
            Role::Intermediate => "Configure the server to send the renewed one.",
            Role::BundleAuthority => {
                "Put the authority's renewed certificate into tls.caBundle, beside this one as long as servers have certificates that need it."
            }
            Role::SystemAuthority => "Give the server a certificate of another authority.",
        }
    }
}

/// How many signatures are verified for one server at most, as in Go.
const MOST_SIGNATURES: usize = 100;

/// Judges the certificates that a server presents, its own one first.
pub(super) fn verify(
    presented: &[Certificate],
    trust: &Trust,
    name: &ServerName<'_>,
    now: i64,
) -> Result<VerifiedChain, TrustRefusal> {
    let (server, intermediates) = presented.split_first().ok_or(TrustRefusal::NothingPresented)?;
    let link = Link { role: Role::Server, certificate: server };
    own_key(link, intermediates)?;
    validity(link, now)?;
    if !names::carries(server, name) {
        return Err(TrustRefusal::name(server, name));
    }
    let chains = if trust.contains(server) {
        vec![vec![link]]
    } else {
        let mut search = ChainSearch {
            trust,
            intermediates,
            now,
            signatures: 0,
            chains: Vec::new(),
            refusals: Vec::new(),
        };
        search.extend(&[link]);
        if search.chains.is_empty() {
            return Err(search.refusal(server));
        }
        search.chains
    };
    let mut refusal = None;
    let mut good = Vec::new();
    let mut budget = Budget::default();
    for chain in chains {
        match whole(&chain, &mut budget) {
            Ok(()) => good.push(chain),
            Err(refused) => refusal = refusal.or(Some(refused)),
        }
    }
    // Clients may use any of these chains, so the one that stays valid longest decides how long connections work.
    let first_end = |chain: &Vec<Link<'_>>| chain.iter().map(|link| link.certificate.not_after).min();
    match good.into_iter().max_by_key(first_end) {
        Some(chain) => Ok(describe(&chain)),
        None => Err(refusal.unwrap_or(TrustRefusal::NothingPresented)),
    }
}

#[derive(Clone, Copy)]
struct Link<'a> {
    role: Role,
    certificate: &'a Certificate,
}

impl Link<'_> {
    fn subject(self) -> CertificateSubject {
        CertificateSubject { role: self.role, name: self.certificate.subject_name.clone() }
    }
}

/// Refuses keys with which no handshake can succeed.
fn own_key(server: Link<'_>, intermediates: &[Certificate]) -> Result<(), TrustRefusal> {
    match server.certificate.key.fault() {
        Some(SignatureFault::ShortKey(bits)) => return Err(TrustRefusal::ShortKey(server.subject(), bits)),
        Some(_) => return Err(TrustRefusal::UnsupportedKey(server.subject())),
        None => {}
    }
    let presented = intermediates.iter().map(|certificate| Link { role: Role::Intermediate, certificate });
    let too_long = |link: &Link<'_>| link.certificate.key.rsa_bits().is_some_and(|bits| bits > LARGEST_RSA);
    match std::iter::once(server).chain(presented).find(too_long) {
        Some(link) => Err(TrustRefusal::LongKey(link.subject())),
        None => Ok(()),
    }
}

/// Judges what every certificate of a chain must fulfil, whatever its position.
fn validity(link: Link<'_>, now: i64) -> Result<(), TrustRefusal> {
    let certificate = link.certificate;
    if let Some(extension) = &certificate.unknown_critical {
        return Err(TrustRefusal::UnknownExtension(link.subject(), extension.clone()));
    }
    if now < certificate.not_before {
        return Err(TrustRefusal::NotYetValid(link.subject(), certificate.not_before));
    }
    if now > certificate.not_after {
        return Err(TrustRefusal::Expired(link.subject(), certificate.not_after));
    }
    Ok(())
}

/// Judges whether a certificate was allowed to sign the one below it, and did.
fn signature(child: &Certificate, parent: Link<'_>) -> Result<(), TrustRefusal> {
    let issuer = parent.certificate;
    let is_authority = match issuer.authority {
        Some(constraints) => constraints.is_authority,
        // Certificates before version 3 cannot say whether they are an authority's.
        None => issuer.version < 3,
    };
    if !is_authority {
        return Err(TrustRefusal::NoAuthority(parent.subject()));
    }
    if !issuer.may_sign {
        return Err(TrustRefusal::NoSigning(parent.subject()));
    }
    issuer.key.verify(child.algorithm, &child.signed, &child.signature).map_err(|fault| match fault {
        SignatureFault::Wrong => TrustRefusal::OtherKey(parent.subject()),
        SignatureFault::Broken(algorithm) => {
            TrustRefusal::BrokenSignature(child.subject_name.clone(), algorithm)
        }
        SignatureFault::ShortKey(bits) => TrustRefusal::ShortKey(parent.subject(), bits),
        SignatureFault::Unsupported => TrustRefusal::UnsupportedKey(parent.subject()),
    })
}

/// Judges whether the certificate may be above this many intermediates.
fn place(link: Link<'_>, intermediates: usize) -> Result<(), TrustRefusal> {
    // A trusted certificate before version 3 cannot say that it is an authority's, so it need not; an
    // intermediate must.
    if link.role == Role::Intermediate && link.certificate.authority.is_none() {
        return Err(TrustRefusal::NoAuthority(link.subject()));
    }
    let limit = link.certificate.authority.and_then(|constraints| constraints.path_length);
    match limit {
        Some(limit) if usize::try_from(limit).is_ok_and(|limit| intermediates > limit) => {
            Err(TrustRefusal::PathTooLong(link.subject(), limit))
        }
        _ => Ok(()),
    }
}

/// Judges a chain as a whole.
fn whole(chain: &[Link<'_>], budget: &mut Budget) -> Result<(), TrustRefusal> {
    let certificates: Vec<_> = chain.iter().map(|link| link.certificate).collect();
    policies::check(&certificates, budget)?;
    if let Some(link) = chain.iter().find(|link| !link.certificate.serves) {
        return Err(TrustRefusal::OtherUsage(link.subject()));
    }
    constraints::check(&certificates, budget)
}

fn describe(chain: &[Link<'_>]) -> VerifiedChain {
    let describe =
        |link: &Link<'_>| ChainLink { subject: link.subject(), not_after: link.certificate.not_after };
    let weak_key = chain.iter().find_map(|link| {
        let bits = link.certificate.key.rsa_bits().filter(|bits| *bits < COMMON_RSA)?;
        Some((describe(link), bits))
    });
    VerifiedChain { links: chain.iter().map(describe).collect(), weak_key }
}

struct ChainSearch<'a> {
    trust: &'a Trust,
    intermediates: &'a [Certificate],
    now: i64,
    signatures: usize,
    chains: Vec<Vec<Link<'a>>>,
    refusals: Vec<TrustRefusal>,
}

impl<'a> ChainSearch<'a> {
    /// Continues the search with every certificate that may have issued the last one of the chain.
    fn extend(&mut self, chain: &[Link<'a>]) {
        let Some(Link { certificate: child, .. }) = chain.last() else { return };
        let intermediates =
            self.intermediates.iter().map(|certificate| Link { role: Role::Intermediate, certificate });
        let authorities = self.trust.authorities().map(|(role, certificate)| Link { role, certificate });
        let candidates: Vec<_> = authorities
            .chain(intermediates)
            .filter(|link| link.certificate.subject == child.issuer && !is_in(link.certificate, chain))
            .collect();
        if candidates.is_empty() {
            self.refusals.push(TrustRefusal::unknown_issuer(child));
        }
        for link in candidates {
            self.signatures += 1;
            if self.signatures > MOST_SIGNATURES {
                self.refusals.push(TrustRefusal::TooManySignatures);
                return;
            }
            match self.judge(chain, child, link) {
                // A self-issued certificate that is not trusted ends the chain, so its own fault is not worth
                // reporting.
                Err(_) if link.role == Role::Intermediate && link.certificate.is_self_issued() => {
                    self.refusals.push(TrustRefusal::unknown_issuer(link.certificate));
                }
                Err(refusal) => self.refusals.push(refusal),
                Ok(()) => {
                    let longer: Vec<_> = chain.iter().copied().chain([link]).collect();
                    if link.role == Role::Intermediate {
                        self.extend(&longer);
                    } else {
                        self.chains.push(longer);
                    }
                }
            }
        }
    }

    fn judge(&self, chain: &[Link<'a>], child: &Certificate, link: Link<'a>) -> Result<(), TrustRefusal> {
        signature(child, link)?;
        validity(link, self.now)?;
        place(link, chain.len() - 1)
    }

    /// The refusal that helps people most.
    fn refusal(self, server: &Certificate) -> TrustRefusal {
        let first_of_the_highest = self.refusals.into_iter().rev().max_by_key(TrustRefusal::rank);
        first_of_the_highest.unwrap_or_else(|| TrustRefusal::unknown_issuer(server))
    }
}

/// Whether the chain already has a certificate with this name and key. Two authorities may have signed each
/// other, which would never end.
fn is_in(candidate: &Certificate, chain: &[Link<'_>]) -> bool {
    chain.iter().any(|link| {
        let other = link.certificate;
        candidate.subject == other.subject
            && candidate.key_info == other.key_info
            && candidate.encoded_names() == other.encoded_names()
    })
}
