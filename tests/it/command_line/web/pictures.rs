//! The page as a picture, compared with stored ones.
//!
//! `REGENERATE=1 cargo test --test it command_line::web::pictures` stores them anew. They have half the size of the
//! page: words are what the other tests compare. The fonts are those of the tests, so that pictures differ between
//! machines by no more than versions of the browser do.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{Browser, Workspace, browser::ColorScheme};

use super::{
    ServedPage,
    phases::{HELD, PAUSED, PUBLISHED, READY, REFUSED, RESOLVED, ROLLED_OUT, VALID, VERIFIED, write_status},
    wait_for_state,
};
use crate::world::{eventually, jwt_issuer, ldap_config, oidc_provider, workspace};

/// Which share of the pixels may look different: less than a place with another colour or another size.
const TOLERANCE: f64 = 0.01;

/// A pod of the paused Deployment, as the kubelet would report it.
async fn put_pod(workspace: &Workspace, name: &str, revision: u32, ready: &str) -> Result<()> {
    let sources = json!([
        {"secretRef": {"name": format!("corp-ldap-{revision}")}},
        {"secretRef": {"name": "main-oidc-12"}},
    ]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "wandb"}},
        "spec": {"containers": [{"name": "wandb", "image": "wandb/local", "envFrom": sources}]},
    });
    // A new namespace has no account for pods at first.
    eventually("the pod", || async { Ok(workspace.apply(&pod.to_string()).await.ok()) }).await?;
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    let pods: Api<Pod> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// A namespace with something of everything.
async fn everything() -> Result<Workspace> {
    let workspace = workspace().await?;
    workspace.apply(PAUSED).await?;
    for secret in ["corp-ldap", "main-oidc", "ci-jwt"] {
        workspace.put_secret(secret, &[("KEY", "value")]).await?;
    }
    let target = "target: {deployment: {name: wandb}}";
    workspace.apply(&ldap_config("ldaps://ldap.example.com:636", target)).await?;
    workspace.apply(&oidc_provider("https://login.example.com/realms/wandb", target)).await?;
    workspace.apply(&jwt_issuer("https://token.actions.githubusercontent.com", "")).await?;
    for (name, revision, ready) in [
        ("wandb-7c9f5d-x2x4p", 5, "False"),
        ("wandb-7c9f5d-aaaaa", 4, "True"),
        ("wandb-7c9f5d-bbbbb", 4, "True"),
    ] {
        put_pod(&workspace, name, revision, ready).await?;
    }

    let refused =
        json!([{"name": "Bind", "result": "Failed", "reason": "InvalidCredentials", "message": REFUSED}]);
    let verified = ["Verified", "False", "InvalidCredentials", "The check Bind failed."];
    let ready = ["Ready", "False", "InvalidCredentials", REFUSED];
    let held = [VALID, RESOLVED, verified, HELD, ROLLED_OUT, ready];
    let more = json!({"secretRef": {"name": "corp-ldap"}, "revision": 4});
    write_status(&workspace, ["LdapConfig", "corp"], &held, &refused, &more).await?;

    let moving = ["RolledOut", "False", "Progressing", "Pods of Deployment/wandb: 3 wanted, 1 new, 2 old."];
    let ready = ["Ready", "False", "Progressing", "Pods of Deployment/wandb: 3 wanted, 1 new, 2 old."];
    let rolling = [VALID, RESOLVED, VERIFIED, PUBLISHED, moving, ready];
    let more = json!({"secretRef": {"name": "main-oidc"}, "revision": 12});
    write_status(&workspace, ["OidcProvider", "main"], &rolling, &json!([]), &more).await?;

    let published = [VALID, RESOLVED, VERIFIED, PUBLISHED, READY];
    let more = json!({"secretRef": {"name": "ci-jwt"}});
    write_status(&workspace, ["JwtIssuer", "ci"], &published, &json!([]), &more).await?;
    Ok(workspace)
}

/// Takes out what differs from run to run: the namespace's number, and the time of reading.
fn settle(browser: &Browser) -> Result<()> {
    let settled = "at('place').textContent = 'Namespace wandb';
         at('read').hidden = true;
         for (const time of document.querySelectorAll('#details time')) time.textContent = '09:00:00';";
    browser.evaluate(settled).map(drop)
}

fn compare(browser: &Browser, differ: &Browser, name: &str) -> Result<()> {
    settle(browser)?;
    let picture = browser.thumbnail()?;
    let stored = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/command_line/web/pictures")
        .join(format!("{name}.png"));
    if env::var_os("REGENERATE").is_some() {
        fs::create_dir_all(stored.parent().context("a folder")?)?;
        fs::write(&stored, &picture)?;
    }
    let expected = fs::read(&stored).with_context(|| format!("{} is missing", stored.display()))?;
    let seen = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
    fs::write(&seen, &picture)?;
    let difference = differ.compare(&expected, &picture);
    let difference = difference.with_context(|| format!("{} is of another size", seen.display()))?;
    ensure!(
        difference.share <= TOLERANCE,
        "{:.2} % of {} do not look as in {}",
        difference.share * 100.0,
        seen.display(),
        stored.display()
    );
    Ok(())
}

#[tokio::test]
async fn the_page_looks_as_stored() -> Result<()> {
    let workspace = everything().await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let (browser, differ) = (page.browser()?, Browser::start()?);
    for (caption, name, state) in [
        ("LdapConfig", "corp", "✗Verified: InvalidCredentials"),
        ("OidcProvider", "main", "~RolledOut: Progressing"),
        ("JwtIssuer", "ci", "✓Ready"),
        ("Deployment", "wandb", "!0 of 3 pods ready"),
        ("Pod", "wandb-7c9f5d-x2x4p", "!not ready, revision 5 of corp"),
        ("Pod", "wandb-7c9f5d-bbbbb", "✓ready"),
    ] {
        wait_for_state(&browser, caption, name, state)?;
    }
    for (width, scheme, name) in [
        (1280, ColorScheme::Light, "wide"),
        (1280, ColorScheme::Dark, "dark"),
        (400, ColorScheme::Light, "narrow"),
    ] {
        browser.resize(width, 800)?;
        browser.prefer(scheme)?;
        compare(&browser, &differ, name)?;
    }
    browser.evaluate("document.querySelector('.place').click()")?;
    compare(&browser, &differ, "details")?;

    // A place of another colour is seen.
    browser.press(test_support::browser::Key::Escape)?;
    browser.resize(1280, 800)?;
    settle(&browser)?;
    let before = browser.thumbnail()?;
    let recolour =
        "for (const place of document.querySelectorAll('.place')) place.style.background = 'rebeccapurple'";
    let _: Value = browser.evaluate(recolour)?;
    ensure!(differ.compare(&before, &browser.thumbnail()?)?.share > TOLERANCE);
    Ok(())
}
