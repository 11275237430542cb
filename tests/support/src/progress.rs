//! What is being waited for, and for how long already.
//!
//! Building a component takes minutes, in which nobody should have to wonder whether anything happens. By
//! default it is said in lines, past the test runner, which holds back what a test prints. A program that owns
//! its terminal can [`draw`] instead, and then prints its own lines by [`say`].

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a line is written.
const BETWEEN_LINES: Duration = Duration::from_secs(30);
/// How often a drawn line changes.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(500);

/// The drawn lines; none while nothing draws.
static DRAWN: OnceLock<MultiProgress> = OnceLock::new();

/// Draws what is waited for from now on, where standard error is a terminal.
pub fn draw() {
    DRAWN.get_or_init(MultiProgress::new);
}

/// Prints a line to standard output without tearing what is drawn.
pub fn say(line: &str) {
    aside(|| println!("{line}"));
}

/// Runs something that prints, without tearing what is drawn.
pub fn aside<T>(print: impl FnOnce() -> T) -> T {
    match DRAWN.get() {
        Some(drawn) => drawn.suspend(print),
        None => print(),
    }
}

/// Something that is being waited for; the wait is over when it is dropped.
#[derive(Debug)]
pub struct Waiting {
    parts: Arc<OnceLock<Parts>>,
    end: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

/// How many parts there are, and the file that gets a line for each that is done.
#[derive(Debug)]
struct Parts {
    log: PathBuf,
    total: usize,
}

impl Waiting {
    /// Says that the wait begins, and how long it has taken again and again.
    pub fn start(what: &str) -> Self {
        if drawn().is_none() {
            line(&format!("{what} …"));
        }
        Self::tell(what, Some(Display::new(what)))
    }

    /// The same for what the program has announced in its own words: how long it takes is said as soon as it does not
    /// come at once.
    pub fn announced(what: &str) -> Self {
        Self::tell(what, None)
    }

    fn tell(what: &str, display: Option<Display>) -> Self {
        let parts = Arc::new(OnceLock::new());
        let (end, ended) = channel();
        let started = Instant::now();
        let (what, known) = (what.to_owned(), Arc::clone(&parts));
        let teller = thread::spawn(move || {
            let mut display = display;
            while ended.recv_timeout(interval()) == Err(RecvTimeoutError::Timeout) {
                let shown = display.get_or_insert_with(|| Display::new(&what));
                shown.update(&what, started.elapsed(), known.get());
            }
            if let Some(display) = display {
                display.remove();
            }
        });
        Self { parts, end: Some(end), teller: Some(teller) }
    }

    /// What is waited for has so many parts, and the log gets a line for each that is done.
    pub(crate) fn consists_of(&self, total: usize, log: &Path) {
        // A second call would come from a second build of the same component, which there is none of.
        let _ = self.parts.set(Parts { log: log.to_owned(), total });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(teller) = self.teller.take() {
            // A teller that panicked has told why already.
            let _ = teller.join();
        }
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // Go says what it downloads in lines of another kind.
        let done = log.lines().filter(|line| !line.starts_with("go: ")).count();
        write!(f, ", {done} of at most {} packages", self.total)
    }
}

/// Where the wait is shown.
enum Display {
    Lines,
    Drawing(ProgressBar),
}

impl Display {
    fn new(what: &str) -> Self {
        let Some(drawn) = drawn() else { return Self::Lines };
        let style = ProgressStyle::with_template("  {spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = drawn.add(ProgressBar::new_spinner().with_style(style));
        bar.set_message(what.to_owned());
        Self::Drawing(bar)
    }

    fn update(&self, what: &str, elapsed: Duration, parts: Option<&Parts>) {
        let parts = parts.map(ToString::to_string).unwrap_or_default();
        let text = format!("{what}: {}{parts}", for_people(elapsed));
        match self {
            Self::Lines => line(&text),
            Self::Drawing(bar) => {
                bar.set_message(text);
                bar.tick();
            }
        }
    }

    fn remove(&self) {
        if let Self::Drawing(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// What draws, where somebody sees it.
fn drawn() -> Option<&'static MultiProgress> {
    DRAWN.get().filter(|drawn| !drawn.is_hidden())
}

/// How often people are told how long it has taken.
fn interval() -> Duration {
    if drawn().is_some() { BETWEEN_DRAWINGS } else { BETWEEN_LINES }
}

/// Writes a line past the test runner, which would hold back what `eprintln!` prints until the test is over.
fn line(text: &str) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A duration as people say it, in whole seconds.
pub fn for_people(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_minutes_and_seconds() {
        assert_eq!(for_people(Duration::from_millis(59_900)), "59 s");
        assert_eq!(for_people(Duration::from_secs(150)), "2 min 30 s");
    }

    #[test]
    fn parts_are_the_lines_that_are_no_downloads() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("log");
        fs::write(&log, "go: downloading example.com v1.0.0\ninternal/cpu\nruntime\n")?;
        let parts = Parts { log, total: 5 };
        assert_eq!(parts.to_string(), ", 2 of at most 5 packages");
        Ok(())
    }
}
