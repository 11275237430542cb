//! What may be asked: a part of the real server's schema.

use super::graphql::Field;

/// The fields of each type, with their own types; a scalar's is empty.
const TYPES: [(&str, &[(&str, &str)]); 17] = [
    ("Query", &[("viewer", "User"), ("entity", "Entity")]),
    (
        "Mutation",
        &[
            ("createServiceAccount", "CreateServiceAccountPayload"),
            ("generateApiKey", "GenerateApiKeyPayload"),
            ("deleteApiKey", "DeleteApiKeyPayload"),
            ("deleteInvite", "DeleteInvitePayload"),
        ],
    ),
    (
        "User",
        &[
            ("id", ""),
            ("entity", ""),
            ("username", ""),
            ("email", ""),
            ("name", ""),
            ("admin", ""),
            ("deletedAt", ""),
            ("flags", ""),
            ("teams", "TeamConnection"),
            ("apiKeys", "ApiKeyConnection"),
        ],
    ),
    ("PageInfo", &[("hasNextPage", ""), ("endCursor", "")]),
    ("TeamConnection", &[("edges", "TeamEdge"), ("pageInfo", "PageInfo")]),
    ("TeamEdge", &[("node", "Team")]),
    ("Team", &[("name", "")]),
    ("ApiKeyConnection", &[("edges", "ApiKeyEdge"), ("pageInfo", "PageInfo")]),
    ("ApiKeyEdge", &[("node", "ApiKey")]),
    ("ApiKey", &[("id", ""), ("name", ""), ("description", "")]),
    ("Entity", &[("id", ""), ("name", ""), ("isTeam", ""), ("members", "Member")]),
    ("Member", &[("id", ""), ("username", ""), ("email", ""), ("admin", ""), ("accountType", "")]),
    ("CreateServiceAccountPayload", &[("user", "CreatedUser")]),
    ("CreatedUser", &[("id", "")]),
    ("GenerateApiKeyPayload", &[("apiKey", "ApiKey")]),
    ("DeleteApiKeyPayload", &[("success", "")]),
    ("DeleteInvitePayload", &[("success", "")]),
];

/// Checks a root field with all that it selects; the error is the server's answer.
pub(super) fn validate(root_type: &str, root: &Field) -> Result<(), String> {
    validate_field(root_type, root)
}

fn validate_field(parent: &str, field: &Field) -> Result<(), String> {
    let own = field_type(parent, &field.name)
        .ok_or_else(|| format!("Cannot query field \"{}\" on type \"{parent}\".", field.name))?;
    if own.is_empty() != field.selection.is_empty() {
        let rule = if own.is_empty() { "must not have" } else { "must have" };
        return Err(format!("Field \"{}\" {rule} a selection of subfields.", field.name));
    }
    field.selection.iter().try_for_each(|selected| validate_field(own, selected))
}

fn field_type(parent: &str, name: &str) -> Option<&'static str> {
    let (_, fields) = TYPES.iter().find(|(known, _)| *known == parent)?;
    fields.iter().find(|(known, _)| *known == name).map(|(_, own)| *own)
}
