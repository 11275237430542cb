//! The webhook of the second generation, which rewrites what anybody writes.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, WebhookClientConfig,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceConversion, WebhookClientConfig as ConversionClientConfig, WebhookConversion,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::{conversion, typed::typed};
use crate::{
    CertificateAuthority, Leaf,
    definitions::OidcFields,
    hostile::{HttpServer, Request, Response},
};

/// Longer than any answer takes on a machine that builds at the same time.
const TIMEOUT_SECONDS: i32 = 30;

const CONVERSION: &str = "/convert";

/// How often is looked whether the API server asks the webhook yet.
const TICK: Duration = Duration::from_millis(50);

/// Answers the API server for the resources of one namespace.
#[derive(Debug)]
pub(super) struct Webhook {
    server: HttpServer,
    authority_pem: String,
}

impl Webhook {
    pub(super) fn start(fields: OidcFields) -> Result<Self> {
        let certificate = CertificateAuthority::new("webhook")?.issue(&Leaf::loopback())?;
        let server = HttpServer::tls(&certificate, move |request| answer(request, fields))?;
        Ok(Self { server, authority_pem: certificate.authority_pem })
    }

    /// What has the API server ask it to convert, for a definition.
    pub(super) fn conversion(&self) -> CustomResourceConversion {
        CustomResourceConversion {
            strategy: "Webhook".to_owned(),
            webhook: Some(WebhookConversion {
                client_config: Some(ConversionClientConfig {
                    ca_bundle: Some(ByteString(self.authority_pem.clone().into_bytes())),
                    url: Some(self.server.url(CONVERSION)),
                    service: None,
                }),
                conversion_review_versions: vec!["v1".to_owned()],
            }),
        }
    }

    /// Has the API server ask it, and waits until it does.
    pub(super) async fn register(
        &self,
        client: &Client,
        namespace: &str,
        resource: &ApiResource,
    ) -> Result<()> {
        let endpoint =
            Endpoint { url: self.server.url("/mutate"), authority_pem: self.authority_pem.clone() };
        endpoint.register(client, namespace, "weightsandbiases").await?;
        let resources = Api::namespaced_with(client.clone(), namespace, resource);
        while !is_asked(&resources, resource).await? {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }
}

/// Where a webhook for a kind of the second generation listens.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) authority_pem: String,
}

impl Endpoint {
    /// Has the API server ask it for what is written of these resources in the namespace.
    pub(super) async fn register(&self, client: &Client, namespace: &str, resources: &str) -> Result<()> {
        let own_namespace = [("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())];
        let mut configuration = MutatingWebhookConfiguration::default();
        let name = format!("{resources}-{namespace}");
        configuration.metadata.name = Some(name.clone());
        configuration.webhooks = Some(vec![MutatingWebhook {
            admission_review_versions: vec!["v1".to_owned()],
            client_config: WebhookClientConfig {
                ca_bundle: Some(ByteString(self.authority_pem.clone().into_bytes())),
                url: Some(self.url.clone()),
                service: None,
            },
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Exact".to_owned()),
            name: format!("m{resources}-v2.kb.io"),
            namespace_selector: Some(LabelSelector {
                match_labels: Some(own_namespace.into()),
                ..LabelSelector::default()
            }),
            rules: Some(vec![RuleWithOperations {
                api_groups: Some(vec!["apps.wandb.com".to_owned()]),
                api_versions: Some(vec!["v2".to_owned()]),
                operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
                resources: Some(vec![resources.to_owned()]),
                scope: None,
            }]),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..MutatingWebhook::default()
        }]);
        let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&configuration)).await?;
        Ok(())
    }
}

/// Whether the API server asks the webhook: nothing is made.
async fn is_asked(resources: &Api<DynamicObject>, resource: &ApiResource) -> Result<bool> {
    let spec = json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {"hostname": "https://wandb.example.com", "version": "0", "bucketProxy": false, "features": {}},
    });
    let probe = DynamicObject::new("probe-of-the-webhook", resource).data(json!({"spec": spec}));
    let made = resources.create(&PostParams { dry_run: true, ..PostParams::default() }, &probe).await?;
    Ok(made.data.pointer("/spec/wandb/oidc").is_some())
}

fn answer(request: &Request, fields: OidcFields) -> Response {
    let answer = |review: Value| {
        if request.path.starts_with(CONVERSION) {
            Ok(conversion::review(&review, fields))
        } else {
            admit(&review, fields)
        }
    };
    match serde_json::from_str(&request.body).context("it is no JSON").and_then(answer) {
        Ok(review) => Response::json(&review),
        Err(error) => Response::status(500, &format!("{error:#}")),
    }
}

fn admit(review: &Value, fields: OidcFields) -> Result<Value> {
    let request = review.get("request").context("a review has no request")?;
    let spec = request.pointer("/object/spec").unwrap_or(&Value::Null);
    let patch = json!([{"op": "add", "path": "/spec", "value": typed(spec, fields)}]);
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": request.get("uid"), "allowed": true, "patchType": "JSONPatch",
            "patch": STANDARD.encode(patch.to_string()),
        },
    }))
}
