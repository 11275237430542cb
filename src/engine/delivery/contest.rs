//! Finds the resources that compete for the same target, and decides which of them delivers. The entries in the
//! target count, because a status may be out of date.

use kube::ResourceExt;

use crate::{
    engine::{
        Contender, Context, Kind,
        precedence::{self, Claim, Proof},
    },
    workloads::{self, Target, TargetSnapshot},
};

/// A resource among the others of its namespace that deliver to a target.
pub(super) struct Contest {
    pub contender: Contender,
    pub others: Vec<Contender>,
}

impl Contest {
    /// Builds the contest for a resource that wants to deliver, with what its run has found about its checks.
    /// Returns `None` for a resource that cannot compete with any other.
    pub async fn of<K: Kind>(object: &K, context: &Context<K>, proof: Proof) -> Option<Self> {
        let others = context.others(object).await;
        // A resource that failed and yielded only comes here when something gives it a reason to try again, so it
        // competes again.
        let contender = Contender::of(object)?.trying_again().proven(proof);
        Some(Self { contender, others })
    }

    /// The same contest, with the entries that were seen in the target.
    pub fn at(&self, target: &Target, seen: &TargetSnapshot) -> Self {
        let mut all = self.others.clone();
        all.retain(|other| !other.is(&self.contender));
        all.push(self.contender.clone());
        let mut others = precedence::with_entries_seen(&all, target, seen);
        let contender = others.pop().unwrap_or_else(|| self.contender.clone());
        Self { contender, others }
    }

    /// Whether any other resource competes with this one or shares its target.
    pub fn is_real(&self) -> bool {
        self.others.iter().any(|other| precedence::meet(&self.contender, other))
    }

    /// The result of the contest for this resource.
    pub fn claim(&self) -> Claim {
        precedence::judge(&self.contender, &self.others)
    }

    /// The resource that writes to the target.
    pub fn leader(&self) -> &Contender {
        precedence::leader(&self.contender, &self.others)
    }

    /// Whether no other resource's values are delivered together with this one's.
    pub fn is_alone(&self) -> bool {
        precedence::partners(&self.contender, &self.others).is_empty()
    }

    /// The resources whose entries this one replaces.
    pub fn displaced(&self) -> Vec<Contender> {
        precedence::displaced(&self.contender, &self.others).into_iter().cloned().collect()
    }

    /// The resource that delivers at once if this one cannot. It must cover all of this target: a resource that
    /// takes over only some of the entries must not keep the others from being removed.
    pub fn successor(&self, target: &Target) -> Option<Contender> {
        let is_able = |other: &&Contender| {
            other.can_deliver() && other.target.as_ref().is_some_and(|theirs| target.is_within(theirs))
        };
        precedence::successor(&self.contender, &self.others).filter(is_able).cloned()
    }
}

/// The result of the contest for a resource, with the entries in the target where it can be read.
pub(in crate::engine) async fn claim<K: Kind>(object: &K, context: &Context<K>, proof: Proof) -> Claim {
    let Some(competition) = Contest::of(object, context, proof).await else { return Claim::Held };
    let claim = competition.claim();
    let (Some(target), true) = (&competition.contender.target, competition.is_real()) else { return claim };
    let namespace = object.namespace().unwrap_or_default();
    // An error in reading the target is reported by the resource that delivers there, so it is not repeated here.
    match workloads::read(&context.client, &namespace, target).await {
        Ok(Some(seen)) => competition.at(target, &seen).claim(),
        _ => claim,
    }
}
