//! A clock that a process reads instead of the machine's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::run_directory::RunDirectory;

/// What stands between the process and the machine's clock. The time that passes is the machine's own.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    char text[32] = {0};
    int file = open(getenv("TEST_CLOCK_AHEAD"), O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int) syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += ahead();
    return result;
}
"#;

/// A wall clock that a test sets.
#[derive(Debug)]
pub struct SkewedClock {
    directory: RunDirectory,
}

impl SkewedClock {
    /// One that goes right for now.
    pub fn new() -> Result<Self> {
        let directory = RunDirectory::create("clock")?;
        let source = directory.write("clock.c", SHIM)?;
        let clock = Self { directory };
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.library()).arg(source);
        let status = command.status()?;
        ensure!(status.success(), "the C compiler, which the build needs, too, failed: {status}");
        clock.set_ahead(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds ahead.
    pub fn set_ahead(&self, seconds: i64) -> Result<()> {
        let (new, file) = (self.directory.path().join("new"), self.file());
        fs::write(&new, seconds.to_string())?;
        fs::rename(new, file)?;
        Ok(())
    }

    /// The environment of a process that reads this clock.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.display().to_string();
        [("LD_PRELOAD", text(self.library())), ("TEST_CLOCK_AHEAD", text(self.file()))]
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ahead")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_reads_it() -> Result<()> {
        let clock = SkewedClock::new()?;
        let year = || -> Result<String> {
            let mut date = Command::new("date");
            date.args(["-u", "+%s"]).envs(clock.environment());
            Ok(String::from_utf8(date.output()?.stdout)?.trim().to_owned())
        };
        let before: i64 = year()?.parse()?;
        clock.set_ahead(1_000_000)?;
        let after: i64 = year()?.parse()?;
        // The time that passes between the two may be any.
        assert!((1_000_000..2_000_000).contains(&(after - before)), "{before} {after}");
        Ok(())
    }
}
