//! The check `IssuerReady`: the issuer of the tokens, as its `JwtIssuer` describes it.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    api::{ConditionType, JwtIssuerSpec, Reason},
    engine::{Checked, FoundResource, Inputs},
    jwt::{self, Audiences, IssuerPublication},
    net::Network,
    problem::{Problem, enumerate, quote},
};

/// The issuer of the tokens, read from its `JwtIssuer`.
pub(super) struct TrustedIssuer {
    name: String,
    standing: IssuerStanding,
    /// The plan of the `JwtIssuer`, but with the certificate authorities of the account's spec.
    pub(super) plan: jwt::JwtPlan,
}

/// Whether the `JwtIssuer` is verified according to its status.
enum IssuerStanding {
    /// The checks of the `JwtIssuer` passed.
    Verified,
    /// Its checks did not pass. The text is the reason and message of its condition.
    Unverified(String),
    /// It was read from a manifest, so that no check has run yet.
    Unknown,
}

impl TrustedIssuer {
    /// Reads the `JwtIssuer` to which the field refers. The problem must be reported as the result of
    /// `IssuerReady`.
    pub(super) fn read(name: &str, field: &str, inputs: &Inputs) -> Result<Self, Problem> {
        let unreadable =
            |what: String| not_ready(format!("The spec of the JwtIssuer \"{name}\" is not usable: {what}"));
        let found = inputs.resource(field).ok_or_else(|| unreadable("there is none.".to_owned()))?;
        let spec = JwtIssuerSpec::deserialize(&found.spec)
            .map_err(|error| unreadable(format!("{}.", quote(&error.to_string()))))?;
        let settings = jwt::JwtSettings::parse(&spec).map_err(|problem| unreadable(problem.message))?;
        Ok(Self {
            name: name.to_owned(),
            standing: IssuerStanding::of(found),
            plan: jwt::JwtPlan::of_neighbour(settings, inputs.ca_bundle.clone(), inputs.trust.clone()),
        })
    }

    /// Checks that the `JwtIssuer` is verified and lists the audience.
    pub(super) fn ready(&self, audience: &str) -> Result<Checked, Problem> {
        let name = &self.name;
        let shown = quote(audience);
        if let Audiences::OneOf(listed) = &self.plan.settings().audiences
            && !listed.iter().any(|accepted| accepted == audience)
        {
            return Err(Problem::new(
                Reason::AudienceNotListed,
                format!(
                    "The JwtIssuer \"{name}\" has the audiences {}, but not \"{shown}\". Add it to spec.audiences there, and let W&B Server restart with the new values, or correct spec.credentials.federated.audience.",
                    enumerate(listed)
                ),
            ));
        }
        match &self.standing {
            IssuerStanding::Verified => Ok(Checked::passed(
                (),
                format!("The JwtIssuer \"{name}\" is verified and accepts the audience \"{shown}\"."),
            )),
            IssuerStanding::Unknown => Ok(Checked::passed(
                (),
                format!(
                    "The JwtIssuer \"{name}\" accepts the audience \"{shown}\". It comes from a file: its own checks tell whether it works."
                ),
            )),
            IssuerStanding::Unverified(seen) => Err(not_ready(format!(
                "The JwtIssuer \"{name}\" is not verified: {seen} Correct the JwtIssuer, whose own conditions say more."
            ))),
        }
    }

    /// The document and keys that the issuer publishes now.
    pub(super) async fn published(
        &self,
        network: &Network,
        patience: Duration,
    ) -> Result<IssuerPublication, Problem> {
        let looked_up = tokio::time::timeout(patience, jwt::look_up(&self.plan, network)).await;
        let silent = || {
            let message = "It did not send its keys within 40 % of the time limit (checkTimeout). Check that it is healthy, and that nothing on the way drops packets.";
            Problem::new(Reason::TimedOut, message)
        };
        looked_up.unwrap_or_else(|_| Err(silent())).map_err(|problem| self.at(&problem))
    }

    /// The problem with the issuer named in the message, to distinguish it from W&B Server.
    pub(super) fn at(&self, problem: &Problem) -> Problem {
        let (issuer, name) = (&self.plan.settings().issuer, &self.name);
        let message = format!("The issuer {issuer} of the JwtIssuer \"{name}\": {}", problem.message);
        Problem::new(problem.reason, message)
    }

    /// The name of the `JwtIssuer`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl IssuerStanding {
    fn of(found: &FoundResource) -> Self {
        if found.is_verified() {
            return Self::Verified;
        }
        // Every resource in a cluster gets a status, so one without a status comes from a manifest.
        if found.status.is_none() {
            return Self::Unknown;
        }
        let condition = found.condition(ConditionType::Verified);
        if condition.as_ref().is_some_and(|condition| condition.status == "True") {
            return Self::Unverified("its present spec was not checked yet, or it is suspended.".to_owned());
        }
        let condition =
            condition.map(|condition| format!("{}: {}", quote(&condition.reason), quote(&condition.message)));
        Self::Unverified(condition.unwrap_or_else(|| "its checks have not run yet.".to_owned()))
    }
}

fn not_ready(message: String) -> Problem {
    Problem::new(Reason::IssuerNotReady, message)
}
