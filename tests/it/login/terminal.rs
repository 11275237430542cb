//! A password that is typed at a terminal, which `script` of util-linux makes.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use test_support::Slapd;

use super::{directory::World, provider::files};
use crate::world::{PATIENCE, REDIRECT_URI, program};

/// What a terminal shows, until a text is there.
struct Screen {
    output: Receiver<Vec<u8>>,
    shown: String,
}

impl Screen {
    fn of(mut output: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = output.read(&mut buffer) {
                let piece = buffer.get(..length).unwrap_or_default().to_vec();
                if length == 0 || sender.send(piece).is_err() {
                    return;
                }
            }
        });
        Self { output: receiver, shown: String::new() }
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(piece) => self.shown += &String::from_utf8_lossy(&piece),
                Err(_) => bail!("{text:?} is not shown: {:?}", self.shown),
            }
        }
        Ok(())
    }
}

/// A program at a terminal.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Screen,
}

impl Terminal {
    /// Calls the program with these words in the folder; after it, the terminal's settings are shown.
    fn call(folder: &Path, words: &str) -> Result<Self> {
        // An interrupt is for the program alone.
        let call = format!("trap : INT; {} {words}; echo code $?; stty -a", program().display());
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &call, "/dev/null"])
            .current_dir(folder)
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("script makes a terminal")?;
        let keyboard = child.stdin.take().context("a keyboard")?;
        let screen = Screen::of(child.stdout.take().context("a screen")?);
        Ok(Self { child, keyboard, screen })
    }

    fn type_in(&mut self, text: &str) -> Result<()> {
        Ok(self.keyboard.write_all(text.as_bytes())?)
    }

    /// Everything that was shown, once the program has ended and the terminal is as before.
    fn end(mut self) -> Result<String> {
        self.screen.wait_for("speed")?;
        self.screen.wait_for(" echo ")?;
        self.screen.wait_for(" icanon ")?;
        drop(self.keyboard);
        self.child.wait()?;
        Ok(self.screen.shown)
    }
}

const LOGIN: &str = "login -f corp.yaml -f references.yaml --login-attribute uid";

#[test]
fn the_password_is_asked_for_without_an_echo_and_the_terminal_is_as_before() -> Result<()> {
    let world = World::new("")?;
    let mut terminal = Terminal::call(world.files.path(), LOGIN)?;
    terminal.screen.wait_for("User: ")?;
    terminal.type_in("alice\n")?;
    terminal.screen.wait_for("Password of alice: ")?;
    terminal.type_in("alice-password\n")?;
    let shown = terminal.end()?;
    ensure!(shown.contains("code 0") && shown.contains("alice can log in only if"), "{shown}");
    ensure!(!shown.contains("alice-password"), "{shown}");
    assert_eq!(world.slapd.bind_attempts("uid=alice,ou=people,dc=example,dc=org")?, 1);
    Ok(())
}

#[test]
fn an_interrupt_sends_nothing_and_leaves_the_terminal_as_before() -> Result<()> {
    let world = World::new("")?;
    let mut terminal = Terminal::call(world.files.path(), &format!("{LOGIN} --user alice"))?;
    terminal.screen.wait_for("Password of alice: ")?;
    terminal.type_in("alice-pass\u{3}")?;
    let shown = terminal.end()?;
    ensure!(shown.contains("code 2") && shown.contains("interrupted"), "{shown}");
    ensure!(!shown.contains("alice-pass"), "{shown}");
    assert_eq!(world.slapd.bind_attempts(Slapd::SERVICE_DN)?, 0);
    Ok(())
}

#[test]
fn what_is_meant_for_programs_is_not_read_at_a_terminal() -> Result<()> {
    let world = World::new("")?;
    let terminal = Terminal::call(world.files.path(), &format!("{LOGIN} --user alice --password-stdin"))?;
    let shown = terminal.end()?;
    ensure!(shown.contains("code 2") && shown.contains("--password-stdin reads standard input"), "{shown}");
    assert_eq!(world.slapd.bind_attempts(Slapd::SERVICE_DN)?, 0);
    Ok(())
}

/// A terminal's own lines end after 4096 characters.
#[test]
fn a_pasted_address_may_be_long_and_is_not_shown() -> Result<()> {
    let files = files(&json!({ "clientID": "implicit", "authMethod": "implicit" }))?;
    let mut terminal = Terminal::call(files.path(), "login -f main.yaml -f references.yaml")?;
    terminal.screen.wait_for("The address: ")?;
    let token = "x".repeat(6000);
    terminal.type_in(&format!("{REDIRECT_URI}#id_token={token}&state=of-another-login\n"))?;
    let shown = terminal.end()?;
    ensure!(shown.contains("code 1") && shown.contains("belongs to another login"), "{shown}");
    ensure!(!shown.contains("xxxxxxxx"), "{shown}");
    Ok(())
}
