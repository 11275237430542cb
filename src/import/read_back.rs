//! Finds the plan from which values were published, to check whether these values still work.

use std::collections::BTreeMap;

use super::{
    FoundEnvironment, Recoverable, ServerShape, Variable, VariableSource, draft, imaginary::ImaginaryObjects,
};
use crate::{
    engine::{CA_FILE, Prepared, Values, prepare},
    net::Trust,
    sensitive::Sensitive,
};

/// The plan of a spec that would publish these values, or `None` if no spec of the kind would. Settings that no
/// value contains are taken from the present resource, except for those that concern only that resource, such as
/// samples and test users.
pub fn plan_of<K: Recoverable>(present: &K, values: &Values, system_trust: &Trust) -> Option<K::Plan> {
    let names = K::ENVIRONMENT.iter().flat_map(|env| env.names());
    let variables = names.filter_map(|name| {
        let value = Some(values.get(name)?.clone());
        Some((name.to_owned(), Variable { source: VariableSource::Elsewhere, value }))
    });
    let variables: BTreeMap<_, _> = variables.collect();
    let mut found = FoundEnvironment { shape: ServerShape::Local, variables, host: None, token_issuer: None };
    present.add_unsaid(&mut found);
    let mut objects = ImaginaryObjects::with_authorities(values.get(CA_FILE).map(Sensitive::expose));
    let draft = draft::<K>(&found, objects.identity("earlier"))?;
    if !draft.holes.is_empty() || !draft.losses.is_empty() {
        return None;
    }
    objects.add(&draft.made);
    let mut earlier: K = K::deserialize(&draft.manifest).ok()?;
    earlier.complete(present);
    match prepare(&earlier, &[], objects.all(), system_trust, &[values]) {
        Prepared::Planned(planned) => Some(planned.plan),
        Prepared::NotAccepted(_) | Prepared::Unresolved(_) => None,
    }
}
