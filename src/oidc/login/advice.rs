//! Where each provider is told what an ID token lacks.

use crate::api::oidc_provider::Provider;

/// How a person gets access to the client.
pub(super) fn access(provider: Provider) -> &'static str {
    match provider {
        Provider::Okta => {
            "Either the person has refused, or is not assigned to the app: assign the person or a group under the app's Assignments."
        }
        Provider::Entra => {
            "Either the person has refused the consent, or is not assigned: see Users and groups of the enterprise application, and grant admin consent for openid, profile and email there."
        }
        Provider::Google => {
            "Either the person has refused, or the OAuth consent screen is internal to another organization, or in testing without this person."
        }
        _ => {
            "Either the person has refused the consent, or the provider does not allow the person to use this client: look at who is assigned to the client there."
        }
    }
}

/// How the e-mail address gets into the token.
pub(super) fn email(provider: Provider) -> &'static str {
    match provider {
        Provider::Entra => {
            "Under Token configuration add the optional claim email for ID tokens, and give the user an e-mail address (the property Mail)"
        }
        Provider::Keycloak => {
            "Fill in Email of the user, and see that the client has the client scope email, whose mapper adds the claim to the ID token"
        }
        Provider::Okta => {
            "See that the app grants the scope email, and that the user's profile has a primary e-mail address"
        }
        Provider::Cognito => {
            "See that the app client has the scope email and may read the attribute email, and that the user has one"
        }
        Provider::Auth0 => "See that the user has an e-mail address, which some connections do not give",
        Provider::Google | Provider::Generic => {
            "Give the user an e-mail address, and put the claim email into the ID token: W&B Server does not ask the userinfo endpoint"
        }
    }
}

/// How the names get into the token.
pub(super) fn names(provider: Provider) -> &'static str {
    match provider {
        Provider::Entra => "Under Token configuration add the optional claim preferred_username",
        Provider::Keycloak => {
            "See that the client has the client scope profile, and fill in the user's names"
        }
        Provider::Cognito => {
            "Let the app client read the attributes name and preferred_username, and fill them in"
        }
        _ => "See that the client grants the scope profile, and that the claims go into the ID token",
    }
}

/// How the groups get into the token.
pub(super) fn groups(provider: Provider) -> &'static str {
    match provider {
        Provider::Entra => "Under Token configuration add the groups claim for ID tokens",
        Provider::Keycloak => {
            "Add a mapper of the type Group Membership to the client's dedicated scope: token claim name groups, full group path off, add to ID token on"
        }
        Provider::Okta => {
            "Add a groups claim to the ID token: in the app's Sign On settings, name groups, with a filter that matches the groups"
        }
        Provider::Auth0 => "Add the claim groups in an Action of the login flow",
        Provider::Cognito => {
            "Cognito's own claim is cognito:groups; add one named groups by a pre token generation trigger"
        }
        Provider::Google => "Google puts no groups into ID tokens: set spec.groupsClaim to false",
        Provider::Generic => "Add the claim groups to the client's ID tokens, as a list of names",
    }
}

/// How the groups fit into the token, where there are too many of them.
pub(super) fn fewer_groups(provider: Provider) -> &'static str {
    match provider {
        Provider::Entra => {
            "Under Token configuration choose Groups assigned to the application, and assign those that are teams of W&B"
        }
        _ => "Send only the groups that are teams of W&B",
    }
}
