//! `ServiceAccount`: lets programs use W&B with an API key or with tokens of a trusted issuer.
//!
//! In reading order: `settings` parses the spec, and `account` is what both kinds of credentials need of it. `connect` begins the run of an account with an API key by reaching
//! the server. After that, the two kinds of credentials differ: `api_key` manages keys, from the one that a person
//! copied to the generated ones that replace it; `federated` obtains tokens, reaches the server through `connect`,
//! and has it exchange them. `render` makes the environment variables of W&B's clients.

mod account;
mod api_key;
mod connect;
mod federated;
mod render;
mod settings;

use jiff::Timestamp;
use serde_json::Value;

use account::AccountPlan;
use settings::{CredentialSettings, ServiceAccountSettings};

use crate::{
    api::{
        AuthResource, CheckName, ServiceAccount,
        service_account::{CredentialsSpec, ServiceAccountDetails},
    },
    engine::{
        CheckContext, Env, EventDraft, FirstCheck, Inputs, Kind, Maintenance, MetricTimestamps, Reference,
        RemoteState, RenderContext, Report, Values,
    },
    problem::Problem,
};

/// What checks and rendering need.
pub struct ServiceAccountPlan {
    account: AccountPlan,
    credentials: CredentialPlan,
}

/// How programs prove that they are the account.
enum CredentialPlan {
    ApiKey(Box<api_key::ApiKeyPlan>),
    Federated(Box<federated::FederatedPlan>),
}

/// What a run finds out in addition to the results of its checks.
#[derive(Clone, Default)]
pub enum ServiceAccountEvidence {
    /// The run found nothing out.
    #[default]
    Nothing,
    /// Evidence about an API key.
    ApiKey(Box<api_key::ApiKeyEvidence>),
    /// Evidence about a token.
    Federated(federated::FederatedEvidence),
}

impl ServiceAccountEvidence {
    fn of_api_key(&self) -> Option<&api_key::ApiKeyEvidence> {
        if let Self::ApiKey(evidence) = self { Some(evidence) } else { None }
    }

    fn of_token(&self) -> Option<&federated::FederatedEvidence> {
        if let Self::Federated(evidence) = self { Some(evidence) } else { None }
    }
}

impl Kind for ServiceAccount {
    const SHORT_NAME: &'static str = "wsa";
    const ENVIRONMENT: &'static [Env] = render::ENVIRONMENT;
    const DESTINATION: &'static str = "The env entries for programs that use W&B, which may also take the whole Secret by envFrom; mount it \
         at /var/run/secrets/auth.wandb.com where a value is the path of a file there.";
    const FIRST_CHECK: FirstCheck = FirstCheck::AtOnce;

    type Parsed = ServiceAccountSettings;
    type Plan = ServiceAccountPlan;
    type Evidence = ServiceAccountEvidence;

    fn unique_identity(&self) -> Option<String> {
        Some(settings::unique_identity(self))
    }

    fn identity_of_undecodable(name: &str, spec: &Value) -> Option<String> {
        settings::identity_of_undecodable(name, spec)
    }

    fn parse(&self) -> Result<ServiceAccountSettings, Problem> {
        ServiceAccountSettings::parse(self)
    }

    fn references(&self) -> Vec<Reference> {
        let CredentialsSpec { api_key, federated } = &self.spec.credentials;
        let api_key = api_key.iter().flat_map(|spec| api_key::references(spec, &self.details()));
        api_key.chain(federated.iter().flat_map(federated::references)).collect()
    }

    fn requests(&self) -> Vec<String> {
        let (asked, handled) = (settings::asked(self), api_key::HandledRequests::of_status(&self.details()));
        asked.open(&handled).described().chain(asked.repeated(&handled).described()).collect()
    }

    fn plan(
        ServiceAccountSettings { account, credentials }: ServiceAccountSettings,
        inputs: Inputs,
    ) -> ServiceAccountPlan {
        let credentials = match credentials {
            CredentialSettings::ApiKey(settings) => {
                CredentialPlan::ApiKey(Box::new(api_key::ApiKeyPlan::new(settings, &inputs)))
            }
            CredentialSettings::Federated(settings) => CredentialPlan::Federated(Box::new(
                federated::FederatedPlan::new(settings, account.time_limit, &inputs),
            )),
        };
        let account = AccountPlan { settings: account, trust: inputs.trust, ca_bundle: inputs.ca_bundle };
        ServiceAccountPlan { account, credentials }
    }

    fn checks(plan: &ServiceAccountPlan) -> Vec<CheckName> {
        let own = match &plan.credentials {
            CredentialPlan::ApiKey(own) => api_key::checks(own),
            CredentialPlan::Federated(own) => federated::checks(own),
        };
        connect::checks(&plan.account).chain(own).collect()
    }

    async fn probe(
        plan: &ServiceAccountPlan,
        context: &CheckContext<'_>,
        report: &mut Report,
    ) -> ServiceAccountEvidence {
        match &plan.credentials {
            CredentialPlan::ApiKey(own) => match connect::connect(&plan.account, context.network, report)
                .await
            {
                Some(instance) => ServiceAccountEvidence::ApiKey(Box::new(
                    Box::pin(api_key::probe(&plan.account.settings, own, instance, context, report)).await,
                )),
                None => ServiceAccountEvidence::Nothing,
            },
            CredentialPlan::Federated(own) => {
                ServiceAccountEvidence::Federated(federated::probe(&plan.account, own, context, report).await)
            }
        }
    }

    fn maintenance(
        plan: &ServiceAccountPlan,
        evidence: &ServiceAccountEvidence,
        context: &CheckContext<'_>,
    ) -> Option<Maintenance> {
        match (&plan.credentials, evidence) {
            (CredentialPlan::ApiKey(own), ServiceAccountEvidence::ApiKey(evidence)) => {
                api_key::maintenance(&plan.account.settings, own, evidence, context)
            }
            _ => None,
        }
    }

    async fn maintain(
        plan: &ServiceAccountPlan,
        context: &CheckContext<'_>,
        evidence: ServiceAccountEvidence,
        report: &mut Report,
    ) -> ServiceAccountEvidence {
        match (&plan.credentials, evidence) {
            (CredentialPlan::ApiKey(own), ServiceAccountEvidence::ApiKey(evidence)) => {
                let instance = connect::instance(&plan.account, context.network);
                ServiceAccountEvidence::ApiKey(Box::new(
                    Box::pin(api_key::maintain(
                        &plan.account.settings,
                        own,
                        instance,
                        context,
                        *evidence,
                        report,
                    ))
                    .await,
                ))
            }
            (_, evidence) => evidence,
        }
    }

    fn renew_at(
        plan: &ServiceAccountPlan,
        evidence: &ServiceAccountEvidence,
        context: &CheckContext<'_>,
    ) -> Option<Timestamp> {
        match (&plan.credentials, evidence) {
            (CredentialPlan::ApiKey(own), ServiceAccountEvidence::ApiKey(evidence)) => {
                api_key::renew_at(&plan.account.settings, own, evidence, context)
            }
            (CredentialPlan::Federated(own), evidence) => {
                federated::renew_at(own, evidence.of_token(), context)
            }
            _ => None,
        }
    }

    fn render(
        plan: &ServiceAccountPlan,
        evidence: &ServiceAccountEvidence,
        context: &RenderContext<'_>,
    ) -> Option<Values> {
        match &plan.credentials {
            CredentialPlan::ApiKey(own) => {
                api_key::render(&plan.account, own, evidence.of_api_key(), context)
            }
            CredentialPlan::Federated(own) => {
                federated::render(&plan.account, own, evidence.of_token(), context)
            }
        }
    }

    fn renew(plan: &ServiceAccountPlan, evidence: &ServiceAccountEvidence, held: &Values) -> Option<Values> {
        match &plan.credentials {
            CredentialPlan::ApiKey(_) => None,
            CredentialPlan::Federated(own) => federated::renew(own, evidence.of_token(), held),
        }
    }

    fn placeholder_evidence(plan: &ServiceAccountPlan) -> ServiceAccountEvidence {
        match &plan.credentials {
            CredentialPlan::ApiKey(own) => {
                ServiceAccountEvidence::ApiKey(Box::new(api_key::placeholder_evidence(own)))
            }
            CredentialPlan::Federated(own) => {
                ServiceAccountEvidence::Federated(federated::placeholder_evidence(own))
            }
        }
    }

    fn status_details(
        plan: &ServiceAccountPlan,
        evidence: &ServiceAccountEvidence,
        published: Option<&Values>,
        previous: ServiceAccountDetails,
    ) -> ServiceAccountDetails {
        match &plan.credentials {
            CredentialPlan::ApiKey(own) => {
                api_key::status_details(own, evidence.of_api_key(), published, previous)
            }
            CredentialPlan::Federated(_) => {
                federated::status_details(evidence.of_token(), published, previous)
            }
        }
    }

    fn events(previous: &ServiceAccountDetails, current: &ServiceAccountDetails) -> Vec<EventDraft> {
        api_key::events(previous, current)
    }

    fn metric_timestamps(details: &ServiceAccountDetails) -> MetricTimestamps {
        MetricTimestamps {
            api_key_since: details.key_since.as_ref().map(|since| since.0),
            token_expiration: details.token_expiration.as_ref().map(|expiration| expiration.0),
        }
    }

    fn remote_state(&self, published: Option<&Values>) -> RemoteState {
        match self.parse() {
            Ok(ServiceAccountSettings { account, credentials: CredentialSettings::ApiKey(settings) }) => {
                api_key::remote_state(&account, &settings, published)
            }
            _ => RemoteState::None,
        }
    }

    async fn cleanup(&self, context: &CheckContext<'_>) -> Result<(), Problem> {
        let ServiceAccountSettings { account, credentials } = self.parse()?;
        match credentials {
            CredentialSettings::ApiKey(settings) => api_key::cleanup(&account, &settings, context).await,
            CredentialSettings::Federated(_) => Ok(()),
        }
    }
}
