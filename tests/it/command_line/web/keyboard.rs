//! The page by keyboard alone, and on a narrow screen.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_support::{Browser, browser::Key};

use super::{ServedPage, places, wait_for_state};
use crate::{
    command_line::status::Delivered,
    world::{oidc_provider, operator},
};

/// A page with several ways, of which one leads to pods; with what keeps it alive.
async fn ways() -> Result<(Delivered, test_support::Operator, ServedPage, Browser)> {
    let stage = Delivered::applied().await?;
    let running = operator(&stage.workspace)?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    stage.workspace.apply(&oidc_provider("https://login.example.com", "suspend: true")).await?;
    let page = ServedPage::of(stage.workspace.namespace()).await?;
    let browser = page.browser()?;
    wait_for_state(&browser, "OidcProvider", "main", "–suspended")?;
    wait_for_state(&browser, "Deployment", "wandb", "✓2 of 2 pods ready")?;
    Ok((stage, running, page, browser))
}

fn focused(browser: &Browser) -> Result<Value> {
    browser.evaluate("return document.activeElement?.dataset?.id ?? document.activeElement?.tagName")
}

#[tokio::test]
async fn every_place_and_its_details_are_reached_by_keyboard() -> Result<()> {
    let (_stage, _operator, _page, browser) = ways().await?;
    let ids = browser
        .evaluate("return [...document.querySelectorAll('.place')].map((place) => place.dataset.id)")?;
    let ids: Vec<Value> = serde_json::from_value(ids)?;
    let shown = places(&browser)?;
    ensure!(ids.len() == shown.len() && ids.len() >= 10, "{shown:?}");

    for (id, [caption, name, state]) in ids.iter().zip(&shown) {
        browser.press(Key::Tab)?;
        // In the order of the page, which is that of the way.
        assert_eq!(&focused(&browser)?, id);
        let label = browser.focused()?.label()?;
        for words in [caption, name] {
            ensure!(label.contains(words.as_str()), "{words} is not in {label}");
        }
        let ring = browser.evaluate("return getComputedStyle(document.activeElement).outlineStyle")?;
        assert_eq!(ring, "solid", "the focus is seen");
        browser.press(Key::Enter)?;
        let details = browser.find("#details")?.text()?.replace('\n', " ");
        ensure!(details.contains(&format!("{caption} {name}")), "{details}");
        let words = state.trim_start_matches(['✓', '!', '✗', '~', '–']);
        ensure!(details.contains(words), "{words} is not in {details}");
        browser.press(Key::Escape)?;
        assert_eq!(browser.evaluate("return document.querySelector('#details').open")?, false);
        assert_eq!(&focused(&browser)?, id, "the focus is where it was");
    }
    browser.press(Key::BackTab)?;
    assert_eq!(focused(&browser)?, ids[ids.len() - 2]);
    Ok(())
}

#[tokio::test]
async fn details_say_what_was_checked_and_stay_open_while_they_change() -> Result<()> {
    let (stage, _operator, _page, browser) = ways().await?;
    let open = "document.querySelector('.place[data-id$=\"LdapConfig/corp/source\"]').click()";
    browser.evaluate(open)?;
    let details = browser.find("#details")?.text()?;
    for part in ["Verified: ChecksPassed", "TlsVerifies", "Bind", "AttributesPresent", "Last check"] {
        ensure!(details.contains(part), "{part} is not in {details}");
    }
    stage.workspace.put_secret("ldap-bind", &[("password", "not-the-password")]).await?;
    let changed = "return document.querySelector('#details').innerText.includes('Bind: InvalidCredentials')";
    browser.wait_until("the failed check in the details", changed, super::PATIENCE)?;
    assert_eq!(browser.evaluate("return document.querySelector('#details').open")?, true);
    browser.press(Key::Escape)?;
    // The place was drawn anew meanwhile.
    let back = "return (document.activeElement?.dataset?.id ?? '').endsWith('LdapConfig/corp/source')";
    browser.wait_until("focus on the place", back, super::PATIENCE)?;
    wait_for_state(&browser, "Secret", "corp-ldap", "!HoldingLastVerified")
}

#[tokio::test]
async fn a_narrow_screen_shows_one_place_below_the_other() -> Result<()> {
    let (_stage, _operator, _page, browser) = ways().await?;
    for width in [400, 320] {
        browser.resize(width, 800)?;
        let overflow = "const root = document.documentElement; return [root.scrollWidth <= root.clientWidth, root.clientWidth]";
        assert_eq!(browser.evaluate(overflow)?, json!([true, width]));
        let boxes = browser.evaluate(
            "return [...document.querySelectorAll('.place')].map((place) => place.getBoundingClientRect()).map(({ left, right, top, bottom }) => [left, right, top, bottom])",
        )?;
        let boxes: Vec<[f64; 4]> = serde_json::from_value(boxes)?;
        for [left, right, ..] in &boxes {
            ensure!(*left >= 0.0 && *right <= f64::from(width), "{boxes:?}");
        }
        ensure!(boxes.windows(2).all(|pair| pair[1][2] >= pair[0][3]), "one after the other: {boxes:?}");
        browser.evaluate("document.querySelector('.place').click()")?;
        let sides = browser.evaluate(
            "const box = document.querySelector('#details').getBoundingClientRect(); return [box.left >= 0, box.right <= innerWidth]",
        )?;
        assert_eq!(sides, json!([true, true]));
        assert_eq!(browser.evaluate(overflow)?, json!([true, width]));
        browser.press(Key::Escape)?;
    }
    // Beside each other, where there is room.
    browser.resize(1280, 800)?;
    let tops = browser.evaluate(
        "return new Set([...document.querySelectorAll('.way')[0].children].map((place) => place.getBoundingClientRect().top)).size",
    )?;
    assert_eq!(tops, 1);
    Ok(())
}
