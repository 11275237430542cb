//! `recheck` and `rotate`: asks the operator for something by an annotation, and waits until the status says that it
//! was done.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    CommandVerdict,
    kinds::NamedResource,
    status::{EventScope, PlaceArgs, StatusReport, StatusScope, collect, overview, terminal_layout},
    terminal::print,
};
use crate::{
    api::{RECHECK_ANNOTATION, REVOKE_PREVIOUS_ANNOTATION, ROTATE_ANNOTATION, duration},
    error::in_words,
};

/// The field manager of the annotations that a person's command sets.
pub const COMMAND_MANAGER: &str = "wandb-auth-operator-command";

/// Arguments of `recheck`.
#[derive(Debug, Args)]
pub struct RecheckArguments {
    /// The resource: ldap/NAME, oidc/NAME, jwt/NAME or wsa/NAME.
    #[arg(value_name = "KIND/NAME")]
    resource: String,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    waiting: WaitArgs,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct RotateArguments {
    /// The ServiceAccount: wsa/NAME.
    #[arg(value_name = "wsa/NAME")]
    resource: String,

    /// End the overlap, too: W&B Server refuses the previous key at once, also from programs that still use it.
    #[arg(long)]
    revoke_previous: bool,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    waiting: WaitArgs,
}

/// Whether a command waits for the operator.
#[derive(Debug, Args)]
struct WaitArgs {
    /// Wait until the operator has done it, then print the result; the exit code is that of status.
    #[arg(long)]
    wait: bool,

    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "2m", requires = "wait")]
    timeout: duration::Duration,
}

/// An annotation that asks for something, and the field of the status that repeats its value once it was done.
struct Wish {
    annotation: &'static str,
    handled: &'static str,
}

const RECHECK: Wish = Wish { annotation: RECHECK_ANNOTATION, handled: "lastHandledRecheck" };
const ROTATE: Wish = Wish { annotation: ROTATE_ANNOTATION, handled: "lastHandledRotate" };
const REVOKE_PREVIOUS: Wish =
    Wish { annotation: REVOKE_PREVIOUS_ANNOTATION, handled: "lastHandledRevokePrevious" };

/// How often the status is read while it is waited for.
const PERIOD: Duration = Duration::from_millis(500);

/// Asks for a check now.
pub(super) async fn recheck(arguments: &RecheckArguments) -> anyhow::Result<CommandVerdict> {
    let named = NamedResource::parse(&arguments.resource)?;
    let asking = Asking::begin(named, &arguments.place).await?;
    asking.ask(&[RECHECK], &arguments.waiting, "a check").await
}

/// Asks for a new API key now.
pub(super) async fn rotate(arguments: &RotateArguments) -> anyhow::Result<CommandVerdict> {
    let named = NamedResource::parse(&arguments.resource)?;
    if named.kind.resource.kind != "ServiceAccount" {
        bail!("only a ServiceAccount has an API key to rotate; expected wsa/NAME");
    }
    let asking = Asking::begin(named, &arguments.place).await?;
    if asking.object.data.pointer("/spec/credentials/apiKey").is_none() {
        bail!("{} uses tokens and has no API key to rotate", asking.named.short());
    }
    if arguments.revoke_previous {
        asking
            .ask(
                &[ROTATE, REVOKE_PREVIOUS],
                &arguments.waiting,
                "a new API key, and for the previous one to be revoked",
            )
            .await
    } else {
        asking.ask(&[ROTATE], &arguments.waiting, "a new API key").await
    }
}

/// A resource of which something is asked.
struct Asking {
    client: Client,
    namespace: String,
    /// The arguments that lead another command to the same place.
    place: String,
    named: NamedResource,
    api: Api<DynamicObject>,
    /// As it was before.
    object: DynamicObject,
}

impl Asking {
    /// Reads the resource. One of which nobody does anything is refused.
    async fn begin(named: NamedResource, place: &PlaceArgs) -> anyhow::Result<Self> {
        let (client, namespace) = place.connect().await?;
        let api = Api::namespaced_with(client.clone(), &namespace, &named.kind.resource);
        let (kind, short) = (named.kind.resource.kind.clone(), named.short());
        let found = api.get_opt(&named.name).await.map_err(|error| {
            anyhow!("{short} in the namespace {namespace} cannot be read: {}", in_words(&error))
        })?;
        let object: DynamicObject = found.with_context(|| {
            format!(
                "there is no {kind} \"{}\" in the namespace {namespace}; name another with -n",
                named.name
            )
        })?;
        if object.data.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
            bail!("{short} is suspended, and nothing is done for it; set spec.suspend to false first");
        }
        if object.metadata.deletion_timestamp.is_some() {
            bail!("{short} is being deleted, and nothing else is done for it");
        }
        let place = place.arguments(&namespace);
        Ok(Self { client, namespace, place, named, api, object })
    }

    /// Sets the annotations to a new value, and waits where that is asked for.
    async fn ask(&self, wishes: &[Wish], waiting: &WaitArgs, what: &str) -> anyhow::Result<CommandVerdict> {
        let (short, name) = (self.named.short(), &self.named.name);
        // Nobody asks twice within the same nanosecond.
        let value = Timestamp::now().to_string();
        let annotations: Map<String, Value> =
            wishes.iter().map(|wish| (wish.annotation.to_owned(), json!(value))).collect();
        let patch = json!({"metadata": {"annotations": annotations}});
        let parameters =
            PatchParams { field_manager: Some(COMMAND_MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch_metadata(name, &parameters, &Patch::Merge(patch)).await.map_err(|error| {
            anyhow!(
                "{short} in the namespace {} cannot be asked for {what}: {}",
                self.namespace,
                in_words(&error)
            )
        })?;
        if !waiting.wait {
            let text =
                format!("{short} is asked for {what}; status {short} {} shows the result.\n", self.place);
            print(&text)?;
            return Ok(CommandVerdict::Passed);
        }
        self.wait(wishes, &value, &waiting.timeout).await?;
        self.show().await
    }

    /// Waits until the status repeats the value in every field.
    async fn wait(&self, wishes: &[Wish], value: &str, limit: &duration::Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit.get();
        let short = self.named.short();
        loop {
            let last = match tokio::time::timeout_at(deadline, self.api.get_opt(&self.named.name)).await {
                Ok(Ok(None)) => bail!("{short} was deleted meanwhile"),
                Ok(Ok(Some(object))) if wishes.iter().all(|wish| is_handled(&object, wish, value)) => {
                    return Ok(());
                }
                Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => bail!("{}", status.message),
                // The API server may be back before the time is over.
                Ok(Err(error)) => Some(in_words(&error)),
                Ok(Ok(Some(_))) | Err(_) => None,
            };
            if Instant::now() + PERIOD >= deadline {
                let last = last.map_or_else(String::new, |words| format!(" The last answer was: {words}."));
                bail!(
                    "no operator has handled this within {limit}.{last} Check that one runs and manages the namespace {}; the request stays, and is handled then",
                    self.namespace
                );
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Prints what the resource comes to now.
    async fn show(&self) -> anyhow::Result<CommandVerdict> {
        let scope = StatusScope { namespace: Some(self.namespace.clone()), events: EventScope::Nothing };
        let observed = collect(&self.client, &scope).await;
        let report = StatusReport::of(&observed).only(&self.named.kind.resource.kind, &self.named.name);
        print(&overview(&report, &report, observed.now, terminal_layout()))?;
        Ok(report.verdict())
    }
}

/// Whether the status says that this value was acted on.
fn is_handled(object: &DynamicObject, wish: &Wish, value: &str) -> bool {
    object.data.pointer("/status").and_then(|status| status.get(wish.handled)).and_then(Value::as_str)
        == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_that_was_set_counts_as_handled() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "ServiceAccount",
            "metadata": {"name": "ci"},
            "status": {"lastHandledRecheck": "a", "lastHandledRotate": "b"},
        }))
        .unwrap();
        for (wish, value, expected) in [
            (&RECHECK, "a", true),
            (&RECHECK, "b", false),
            (&ROTATE, "b", true),
            (&REVOKE_PREVIOUS, "b", false),
        ] {
            assert_eq!(is_handled(&object, wish, value), expected, "{} {value}", wish.handled);
        }
    }
}
