//! Finds conflicts in places of the values that the operator does not write: values there that would override the
//! entries, and values that the entries would silently override.

use serde_json::Value;

use super::{
    ChartVariable, Layers, OIDC_SECRET, V1Snapshot, ValuePlace, ValuesAuthor, effective, login_applications,
    variable,
};
use crate::workloads::{
    Delivery,
    weights_and_biases::{edit::Edit, tree},
};

/// The places of a variable that override the one that the operator writes, the strongest of each application
/// first.
pub fn stronger<'a>(applications: &'a [&'a str], name: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    applications.iter().flat_map(move |application| effective::above(application, name))
}

/// The path in the resource of this path within the values.
pub fn to_resource<'a>(path: &[&'a str]) -> Vec<&'a str> {
    [&["spec", "values"], path].concat()
}

/// The path within the values of this path in the resource.
pub fn in_values<'a>(path: &'a [&'a str]) -> &'a [&'a str] {
    path.strip_prefix(&["spec", "values"]).unwrap_or(path)
}

/// Records as conflicts what would override the owner's entries, and what these would silently override. It
/// examines the other sources, and the places of the resource that the operator does not write.
pub fn look_at_other_sources(
    edit: &mut Edit<'_>,
    seen: &V1Snapshot<'_>,
    wanted: &[&str],
    fields: &[(&[&str], Option<&str>)],
) {
    let edited = edit.edited().clone();
    let layers: Layers<'_> = seen.sources.values(&edited).collect();
    let mut places = effective::misfits(&layers);
    let applications: Vec<_> = login_applications(&layers).collect();
    for name in wanted {
        let own = tree::find(&edited, &variable(name));
        for path in stronger(&applications, name) {
            let wins = effective::variable(&layers, &path).is_some_and(|found| Some(&found.value) != own);
            places.extend(wins.then(|| effective::holders(&layers, &path)).into_iter().flatten());
        }
        let path = variable(name);
        places.extend(below_the_resource(effective::holders(&layers, in_values(&path))));
    }
    let has_secret = wanted.iter().any(|name| effective::SECRET_NAMES.contains(name));
    let secrets = [[in_values(OIDC_SECRET), &["name"]].concat(), effective::LITERAL_SECRET.to_vec()];
    for path in secrets.iter().filter(|_| has_secret) {
        places.extend(below_the_resource(effective::holders(&layers, path)));
    }
    for (path, wanted) in fields.iter().filter_map(|(path, wanted)| Some((path, (*wanted)?))) {
        let differs = |(_, values): &(ValuesAuthor, &Value)| {
            tree::find(values, in_values(path)).is_some_and(|found| found.as_str() != Some(wanted))
        };
        let others: Layers<'_> = layers.iter().copied().filter(differs).collect();
        places.extend(below_the_resource(effective::holders(&others, in_values(path))));
    }
    for place in places {
        edit.conflict_at(&place.describe(seen.name), &in_the_resource(&place));
    }
}

/// Records as conflicts the settings of the chart that a person made and that a variable of the delivery would
/// silently override. These are the settings that the operator does not write into the chart's own fields.
pub fn look_at_settings(
    edit: &mut Edit<'_>,
    seen: &V1Snapshot<'_>,
    delivery: &Delivery<'_>,
    wanted: &[&str],
) {
    const SETTINGS: [&[&str]; 2] = [effective::LITERAL_SECRET, effective::SESSION_HOURS];
    let layers = seen.layers();
    for environment in login_applications(&layers).map(|name| effective::environment(&layers, name)) {
        let found =
            wanted.iter().filter_map(|name| Some((delivery.values.get(name)?, environment.get(*name)?)));
        for (value, ChartVariable { value: present, place }) in found {
            let is_setting = SETTINGS.iter().any(|path| place.path == *path);
            let is_of_person = matches!(place.origin, ValuesAuthor::Resource | ValuesAuthor::Console);
            if is_of_person && is_setting && present.as_str() != Some(value.expose()) {
                edit.conflict_at(&place.describe(seen.name), &in_the_resource(place));
            }
        }
    }
}

/// The places in other sources than the resource. The places of the resource itself are checked where they are
/// edited.
fn below_the_resource(places: Vec<ValuePlace>) -> impl Iterator<Item = ValuePlace> {
    places.into_iter().filter(|place| place.origin != ValuesAuthor::Resource)
}

/// The path in the resource; empty if the place is in another source.
pub fn in_the_resource(place: &ValuePlace) -> Vec<&str> {
    match place.origin {
        ValuesAuthor::Resource => to_resource(&place.path.iter().map(String::as_str).collect::<Vec<_>>()),
        ValuesAuthor::Console | ValuesAuthor::Managed | ValuesAuthor::Channel => Vec::new(),
    }
}
