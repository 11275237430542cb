//! Who else wants the same of a target, and who has it: decided by what is seen there, as a status may be late.

use kube::ResourceExt;

use crate::{
    engine::{
        Contender, Context, Kind,
        precedence::{self, Claim, Proof},
    },
    workloads::{self, Target, TargetSnapshot},
};

/// A resource among those of its namespace.
pub(super) struct Contest {
    pub claimant: Contender,
    pub others: Vec<Contender>,
}

impl Contest {
    /// The resource, as one that wants its place, with what its run has found of its checks; nothing where it stands in
    /// nobody's way.
    pub async fn of<K: Kind>(object: &K, context: &Context<K>, proof: Proof) -> Option<Self> {
        let others = context.others(object).await;
        // Who failed and gave way tries again only for a reason, and then claims its place again.
        let claimant = Contender::of(object)?.trying_again().proven(proof);
        Some(Self { claimant, others })
    }

    /// The same with what was seen of everybody's entries.
    pub fn at(&self, target: &Target, seen: &TargetSnapshot) -> Self {
        let mut all = self.others.clone();
        all.retain(|other| !other.is(&self.claimant));
        all.push(self.claimant.clone());
        let mut others = precedence::with_entries_seen(&all, target, seen);
        let claimant = others.pop().unwrap_or_else(|| self.claimant.clone());
        Self { claimant, others }
    }

    /// Whether anybody may want the same, or writes together with it.
    pub fn is_real(&self) -> bool {
        self.others.iter().any(|other| precedence::meet(&self.claimant, other))
    }

    /// How the resource stands.
    pub fn claim(&self) -> Claim {
        precedence::judge(&self.claimant, &self.others)
    }

    /// Who writes to the target.
    pub fn leader(&self) -> &Contender {
        precedence::leader(&self.claimant, &self.others)
    }

    /// Whether nobody's values are delivered together with those of the resource.
    pub fn is_alone(&self) -> bool {
        precedence::partners(&self.claimant, &self.others).is_empty()
    }

    /// Whose entries give way.
    pub fn displaced(&self) -> Vec<Contender> {
        precedence::displaced(&self.claimant, &self.others).into_iter().cloned().collect()
    }

    /// Who has the place at once if this resource cannot use it. One that does not take all of the entries over must
    /// not keep any from being taken out.
    pub fn successor(&self, target: &Target) -> Option<Contender> {
        let is_able = |other: &&Contender| {
            other.can_deliver() && other.target.as_ref().is_some_and(|theirs| target.is_within(theirs))
        };
        precedence::successor(&self.claimant, &self.others).filter(is_able).cloned()
    }
}

/// How the resource stands towards those that want the same.
pub(in crate::engine) async fn claim<K: Kind>(object: &K, context: &Context<K>, proof: Proof) -> Claim {
    let Some(rivals) = Contest::of(object, context, proof).await else { return Claim::Held };
    let claim = rivals.claim();
    let (Some(target), true) = (&rivals.claimant.target, rivals.is_real()) else { return claim };
    let namespace = object.namespace().unwrap_or_default();
    // What keeps the target from being read is told by who delivers there.
    match workloads::read(&context.client, &namespace, target).await {
        Ok(Ok(Some(seen))) => rivals.at(target, &seen).claim(),
        _ => claim,
    }
}
