//! Makes the text for standard error: which of the server's settings the resources keep, and which they do not.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    super::{CommandVerdict, manifests::Manifests, references::References},
    result::Imported,
};
use crate::cli::dyn_resource::{CheckSurroundings, Rendered, Title};
use crate::{
    api::{CheckName, JwtIssuer, LdapConfig, OidcProvider},
    engine::{Env, Kind},
    import::{Comparison, FoundEnvironment, ResourceDraft, ServerShape, alone},
    problem::quote,
    sensitive::Sensitive,
    workloads::RESTORE_MODE,
};

/// Compares every variable of the server with the value that the resources would publish, and adds everything else
/// that a person should know.
pub(super) async fn compare(
    imported: &Imported,
    references: &References,
    manifests: &Manifests,
) -> anyhow::Result<(String, CommandVerdict)> {
    let mut verdict = CommandVerdict::Passed;
    let mut lines = vec![heading(imported)];
    lines.extend(imported.subject.notes.iter().map(|note| format!("! {note}")));
    for draft in &imported.drafts {
        lines.push(String::new());
        lines.push(format!("{} {}", draft.kind, imported.subject.name));
        lines.extend(draft.holes.iter().map(|hole| format!("  ✗ It is not complete: {hole}")));
        if !draft.holes.is_empty() {
            verdict = verdict.worse(CommandVerdict::NotUsable);
        }
        let resource = manifests.resources.iter().find(|resource| {
            let Title { kind, namespace, name } = resource.title();
            kind == draft.kind && namespace == imported.subject.namespace && name == imported.subject.name
        });
        if let Some(resource) = resource {
            let objects = references.of(&**resource, manifests).await?;
            let surroundings =
                CheckSurroundings { objects: &objects, resources: &[], cluster: references.cluster() };
            match resource.render(surroundings) {
                Ok(rendered) => {
                    let (compared, outcome) = settings(&imported.found, draft, &rendered);
                    lines.extend(compared.into_iter().map(|line| format!("  {line}")));
                    verdict = verdict.worse(outcome);
                }
                Err(obstacle) => {
                    lines.push(format!("  ! The values could not be compared: {}", obstacle.problem.message));
                }
            }
        }
        lines.extend(draft.notes.iter().map(|note| format!("  ! {note}")));
        lines.extend(draft.losses.iter().map(|loss| {
            format!("  ✗ {} could not be carried over: {}.", loss.name, loss.why.trim_end_matches('.'))
        }));
    }
    lines.extend(others(imported));
    let text = lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    Ok((text, verdict))
}

fn heading(imported: &Imported) -> String {
    let shape = match imported.found.shape {
        ServerShape::Local => "wandb/local",
        ServerShape::Split => "the split services",
    };
    format!("Read {} as {shape}.", imported.subject.place)
}

/// The lines for the settings of the kind that are set today or would be set.
fn settings(
    found: &FoundEnvironment,
    draft: &ResourceDraft,
    rendered: &Rendered,
) -> (Vec<String>, CommandVerdict) {
    let mut verdict = CommandVerdict::Passed;
    let mut lines = Vec::new();
    let lost: BTreeSet<&str> = draft.losses.iter().map(|loss| loss.name.as_str()).collect();
    for env in draft.environment {
        let compared: Vec<_> =
            found.compare(std::slice::from_ref(env), |name| rendered.values.get(name)).collect();
        let of = |wanted: Comparison| -> Vec<&str> {
            compared.iter().filter(|(_, comparison)| *comparison == wanted).map(|(name, _)| *name).collect()
        };
        let (same, different, unknown) =
            (of(Comparison::Same), of(Comparison::Different), of(Comparison::Unknown));
        let new = of(Comparison::New);
        if !same.is_empty() {
            let also = found.first_name(*env).filter(|first| new.contains(first));
            let also = also.map(|first| format!("; {first}, which this server reads first, gets it, too"));
            lines.push(format!("✓ {}: the same value as today{}", same.join(", "), also.unwrap_or_default()));
        }
        for name in &different {
            verdict = CommandVerdict::Failed;
            lines.push(difference(name, found, rendered));
        }
        if !unknown.is_empty() {
            lines.push(format!("! {}: could not be read, and so not compared", unknown.join(", ")));
        }
        let shown = found.first_name(*env).filter(|first| new.contains(first));
        if let (true, Some(name)) =
            (same.is_empty() && different.is_empty() && unknown.is_empty(), shown.as_ref())
        {
            let value =
                rendered.values.get(name).map(|value| quote(rendered.shown(value))).unwrap_or_default();
            lines.push(format!("+ {name}: not set today; it will be {value}"));
        }
        let left =
            of(Comparison::Left).into_iter().filter(|name| !lost.contains(name) && !is_off(found, name));
        lines.extend(left.map(|name| format!("! {name}: stays as it is; the resource has no field for it")));
    }
    (lines, verdict)
}

/// Whether the variable is known to be empty or false, so that it enables nothing.
fn is_off(found: &FoundEnvironment, name: &str) -> bool {
    let value = found.variables.get(name).and_then(|variable| variable.value.as_ref());
    value.is_some_and(|value| ["", "false"].contains(&value.expose()))
}

fn difference(name: &str, found: &FoundEnvironment, rendered: &Rendered) -> String {
    let wanted = rendered.values.get(name);
    let shown = wanted.map(|wanted| rendered.shown(wanted)).unwrap_or_default();
    let is_secret = wanted.is_some_and(|wanted| wanted.expose() != shown);
    let present = found.variables.get(name).and_then(|variable| variable.value.as_ref());
    let values = if is_secret {
        "the resource would set another value than today's".to_owned()
    } else {
        let present = present.map(Sensitive::expose).unwrap_or_default();
        format!("is \"{}\" today, and the resource says \"{}\"", quote(present), quote(shown))
    };
    format!(
        "✗ {name}: {values}. With adopt: Equal it is reported and nothing changes; make both the same, or use adopt: Replace"
    )
}

/// The lines about sign-in variables that no kind knows, and about settings that prevent any sign-in.
fn others(imported: &Imported) -> Vec<String> {
    let mut known: BTreeSet<&str> =
        [LdapConfig::ENVIRONMENT, OidcProvider::ENVIRONMENT, JwtIssuer::ENVIRONMENT]
            .into_iter()
            .flatten()
            .copied()
            .flat_map(Env::names)
            .collect();
    known.extend(imported.drafts.iter().flat_map(|draft| &draft.losses).map(|loss| loss.name.as_str()));
    let found = &imported.found;
    let variables = &found.variables;
    let has = |kind: &str| imported.drafts.iter().any(|draft| draft.kind == kind);
    let alone = [
        ("LdapConfig", alone::<LdapConfig>(found)),
        ("OidcProvider", alone::<OidcProvider>(found)),
        ("JwtIssuer", alone::<JwtIssuer>(found)),
    ];
    let remarks: Vec<_> =
        alone.into_iter().filter(|(kind, _)| !has(kind)).flat_map(|(_, remarks)| remarks).collect();
    let is_told = |name: &str| {
        let mut names = remarks.iter().map(|remark| &remark.name);
        names.any(|told| matches!(told, CheckName::Variable(told) if **told == *name))
    };
    let unknown = found.unknown_names(&known).filter(|name| !is_told(name));
    let unknown = unknown.map(|name| format!("! {name}: no resource has a field for it; it stays as it is"));
    let mut lines: Vec<_> =
        remarks.iter().map(|remark| format!("! {}", remark.message)).chain(unknown).collect();
    let is_on = |name: &str| {
        let value = variables.get(name).and_then(|variable| variable.value.as_ref());
        value.is_some_and(|value| value.expose() == "true")
    };
    if is_on(RESTORE_MODE) {
        lines.push(format!(
            "! {RESTORE_MODE} is true, which turns people's sign-in off: remove it once you can log in again"
        ));
    }
    if has("LdapConfig") && has("OidcProvider") {
        lines.push("! Both a directory and a provider are set. Which of them the server uses is not documented, so this operator lets one resource decide: apply the one that people log in with today, and leave the other one out".to_owned());
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}
