//! A password that is typed at a terminal, which `script` of util-linux makes.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::directory::World;
use crate::world::program;

/// How long one output is waited for.
const LIMIT: Duration = Duration::from_secs(30);

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
        let deadline = Instant::now() + LIMIT;
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

#[test]
fn the_password_is_asked_for_without_an_echo_and_the_terminal_is_as_before() -> Result<()> {
    let world = World::new("")?;
    let call = format!(
        "{} login -f corp.yaml -f references.yaml --login-attribute uid; echo code $?; stty -a",
        program().display()
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &call, "/dev/null"])
        .current_dir(world.files.path())
        .env("TERM", "xterm-256color")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("script makes a terminal")?;
    let mut keyboard = child.stdin.take().context("a keyboard")?;
    let mut screen = Screen::of(child.stdout.take().context("a screen")?);
    screen.wait_for("User: ")?;
    keyboard.write_all(b"alice\n")?;
    screen.wait_for("Password of alice: ")?;
    keyboard.write_all(b"alice-password\n")?;
    screen.wait_for("speed")?;
    screen.wait_for(" echo ")?;
    drop(keyboard);
    child.wait()?;
    ensure!(screen.shown.contains("code 0"), "{}", screen.shown);
    ensure!(screen.shown.contains("alice can log in."), "{}", screen.shown);
    ensure!(!screen.shown.contains("alice-password"), "{}", screen.shown);
    assert_eq!(world.slapd.bind_attempts("uid=alice,ou=people,dc=example,dc=org")?, 1);
    Ok(())
}
