//! Builds and fetches every component that the tests run, so that no test waits for one.

use anyhow::Result;
use test_support::tools;

fn main() -> Result<()> {
    tools::build_all()
}
