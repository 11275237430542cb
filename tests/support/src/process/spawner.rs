//! The thread from which every child process is started.
//!
//! The kernel's parent-death signal is sent when the *thread* that started a child ends, and the
//! test runner gives each test a thread of its own. So one thread that lives as long as the
//! process starts them all.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::LogCapture;

struct Request {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

static REQUESTS: LazyLock<Sender<Request>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Request>();
    thread::spawn(move || {
        for mut request in receiver {
            // The asking thread only goes away without the answer when it panics.
            let _ = request.answer.send(request.command.spawn());
        }
    });
    sender
});

/// Starts the command with its output going to the log, to be killed when this process ends.
pub(super) fn spawn(command: &Command, log: &LogCapture) -> io::Result<Child> {
    let mut tied = Command::new("setpriv");
    // What a shell starts in its background ignores interrupts, and so would all that it starts.
    tied.args(["--pdeathsig", "KILL", "--", "env", "--default-signal=INT"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(log.writer()?)
        .stderr(log.writer()?);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        tied.current_dir(directory);
    }

    let (answer, answered) = channel();
    let request = Request { command: tied, answer };
    let ended = || io::Error::other("the thread that starts processes has ended");
    REQUESTS.send(request).map_err(|_| ended())?;
    answered.recv().map_err(|_| ended())?
}
