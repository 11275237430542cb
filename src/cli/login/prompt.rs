//! Asks a person at the terminal. What must not be seen is read without an echo, and the terminal is as before once the
//! answer is there, or nobody waits for it any more.

use std::{
    io::{IsTerminal, Stdin, stdin},
    ops::IndexMut,
};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// Whether the answer is seen while it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// It is.
    Shown,
    /// It is not.
    Hidden,
    /// It is not, and it may be longer than the lines of a terminal.
    Whole,
}

/// Whether somebody can be asked.
pub(super) fn is_terminal() -> bool {
    stdin().is_terminal()
}

/// Asks for one line. The question goes to standard error, since standard output is for the findings.
pub(super) async fn ask(question: &str, echo: Echo) -> anyhow::Result<String> {
    let _restored = match echo {
        Echo::Shown => None,
        Echo::Hidden | Echo::Whole => Some(HiddenInput::begin(echo)?),
    };
    eprint!("{question}: ");
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|length| (length > 0).then_some(line))
    });
    let line = read.await??.context("standard input ended before an answer")?;
    if echo == Echo::Whole {
        eprintln!();
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads what a program or a file gives at standard input, while an interrupt still ends the program. A terminal would show
/// what is typed, and is not read.
pub(super) async fn read_piped<T: Send + 'static>(
    option: &str,
    read: impl FnOnce(Stdin) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    if is_terminal() {
        bail!(
            "{option} reads standard input, which is a terminal and would show what is typed: give it a file or the output of a program"
        );
    }
    tokio::task::spawn_blocking(|| read(stdin())).await?
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct HiddenInput(Termios);

impl HiddenInput {
    fn begin(echo: Echo) -> anyhow::Result<Self> {
        let before = tcgetattr(stdin()).context("the terminal cannot be asked to hide the input")?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The end of the line is seen, so that the next output begins a line.
        hidden.local_modes.insert(LocalModes::ECHONL);
        if echo == Echo::Whole {
            // A terminal edits lines of 4096 characters at most, and takes no more of longer ones.
            hidden.local_modes.remove(LocalModes::ICANON);
            for (code, value) in [(SpecialCodeIndex::VMIN, 1), (SpecialCodeIndex::VTIME, 0)] {
                *hidden.special_codes.index_mut(code) = value;
            }
        }
        tcsetattr(stdin(), OptionalActions::Flush, &hidden)
            .context("the terminal cannot be asked to hide the input")?;
        Ok(Self(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
