//! The checks `EmailRead`, `NameRead` and `GroupsRead`: what W&B Server reads in an ID token.

use serde_json::Value;

use super::advice;
use crate::{
    api::{CheckName, Reason, oidc_provider::Provider},
    engine::{Checked, Report},
    login::{PersonAsRead, sorted},
    oidc::OidcSettings,
    problem::{Problem, enumerate, quote},
    token::Claims,
};

/// Reads the person, and records what is missing.
pub(super) fn read(
    settings: &OidcSettings,
    claims: &Claims,
    teams: &[String],
    report: &mut Report,
) -> PersonAsRead {
    let text = |name: &str| claims.all().get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let owned = |name: &str| text(name).map(str::to_owned);
    let groups = Groups::of(claims);
    report.record(CheckName::EmailRead, email(settings, claims));
    report.record(CheckName::NameRead, Ok(names(settings, text("name"), text("preferred_username"))));
    if settings.groups_claim {
        report.record(CheckName::GroupsRead, Ok(judge_groups(settings, &groups, teams)));
    } else {
        report.skip(CheckName::GroupsRead, &unread(&groups));
    }
    PersonAsRead {
        subject: owned("sub"),
        email: owned("email"),
        email_verified: claims.all().get("email_verified").and_then(Value::as_bool),
        name: owned("name"),
        username: owned("preferred_username"),
        groups: match groups {
            Groups::Listed(groups) => groups,
            Groups::None | Groups::Elsewhere | Groups::Unreadable(_) => Vec::new(),
        },
        known_as: owned("email"),
        ..PersonAsRead::default()
    }
}

fn email(settings: &OidcSettings, claims: &Claims) -> Result<Checked, Problem> {
    let missing = |seen: String| {
        Problem::new(
            Reason::ClaimMissing,
            format!("{seen}, and W&B Server knows people by it. {}.", advice::email(settings.provider)),
        )
    };
    let address = match claims.all().get("email") {
        None | Some(Value::Null) => {
            let other = claims.all().get("preferred_username").and_then(Value::as_str);
            let other = other.filter(|name| name.contains('@')).map_or_else(String::new, |name| {
                format!(" (preferred_username is {}, which W&B Server does not take for it)", quote(name))
            });
            return Err(missing(format!("The ID token has no claim email{other}")));
        }
        Some(Value::String(address)) if !address.trim().is_empty() => address,
        Some(other) => {
            return Err(missing(format!("The claim email of the ID token is {}", quote(&other.to_string()))));
        }
    };
    let seen = format!("W&B Server reads {} from the claim email", quote(address));
    Ok(match claims.all().get("email_verified") {
        Some(Value::Bool(false)) => Checked::warning(
            (),
            Reason::EmailUnverified,
            format!(
                "{seen}, but the provider says that nobody has verified it (email_verified: false), and W&B does not document whether its server accepts that. Verify the address at the provider."
            ),
        ),
        _ => Checked::passed((), format!("{seen}, and knows the person by it.")),
    })
}

/// The names matter where the spec says that W&B takes them from the claims.
fn names(settings: &OidcSettings, name: Option<&str>, username: Option<&str>) -> Checked {
    let claims = [("name", name), ("preferred_username", username)];
    let present: Vec<_> = claims
        .iter()
        .filter_map(|(claim, value)| value.map(|value| format!("{claim} {}", quote(value))))
        .collect();
    let missing: Vec<_> =
        claims.iter().filter(|(_, value)| value.is_none()).map(|(claim, _)| *claim).collect();
    let seen = match present.as_slice() {
        [] => "The ID token has no names.".to_owned(),
        present => format!("The ID token has {}.", present.join(" and ")),
    };
    match missing.as_slice() {
        missing if !missing.is_empty() && settings.identifier_claims => Checked::warning(
            (),
            Reason::ClaimMissing,
            format!(
                "{seen} {} is missing, and W&B takes the user's name from there (spec.identifierClaims). {}.",
                missing.join(" and "),
                advice::names(settings.provider)
            ),
        ),
        _ => Checked::passed((), seen),
    }
}

/// What a token says of groups.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    /// Nothing.
    None,
    /// These.
    Listed(Vec<String>),
    /// Where they can be read, since they are too many (OpenID Connect Core 1.0 section 5.6.2, and `hasgroups` of Entra).
    Elsewhere,
    /// Something that is no list of names.
    Unreadable(String),
}

impl Groups {
    fn of(claims: &Claims) -> Self {
        let claims = claims.all();
        let is_elsewhere = claims.get("_claim_names").is_some_and(|names| names.get("groups").is_some())
            || claims.get("hasgroups").is_some_and(|has| *has == Value::Bool(true) || has == "true");
        match claims.get("groups") {
            None | Some(Value::Null) if is_elsewhere => Self::Elsewhere,
            None | Some(Value::Null) => Self::None,
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                Self::Listed(sorted(list.iter().filter_map(Value::as_str).map(str::to_owned)))
            }
            Some(other) => Self::Unreadable(quote(&other.to_string())),
        }
    }
}

/// What is said where W&B does not read groups.
fn unread(groups: &Groups) -> String {
    let seen = match groups {
        Groups::None => "The ID token has no groups",
        Groups::Listed(_) => "The ID token has groups",
        Groups::Elsewhere => "The ID token says only where the groups can be read",
        Groups::Unreadable(_) => "The ID token has a claim groups",
    };
    format!("{seen}, and W&B does not read them, since spec.groupsClaim is false.")
}

fn judge_groups(settings: &OidcSettings, groups: &Groups, teams: &[String]) -> Checked {
    let provider = settings.provider;
    match groups {
        Groups::None => Checked::warning(
            (),
            Reason::ClaimMissing,
            format!(
                "The ID token has no claim groups, so W&B puts the person into no team. {}.",
                advice::groups(provider)
            ),
        ),
        Groups::Elsewhere => Checked::warning(
            (),
            Reason::GroupsElsewhere,
            format!(
                "The person is in more groups than the provider puts into a token, so the token says only where they can be read (_claim_names or hasgroups), and W&B Server does not look there. {}.",
                advice::fewer_groups(provider)
            ),
        ),
        Groups::Unreadable(seen) => Checked::warning(
            (),
            Reason::ClaimMissing,
            format!(
                "The claim groups is {seen}, and should be a list of names. {}.",
                advice::groups(provider)
            ),
        ),
        Groups::Listed(groups) => compare(provider, groups, teams),
    }
}

/// Compares the groups with the names of teams.
fn compare(provider: Provider, groups: &[String], teams: &[String]) -> Checked {
    let seen = format!("W&B Server reads the groups {}", enumerate(groups));
    let concern = |what: String| Checked::warning((), Reason::TeamsDiffer, format!("{seen}. {what}"));
    let missing: Vec<_> = teams.iter().filter(|team| !groups.contains(team)).collect();
    if !missing.is_empty() {
        let similar: Vec<_> = groups
            .iter()
            .filter(|group| missing.iter().any(|team| bare(team) == bare(group)))
            .map(|group| quote(group))
            .collect();
        let hint = if similar.is_empty() {
            String::new()
        } else {
            format!(" {} is spelled in another way.", similar.join(" and "))
        };
        return concern(format!(
            "None of them is {}.{hint} W&B puts people into the teams that are named as their groups.",
            enumerate(missing)
        ));
    }
    if !groups.is_empty() && groups.iter().all(|group| is_identifier(group)) {
        return concern(format!(
            "These are identifiers, and W&B looks for teams of these names. {}.",
            match provider {
                Provider::Entra => {
                    "Where groups come from a directory of your own, choose sAMAccountName for the groups claim under Token configuration; for others choose cloud-only group display names"
                }
                _ => "Send the groups' names",
            }
        ));
    }
    if groups.iter().any(|group| group.starts_with('/')) {
        return concern(
            "A name that begins with a slash is a path, and no team is called so. Turn the full group path off in the mapper."
                .to_owned(),
        );
    }
    match teams {
        [] => Checked::passed((), format!("{seen}, and puts the person into the teams of these names.")),
        teams => Checked::passed((), format!("{seen}, among them {}.", enumerate(teams))),
    }
}

/// A name without what people spell in different ways.
fn bare(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether it is a UUID, as Entra identifies groups.
fn is_identifier(group: &str) -> bool {
    group.len() == 36 && group.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::CheckResult, sensitive::Redactor};

    fn settings(changes: &Value) -> OidcSettings {
        let mut spec =
            json!({"issuer": "https://idp.example", "clientID": "w", "host": "https://wandb.example"});
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap()
    }

    /// What the checks say of these claims, by their names.
    fn found(spec: &Value, claims: &Value, teams: &[&str]) -> (PersonAsRead, Vec<(String, String, String)>) {
        let mut report = Report::new(Vec::new(), Redactor::default());
        let claims = Claims::from(claims.as_object().unwrap().clone());
        let teams: Vec<_> = teams.iter().map(|team| (*team).to_owned()).collect();
        let person = read(&settings(spec), &claims, &teams, &mut report);
        let findings = report.finish().list.into_iter();
        let told = findings.map(|finding| {
            let result = if finding.result == CheckResult::Passed {
                "Passed".to_owned()
            } else {
                finding.reason.to_string()
            };
            (finding.name.to_string(), result, finding.message.into())
        });
        (person, told.collect())
    }

    #[test]
    fn each_claim_is_judged_by_what_the_server_makes_of_it() {
        let read_groups = json!({"groupsClaim": true});
        for (spec, claims, teams, check, reason, words) in [
            (json!({}), json!({"email": "a@b.example"}), &[][..], "EmailRead", "Passed", "a@b.example"),
            (
                json!({}),
                json!({"preferred_username": "a@b"}),
                &[],
                "EmailRead",
                "ClaimMissing",
                "is a@b, which",
            ),
            (json!({}), json!({"email": ["a@b"]}), &[], "EmailRead", "ClaimMissing", "is [\"a@b\"]"),
            (
                json!({"provider": "Entra"}),
                json!({}),
                &[],
                "EmailRead",
                "ClaimMissing",
                "Token configuration",
            ),
            (
                json!({}),
                json!({"email": "a@b", "email_verified": false}),
                &[],
                "EmailRead",
                "EmailUnverified",
                "Verify",
            ),
            (json!({}), json!({}), &[], "NameRead", "Passed", "has no names"),
            (
                json!({"identifierClaims": true}),
                json!({"name": "Alice"}),
                &[],
                "NameRead",
                "ClaimMissing",
                "preferred_username is missing",
            ),
            (json!({}), json!({"groups": ["a"]}), &[], "GroupsRead", "NotRequested", "does not read them"),
            (read_groups.clone(), json!({}), &[], "GroupsRead", "ClaimMissing", "no claim groups"),
            (
                read_groups.clone(),
                json!({"groups": "a"}),
                &[],
                "GroupsRead",
                "ClaimMissing",
                "a list of names",
            ),
            (
                read_groups.clone(),
                json!({"_claim_names": {"groups": "src1"}}),
                &[],
                "GroupsRead",
                "GroupsElsewhere",
                "more groups than",
            ),
            (read_groups.clone(), json!({"hasgroups": true}), &[], "GroupsRead", "GroupsElsewhere", "more"),
            (read_groups.clone(), json!({"groups": ["b", "a"]}), &[], "GroupsRead", "Passed", "a, b"),
            (
                read_groups.clone(),
                json!({"groups": ["b", "a"]}),
                &["a"],
                "GroupsRead",
                "Passed",
                "among them a",
            ),
            (
                read_groups.clone(),
                json!({"groups": ["Re-search"]}),
                &["research"],
                "GroupsRead",
                "TeamsDiffer",
                "Re-search is spelled in another way",
            ),
            (
                read_groups.clone(),
                json!({"groups": ["72f988bf-86f1-41af-91ab-2d7cd011db47"]}),
                &[],
                "GroupsRead",
                "TeamsDiffer",
                "identifiers",
            ),
            (
                read_groups,
                json!({"groups": ["/research"]}),
                &[],
                "GroupsRead",
                "TeamsDiffer",
                "full group path",
            ),
        ] {
            let (_, told) = found(&spec, &claims, teams);
            let (_, seen, message) = told.iter().find(|(name, ..)| name == check).unwrap();
            assert_eq!(seen, reason, "{claims}: {message}");
            assert!(message.contains(words), "{claims}: {message}");
        }
    }

    #[test]
    fn the_person_is_what_the_claims_say() {
        let claims = json!({
            "sub": "1", "email": "a@b.example", "email_verified": true, "name": "Alice",
            "preferred_username": "alice", "groups": ["b", "a", "b"],
        });
        let (person, _) = found(&json!({}), &claims, &[]);
        assert_eq!(
            serde_json::to_value(person).unwrap(),
            json!({
                "subject": "1", "email": "a@b.example", "emailVerified": true, "name": "Alice",
                "username": "alice", "groups": ["a", "b"], "knownAs": "a@b.example",
            })
        );
    }
}
