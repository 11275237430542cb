//! Chromium, its driver and the fonts that it draws with, from Debian's packages, unpacked into the cache.

use std::path::PathBuf;

use anyhow::Result;

use super::debian::{self, Unpacked};

/// Where the browser and its parts are.
#[derive(Debug, Clone)]
pub(crate) struct BrowserInstallation {
    /// The browser.
    pub program: PathBuf,
    /// What tells it what to do: the W3C's `WebDriver` protocol over HTTP.
    pub driver: PathBuf,
    /// The directory of the only fonts that it knows, so that pages look the same on every machine.
    pub fonts: PathBuf,
    /// Where its libraries are.
    pub libraries: Vec<PathBuf>,
}

/// The browser. Nothing is installed into the system, and no rights are needed.
pub(crate) fn browser() -> Result<BrowserInstallation> {
    let packages = ["chromium", "chromium-common", "chromium-driver", "fonts-dejavu-core"];
    let Unpacked { root, libraries } = debian::unpack("browser", &packages)?;
    // Debian's PulseAudio library has a directory for a part of its own.
    let own: Vec<_> = libraries.iter().map(|directory| directory.join("pulseaudio")).collect();
    Ok(BrowserInstallation {
        program: root.join("usr/lib/chromium/chromium"),
        driver: root.join("usr/bin/chromedriver"),
        fonts: root.join("usr/share/fonts/truetype/dejavu"),
        libraries: [libraries, own].concat(),
    })
}
