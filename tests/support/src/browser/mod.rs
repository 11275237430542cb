//! A real browser, headless: what a person sees of a page and does on it.

mod driver;
mod element;
mod pictures;

pub use element::Element;
pub use pictures::PictureDifference;

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use driver::{DriverSession, text_at};

use crate::free_port;
use crate::process::{ChildProcess, KillSwitch, PATIENCE, wait_until};
use crate::run_directory::RunDirectory;
use crate::tools;

/// A running Chromium with a profile of its own, ended on drop.
///
/// It finds no host but those of this machine: names other than `localhost` do not resolve.
#[derive(Debug)]
pub struct Browser {
    session: DriverSession,
    driver: ChildProcess,
    _directory: RunDirectory,
}

/// A browser to be started, made by [`Browser::builder`].
#[derive(Debug, Clone, Copy, Default)]
pub struct BrowserBuilder {
    certificates: Certificates,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Certificates {
    #[default]
    Verified,
    Whatever,
}

/// A key that types no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// To the next element that takes keys.
    Tab,
    /// To the one before.
    BackTab,
    /// Does what the element is for.
    Enter,
    /// Does what the element is for, or scrolls.
    Space,
    /// Closes what is open.
    Escape,
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Up.
    Up,
    /// Down.
    Down,
}

impl Key {
    /// The character that the protocol has for it.
    fn code(self) -> char {
        match self {
            Self::Tab | Self::BackTab => '\u{e004}',
            Self::Enter => '\u{e007}',
            Self::Escape => '\u{e00c}',
            Self::Space => '\u{e00d}',
            Self::Left => '\u{e012}',
            Self::Up => '\u{e013}',
            Self::Right => '\u{e014}',
            Self::Down => '\u{e015}',
        }
    }
}

/// Which colours a person prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorScheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl BrowserBuilder {
    /// Takes every certificate of a server, as a person does who clicks every warning away.
    #[must_use]
    pub fn taking_every_certificate(self) -> Self {
        Self { certificates: Certificates::Whatever }
    }

    /// Starts the browser, with an empty page.
    pub fn start(self) -> Result<Browser> {
        let installation = tools::browser()?;
        let directory = RunDirectory::create("browser")?;
        let fonts = font_configuration(&installation.fonts, directory.path());
        let fonts = directory.write("fonts.conf", &fonts)?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(&installation.driver);
        command
            .arg(format!("--port={}", address.port()))
            .env("LD_LIBRARY_PATH", env::join_paths(&installation.libraries)?)
            .env("FONTCONFIG_FILE", fonts)
            .env("HOME", directory.path())
            // Neither the proxies nor the language of the machine have a say.
            .env("no_proxy", "*")
            .env("LANGUAGE", "en")
            .env("TZ", "UTC");
        let log = directory.path().join("driver.log");
        let mut driver = ChildProcess::spawn("the browser's driver", &command, &log)?;
        driver.wait_until_ready(PATIENCE, || TcpStream::connect(address).is_ok())?;

        let profile = directory.path().join("profile");
        let capabilities = capabilities(&installation.program, &profile, self.certificates);
        let session = DriverSession::begin(address, &capabilities).with_context(|| driver.log().tail())?;
        Ok(Browser { session, driver, _directory: directory })
    }
}

impl Browser {
    /// A browser that verifies certificates, to be started.
    pub fn builder() -> BrowserBuilder {
        BrowserBuilder::default()
    }

    /// Starts it, with an empty page.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// What ends it as a crash does, without asking it to.
    pub fn kill_switch(&self) -> Result<KillSwitch> {
        self.driver.kill_switch()
    }

    /// Goes to this address and waits until the page is loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.session.post("/url", &json!({ "url": url })).map(drop)
    }

    /// Loads the page again.
    pub fn reload(&self) -> Result<()> {
        self.session.post("/refresh", &json!({})).map(drop)
    }

    /// The address of the page that it shows.
    pub fn url(&self) -> Result<String> {
        Ok(self.session.get("/url")?.as_str().unwrap_or_default().to_owned())
    }

    /// The title of the page.
    pub fn title(&self) -> Result<String> {
        Ok(self.session.get("/title")?.as_str().unwrap_or_default().to_owned())
    }

    /// All text of the page that a person sees.
    pub fn text(&self) -> Result<String> {
        self.find("body")?.text()
    }

    /// The first element that a CSS selector finds.
    pub fn find(&self, selector: &str) -> Result<Element<'_>> {
        let answer = self.session.post("/element", &json!({ "using": "css selector", "value": selector }))?;
        Element::of(&self.session, &answer)
    }

    /// All elements that a CSS selector finds, in the order of the document.
    pub fn find_all(&self, selector: &str) -> Result<Vec<Element<'_>>> {
        let answer =
            self.session.post("/elements", &json!({ "using": "css selector", "value": selector }))?;
        answer.as_array().into_iter().flatten().map(|each| Element::of(&self.session, each)).collect()
    }

    /// Waits until the page has an element that a CSS selector finds.
    pub fn wait_for(&self, selector: &str, deadline: Duration) -> Result<Element<'_>> {
        let mut found = None;
        wait_until(deadline, &format!("element `{selector}`"), || {
            found = self.find_all(selector)?.into_iter().next();
            Ok(found.is_some())
        })
        .with_context(|| format!("the page {} says: {}", self.seen(Self::url), self.seen(Self::text)))?;
        found.with_context(|| format!("the page has no element `{selector}`"))
    }

    /// Waits until this script, which has to return a boolean, says true.
    pub fn wait_until(&self, awaited: &str, script: &str, deadline: Duration) -> Result<()> {
        wait_until(deadline, awaited, || Ok(self.evaluate(script)? == Value::Bool(true)))
            .with_context(|| format!("the page {} says: {}", self.seen(Self::url), self.seen(Self::text)))
    }

    /// For an error message.
    fn seen(&self, look: impl FnOnce(&Self) -> Result<String>) -> String {
        look(self).unwrap_or_else(|error| format!("({error:#})"))
    }

    /// What has the focus.
    pub fn focused(&self) -> Result<Element<'_>> {
        Element::of(&self.session, &self.session.get("/element/active")?)
    }

    /// Presses and releases a key, wherever the focus is.
    pub fn press(&self, key: Key) -> Result<()> {
        let stroke = |code: char| {
            [json!({ "type": "keyDown", "value": code }), json!({ "type": "keyUp", "value": code })]
        };
        let [down, up] = stroke(key.code());
        let [shift, no_shift] = stroke('\u{e008}');
        let strokes = if key == Key::BackTab { vec![shift, down, up, no_shift] } else { vec![down, up] };
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.session.post("/actions", &actions).map(drop)
    }

    /// What a script of the body of a function returns; a promise is waited for.
    pub fn evaluate(&self, script: &str) -> Result<Value> {
        self.evaluate_with(script, &[])
    }

    /// The same with arguments, which the script has as `arguments`.
    pub fn evaluate_with(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.session.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Makes the area of the page so large, in pixels.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        )
        .map(drop)
    }

    /// Says which colours the person prefers; nothing moves for longer than it must.
    pub fn prefer(&self, scheme: ColorScheme) -> Result<()> {
        let value = if scheme == ColorScheme::Dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": value },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// A command of Chromium's own protocol, for what the W3C's does not have.
    fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.session.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// A picture of the page's area, as PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let picture = self.session.get("/screenshot")?;
        Ok(BASE64_STANDARD.decode(picture.as_str().unwrap_or_default())?)
    }

    /// A picture of the whole page in half its size, as PNG.
    pub fn thumbnail(&self) -> Result<Vec<u8>> {
        let clip = self.evaluate(
            "const { clientWidth, scrollHeight } = document.documentElement;
             return { x: 0, y: 0, width: clientWidth, height: scrollHeight, scale: 0.5 }",
        )?;
        let how = json!({ "format": "png", "clip": clip, "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", &how)?;
        Ok(BASE64_STANDARD.decode(text_at(&picture, "/data").unwrap_or_default())?)
    }

    /// The addresses that were requested since the last call by the page or for it, whether or not there was an answer,
    /// without those of the browser's own pages.
    pub fn requests(&self) -> Result<Vec<String>> {
        let entries = self.session.post("/se/log", &json!({ "type": "performance" }))?;
        let mut requests = Vec::new();
        for entry in entries.as_array().into_iter().flatten() {
            let message: Value = serde_json::from_str(text_at(entry, "/message").unwrap_or_default())?;
            let pointer = match text_at(&message, "/message/method") {
                Some("Network.requestWillBeSent") => "/message/params/request/url",
                Some("Network.webSocketCreated") => "/message/params/url",
                _ => continue,
            };
            let address = text_at(&message, pointer).unwrap_or_default();
            let inner = ["chrome:", "chrome-untrusted:", "about:", "data:", "devtools:"];
            if !inner.iter().any(|scheme| address.starts_with(scheme)) {
                requests.push(address.to_owned());
            }
        }
        Ok(requests)
    }

    /// What the page has written to the console since the last call, and what the browser has to say about it, such as
    /// that a policy forbids something.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.session.post("/se/log", &json!({ "type": "browser" }))?;
        let messages = entries.as_array().into_iter().flatten();
        Ok(messages.filter_map(|entry| text_at(entry, "/message")).map(str::to_owned).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Where the driver does not end it, the browser ends with the driver: they are connected by a pipe.
        let _ = self.session.end();
    }
}

fn capabilities(program: &Path, profile: &Path, certificates: Certificates) -> Value {
    let mut arguments = Vec::from(
        [
            "--headless",
            // The browser ends when the driver does.
            "--remote-debugging-pipe",
            // Its sandbox needs rights that containers do not have; it shows pages of the tests alone.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--lang=en-US",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        ]
        .map(str::to_owned),
    );
    arguments.push(format!("--user-data-dir={}", profile.display()));
    json!({
        "acceptInsecureCerts": certificates == Certificates::Whatever,
        "goog:chromeOptions": { "binary": program, "args": arguments },
        "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
    })
}

/// A configuration of fontconfig that knows these fonts alone, and draws them the same everywhere.
fn font_configuration(fonts: &Path, directory: &Path) -> String {
    let alias = |family: &str, font: &str| {
        format!(
            "<match target=\"pattern\"><test name=\"family\"><string>{family}</string></test>\
             <edit name=\"family\" mode=\"assign\" binding=\"strong\"><string>{font}</string></edit></match>"
        )
    };
    format!(
        "<?xml version=\"1.0\"?>\n<fontconfig><dir>{}</dir><cachedir>{}</cachedir>{}{}\
         <match target=\"font\"><edit name=\"hinting\" mode=\"assign\"><bool>false</bool></edit>\
         <edit name=\"antialias\" mode=\"assign\"><bool>true</bool></edit>\
         <edit name=\"rgba\" mode=\"assign\"><const>none</const></edit></match></fontconfig>\n",
        fonts.display(),
        directory.join("font-cache").display(),
        alias("system-ui", "DejaVu Sans"),
        alias("monospace", "DejaVu Sans Mono"),
    )
}

#[cfg(test)]
mod tests;
