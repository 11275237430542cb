//! A target of several workloads or containers. All of them always have the same values: one revision serves all,
//! and they are rolled out and rolled back together.

use kube::core::ApiResource;

use super::{
    AppliedState, Change, Delivery, Environment, Owner, PresentVariable, Target, TargetSnapshot,
    read_target::ReadTarget,
};
use crate::problem::Problem;

/// The snapshots of several workloads, which together are one target.
#[derive(Clone, Debug)]
pub struct Several {
    first: Box<CombinedPart>,
    more: Vec<CombinedPart>,
}

/// The snapshot of one of the workloads.
#[derive(Clone, Debug)]
struct CombinedPart {
    seen: TargetSnapshot,
    reach: Reach,
}

/// Whether a delivery includes a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The workload gets the values of the delivery.
    Within,
    /// The workload gets no values, because the revision was made before the workload was a part of the target.
    Outside,
}

impl ReadTarget for Several {
    fn standing(&self, owner: &Owner) -> AppliedState {
        let all: Vec<AppliedState> = self.parts().map(|(seen, _)| seen.standing(owner)).collect();
        let moved = all.iter().filter(|standing| standing.moved.is_some());
        let moved = moved.max_by_key(|standing| standing.moved.as_ref().and_then(|moved| moved.at));
        let numbers = match moved {
            Some(AppliedState { numbers, .. }) if numbers.len() == 1 => numbers.clone(),
            _ => all.iter().flat_map(|standing| standing.numbers.iter().copied()).collect(),
        };
        AppliedState {
            numbers,
            applied_at: all.iter().filter_map(|standing| standing.applied_at).max(),
            moved: moved.and_then(|standing| standing.moved.clone()),
            undone: None,
        }
    }

    fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        self.together(|seen, reach| {
            seen.change(owner, delivery.filter(|_| reach == Reach::Within), displaced)
        })
    }

    fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        self.together(|seen, reach| match reach {
            Reach::Within => seen.take_over(owner, delivery),
            Reach::Outside => seen.change(owner, None, &[]),
        })
    }

    fn present(&self, owner: &Owner, delivery: &Delivery<'_>, displaced: &[Owner]) -> Vec<PresentVariable> {
        let within = self.parts().filter(|(_, reach)| *reach == Reach::Within);
        within.flat_map(|(seen, _)| seen.present(owner, delivery, displaced)).collect()
    }

    fn environment(&self) -> Environment {
        Environment::merged(self.parts().map(|(seen, _)| seen.environment()))
    }

    fn resource(&self) -> ApiResource {
        self.first.seen.resource()
    }

    fn name(&self) -> &str {
        self.first.seen.name()
    }
}

impl Several {
    /// Combines the snapshots into one. A single snapshot is returned as it is.
    pub(super) fn of(parts: Vec<TargetSnapshot>) -> Option<TargetSnapshot> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let part = |seen| CombinedPart { seen, reach: Reach::Within };
        let more: Vec<CombinedPart> = parts.map(part).collect();
        Some(if more.is_empty() {
            first
        } else {
            TargetSnapshot::Several(Self { first: Box::new(part(first)), more })
        })
    }

    /// The same snapshots, with deliveries limited to the objects of `target`.
    #[must_use]
    pub(super) fn reaching(mut self, target: &Target) -> Self {
        for CombinedPart { seen, reach } in [&mut *self.first].into_iter().chain(&mut self.more) {
            let is_within = target.includes(&seen.resource().kind, seen.name());
            *reach = if is_within { Reach::Within } else { Reach::Outside };
        }
        self
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (&TargetSnapshot, Reach)> {
        [&*self.first].into_iter().chain(&self.more).map(|part| (&part.seen, part.reach))
    }

    /// The snapshots of the parts that change, each with its change.
    pub(super) fn changed<'a>(
        &'a self,
        changes: &'a [(usize, Change)],
    ) -> Vec<(&'a TargetSnapshot, &'a Change)> {
        let of_part = |(index, change): &'a (usize, Change)| Some((self.parts().nth(*index)?.0, change));
        changes.iter().filter_map(of_part).collect()
    }

    fn together(
        &self,
        change: impl Fn(&TargetSnapshot, Reach) -> Result<Option<Change>, Problem>,
    ) -> Result<Option<Change>, Problem> {
        let mut changes = Vec::new();
        let mut problems = Vec::new();
        for (index, (seen, reach)) in self.parts().enumerate() {
            match change(seen, reach) {
                Ok(None) => {}
                Ok(Some(change)) => changes.push((index, change)),
                Err(problem) => problems.push(problem),
            }
        }
        Problem::all(problems)?;
        Ok((!changes.is_empty()).then_some(Change::Several(changes)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        api::Reason,
        workloads::{
            WorkloadAddress,
            workload::samples::{ADDRESS, LOGIN, changed, delivery, owner, values, workload},
        },
    };

    fn target(name: &str) -> Target {
        Target::Deployment(WorkloadAddress { name: name.to_owned(), container: None })
    }

    /// A Deployment whose container has this `env` entry; an empty text means none.
    fn part(name: &str, entry: &str) -> TargetSnapshot {
        let yaml = format!(
            "spec: {{selector: {{}}, template: {{spec: {{containers: [{{name: main, image: i, env: [{entry}]}}]}}}}}}"
        );
        TargetSnapshot::Workload(workload(&target(name), &yaml))
    }

    fn both(app: &str, api: &str) -> TargetSnapshot {
        Several::of(vec![part("app", app), part("api", api)]).unwrap()
    }

    const FOREIGN: &str = "{name: LOCAL_LDAP_ADDRESS, value: theirs}";

    #[test]
    fn one_is_no_several() {
        assert!(matches!(Several::of(vec![part("app", "")]), Some(TargetSnapshot::Workload(_))));
        assert!(Several::of(Vec::new()).is_none());
    }

    #[test]
    fn all_are_changed_or_none() {
        let full = values(&[ADDRESS]);
        let wanted = delivery(1, &full);
        let Some(Change::Several(changes)) = both("", "").change(&owner("corp"), Some(&wanted), &[]).unwrap()
        else {
            panic!("no changes")
        };
        assert_eq!(changes.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
        let refused = both("", FOREIGN).change(&owner("corp"), Some(&wanted), &[]).unwrap_err();
        assert_eq!(refused.reason, Reason::FieldConflict);
        assert!(refused.message.contains("Deployment/api") && !refused.message.contains("Deployment/app"));
        let refused = both(FOREIGN, FOREIGN).change(&owner("corp"), Some(&wanted), &[]).unwrap_err();
        assert!(refused.message.contains("Deployment/api") && refused.message.contains("Deployment/app"));
    }

    /// The Deployments after every change that the delivery needs has been made.
    fn settled(seen: TargetSnapshot, wanted: Option<&Delivery<'_>>) -> TargetSnapshot {
        let TargetSnapshot::Several(several) = seen else { panic!("one") };
        let mut parts: Vec<CombinedPart> = [*several.first].into_iter().chain(several.more).collect();
        for _ in 0..4 {
            let mut all = parts.clone().into_iter();
            let whole = Several { first: Box::new(all.next().unwrap()), more: all.collect() };
            let Some(Change::Several(changes)) = whole.change(&owner("corp"), wanted, &[]).unwrap() else {
                return TargetSnapshot::Several(whole);
            };
            for (index, change) in changes {
                let TargetSnapshot::Workload(seen) = &parts[index].seen else { panic!("no workload") };
                parts[index].seen = TargetSnapshot::Workload(changed(seen, &owner("corp"), &change));
            }
        }
        panic!("it does not end")
    }

    #[test]
    fn going_back_is_to_what_a_revision_was_made_for() {
        let numbers = |seen: &TargetSnapshot| {
            let of_part = |(seen, _): (&TargetSnapshot, Reach)| seen.standing(&owner("corp")).numbers;
            seen.parts().into_iter().map(of_part).collect::<Vec<_>>()
        };
        let (one, two) = (values(&[ADDRESS]), values(&[ADDRESS, LOGIN]));
        let seen = settled(both("", "").reaching(&target("app")), Some(&delivery(1, &one)));
        assert_eq!(numbers(&seen), [[1].into(), BTreeSet::new()]);
        let all = Target::parse("Deployment/app and Deployment/api").unwrap();
        let seen = settled(seen.reaching(&all), Some(&delivery(2, &two)));
        assert_eq!(numbers(&seen), [BTreeSet::from([2]), [2].into()]);
        assert_eq!(seen.standing(&owner("corp")).numbers, [2].into());
        let seen = settled(seen.reaching(&target("app")), Some(&delivery(1, &one)));
        assert_eq!(numbers(&seen), [[1].into(), BTreeSet::new()]);
        let seen = settled(seen, None);
        assert_eq!(seen.standing(&owner("corp")), AppliedState::default());
    }

    #[test]
    fn who_points_one_elsewhere_means_all() {
        let by = |manager: &str, number: u64| {
            format!(
                "
metadata:
  managedFields:
  - manager: {manager}
    operation: Apply
    time: 2026-11-01T1{number}:00:00Z
    fieldsV1: {{f:spec: {{f:template: {{f:spec: {{f:containers: {{'k:{{\"name\":\"main\"}}': {{f:env: {{
      'k:{{\"name\":\"LOCAL_LDAP_ADDRESS\"}}': {{.: {{}}, f:valueFrom: {{f:secretKeyRef: {{}}}}}}}}}}}}}}}}}}}}
spec:
  selector: {{}}
  template: {{spec: {{containers: [{{name: main, env: [
    {{name: LOCAL_LDAP_ADDRESS, valueFrom: {{secretKeyRef: {{name: corp-ldap-{number}, key: LOCAL_LDAP_ADDRESS}}}}}}]}}]}}}}
"
            )
        };
        let part =
            |name, manager, number| TargetSnapshot::Workload(workload(&target(name), &by(manager, number)));
        let ours = owner("corp").manager;
        let seen = Several::of(vec![part("app", &ours, 2), part("api", "kubectl-rollout", 1)]).unwrap();
        let standing = seen.standing(&owner("corp"));
        assert_eq!(standing.numbers, [1].into());
        assert_eq!(standing.moved.map(|moved| moved.by).as_deref(), Some("kubectl-rollout"));
        assert_eq!(standing.applied_at, Some("2026-11-01T12:00:00Z".parse().unwrap()));
        let seen = Several::of(vec![part("app", &ours, 2), part("api", &ours, 1)]).unwrap();
        assert_eq!(seen.standing(&owner("corp")).numbers, [1, 2].into());
    }
}
