//! Tokens of an issuer that W&B Server trusts. Not there yet: specs that ask for it are not accepted.

mod settings;

pub use settings::FederatedSettings;

use jiff::Timestamp;

use super::{JWT_ISSUER, Plan as WholePlan};
use crate::{
    api::{
        CheckName,
        service_account::{FederatedSpec, ServiceAccountDetails},
    },
    engine::{Inputs, Reference, RenderContext, Report, Scene, Values},
    instance::Instance,
};

/// Where the spec names the `JwtIssuer`.
const ISSUER: &str = "spec.credentials.federated.issuerRef";

/// What checks and rendering need of this credential.
pub struct Plan {
    /// The parsed spec.
    pub settings: FederatedSettings,
}

/// What a run learns beside its findings.
#[derive(Clone, Default)]
pub struct Evidence;

impl Plan {
    /// Joins the parsed spec with the referenced values.
    pub(super) fn new(settings: FederatedSettings, _inputs: &Inputs) -> Self {
        Self { settings }
    }
}

/// Everything that the spec names.
pub(super) fn references(spec: &FederatedSpec) -> Vec<Reference> {
    vec![Reference::neighbour(JWT_ISSUER, &spec.issuer_ref.name, ISSUER)]
}

/// The checks after the server was reached.
pub(super) fn checks(_own: &Plan) -> Vec<CheckName> {
    vec![CheckName::IssuerReady, CheckName::TokenObtained, CheckName::TokenClaims, CheckName::TokenExchange]
}

/// Runs them.
pub(super) async fn probe(
    _plan: &WholePlan,
    _own: &Plan,
    _instance: Instance<'_>,
    _scene: &Scene<'_>,
    _report: &mut Report,
) -> Evidence {
    Evidence
}

/// When the token must be renewed.
pub(super) fn due(_own: &Plan, _evidence: &Evidence, _scene: &Scene<'_>) -> Option<Timestamp> {
    None
}

/// The values; nothing without a token.
pub(super) fn render(
    _plan: &WholePlan,
    _own: &Plan,
    _evidence: Option<&Evidence>,
    _context: &RenderContext<'_>,
) -> Option<Values> {
    None
}

/// What a run would learn, with words in the place of what only a run can obtain.
pub(super) fn placeholders(_own: &Plan) -> Evidence {
    Evidence
}

/// What the status tells of it.
pub(super) fn describe(
    _own: &Plan,
    _evidence: Option<&Evidence>,
    _published: Option<&Values>,
    previous: ServiceAccountDetails,
) -> ServiceAccountDetails {
    previous
}
