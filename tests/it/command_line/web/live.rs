//! The page follows the cluster, asks nobody else, and says when it cannot follow.

use std::{fs, time::Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use test_support::{ApiProxy, Browser, ControlPlane, Fault, User};

use super::{PATIENCE, ServedPage, places, wait_for_state, wait_for_text};
use crate::{
    command_line::status::Delivered,
    world::{PASSWORD, ldap_config, operator, workspace},
};

/// What was requested, by path below the page's address; anything else is an error.
fn requested(browser: &Browser, page: &ServedPage) -> Result<Vec<String>> {
    let requests = browser.requests()?;
    let paths = requests.iter().map(|address| address.strip_prefix(&page.address).map(str::to_owned));
    let paths: Option<Vec<_>> = paths.collect();
    paths.ok_or_else(|| anyhow::anyhow!("somebody else was asked: {requests:?}"))
}

#[tokio::test]
async fn the_way_of_the_values_is_shown_and_follows_every_change() -> Result<()> {
    let stage = Delivered::applied().await?;
    let workspace = &stage.workspace;
    let page = ServedPage::of(workspace.namespace()).await?;
    let browser = page.browser()?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    wait_for_state(&browser, "Secret", "none yet", "–not written")?;
    // Gone, should the page be loaded again.
    browser.evaluate("window.mark = 'as it was opened'")?;

    let _operator = operator(workspace)?;
    let resource = workspace.wait_until_ready("LdapConfig", "corp").await?;
    wait_for_state(&browser, "LdapConfig", "corp", "✓Ready")?;
    wait_for_state(&browser, "Deployment", "wandb", "✓2 of 2 pods ready")?;
    let shown = places(&browser)?;
    let kinds: Vec<_> = shown.iter().map(|[caption, ..]| caption.as_str()).collect();
    assert_eq!(kinds, ["Directory", "LdapConfig", "Secret", "Revision", "Deployment", "Pod", "Pod"]);
    let expected =
        [["Secret", "corp-ldap", "✓holds the current values"], ["Revision", "1", "✓all pods run with it"]];
    for place in expected {
        ensure!(shown.iter().any(|each| each == &place), "{place:?} is not in {shown:?}");
    }
    ensure!(shown.iter().all(|[_, _, state]| !state.starts_with('✗')), "{shown:?}");

    // What happened stands on the line of time.
    let timeline = browser.find("#timeline")?.text()?;
    ensure!(timeline.contains("LdapConfig/corp"), "{timeline}");
    // The event may come after the status.
    wait_for_text(&browser, "RolledOut")?;

    // A change of a person's, as the operator answers it.
    let started = Instant::now();
    workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": true}})).await?;
    wait_for_state(&browser, "LdapConfig", "corp", "–suspended")?;
    eprintln!("an edit is on the page after {:?}", started.elapsed());
    assert_eq!(browser.evaluate("return window.mark")?, "as it was opened");

    let requests = requested(&browser, &page)?;
    for path in ["", "page.css", "page.js", "feed"] {
        let times = requests.iter().filter(|each| *each == path).count();
        assert_eq!(times, 1, "{path:?} in {requests:?}");
    }
    ensure!(
        requests.iter().all(|path| ["", "page.css", "page.js", "feed", "icon.svg"].contains(&path.as_str()))
    );
    assert_eq!(browser.console()?, [""; 0]);
    let feed = browser.evaluate("return shown")?.to_string();
    ensure!(feed.contains("corp-ldap") && !feed.contains(PASSWORD), "{feed}");
    ensure!(resource["secretRef"]["name"] == "corp-ldap");
    Ok(())
}

#[tokio::test]
async fn nothing_comes_from_elsewhere_even_if_a_script_wants_it() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let browser = page.browser()?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    requested(&browser, &page)?;
    browser.console()?;

    // A script of the tests may do what a script in the page may not.
    browser.evaluate(
        "const image = document.createElement('img');
         image.src = 'https://elsewhere.example/picture.png';
         const script = document.createElement('script');
         script.textContent = 'window.inner = true';
         const style = document.createElement('style');
         style.textContent = 'body { display: none }';
         document.body.append(image, script, style);
         return fetch('https://elsewhere.example/').catch(() => null)",
    )?;
    assert_eq!(browser.evaluate("return window.inner ?? null")?, Value::Null);
    assert_eq!(browser.evaluate("return getComputedStyle(document.body).display")?, "block");
    let console = browser.console()?;
    let refused = console.iter().filter(|line| line.contains("Content Security Policy")).count();
    ensure!(refused >= 4, "{console:?}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_and_a_command_that_are_gone_are_told() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    let plane = ControlPlane::shared().await?;
    let proxy = ApiProxy::start(plane)?;
    let kubeconfig = NamedTempFile::new()?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": proxy.url()}}],
        "users": [{"name": "test", "user": {"token": plane.token(User::Admin)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": workspace.namespace()}}],
    });
    fs::write(kubeconfig.path(), config.to_string())?;
    let mut page = ServedPage::start(kubeconfig.path(), &[])?;
    let browser = page.browser()?;
    wait_for_text(&browser, "Live, as of")?;

    // It answers nothing more, and then it is gone.
    proxy.fail(|_, _| Some(Fault::Hang));
    wait_for_text(&browser, "The cluster has not answered within 5 seconds.")?;
    wait_for_text(&browser, "Shown is what was so at")?;
    proxy.go_down();
    wait_for_text(&browser, "could not be read")?;
    wait_for_text(&browser, "Shown is what was so at")?;
    // What was seen last stays.
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    ensure!(
        browser.evaluate("return !isNaN(new Date(document.querySelector('#read time').dateTime))")? == true
    );
    proxy.heal();
    wait_for_text(&browser, "Live, as of")?;

    // Interrupted, as by Ctrl-C.
    page.command.send_interrupt()?;
    page.command.wait(PATIENCE)?;
    wait_for_text(&browser, "The command has ended")?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    Ok(())
}
