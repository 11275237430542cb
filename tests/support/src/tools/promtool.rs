//! `promtool`, which checks and unit-tests rules of Prometheus: the system's, or else Debian's.

use std::path::PathBuf;

use anyhow::Result;

use super::debian::{self, Unpacked};
use super::find_program;
use super::go::program;

/// The `promtool` program.
pub fn promtool() -> Result<PathBuf> {
    if let Some(program) = find_program("promtool") {
        return Ok(program);
    }
    let Unpacked { root, .. } = debian::unpack("promtool", &["prometheus"])?;
    program(&root.join("usr/bin"), "promtool")
}
