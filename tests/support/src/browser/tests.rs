use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use anyhow::ensure;

use super::*;

const PAGE: &str = r##"<!doctype html><html lang="en"><title>A form</title>
<style>body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }</style>
<form><input id="name" aria-label="Your name"><button type="button" id="greet">Greet</button></form>
<p id="greeting"></p><img alt="" src="https://elsewhere.example/picture.png">
<script>greet.onclick = () => { setTimeout(() => { greeting.innerHTML = "<b>Hello " + document.querySelector("#name").value + "</b>" }, 50) }</script>"##;

/// Serves the page to everybody, at an address of its own.
fn serve() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?))?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            // A browser opens connections before it has anything to ask.
            let stream = stream?;
            thread::spawn(move || answer(stream));
        }
        Ok(())
    });
    Ok(url)
}

fn answer(mut stream: TcpStream) -> Result<()> {
    if stream.read(&mut [0; 4096])? > 0 {
        let length = PAGE.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{PAGE}")?;
    }
    Ok(())
}

#[test]
fn a_page_is_seen_and_used() -> Result<()> {
    let url = serve()?;
    let browser = Browser::start()?;
    browser.open(&url)?;
    assert_eq!(browser.url()?, url);
    assert_eq!(browser.title()?, "A form");

    browser.find("#name")?.enter("Alice")?;
    browser.find("#greet")?.click()?;
    assert_eq!(browser.wait_for("#greeting b", PATIENCE)?.text()?, "Hello Alice");

    browser.reload()?;
    browser.press(Key::Tab)?;
    assert_eq!(browser.focused()?.label()?, "Your name");
    browser.focused()?.enter("Bob")?;
    browser.press(Key::Tab)?;
    browser.press(Key::BackTab)?;
    browser.press(Key::Tab)?;
    browser.press(Key::Enter)?;
    browser.wait_until("greeting", "return greeting.textContent === 'Hello Bob'", PATIENCE)?;

    let requests = browser.requests()?;
    assert!(requests.contains(&url), "{requests:?}");
    assert!(requests.contains(&"https://elsewhere.example/picture.png".to_owned()), "{requests:?}");
    assert!(browser.requests()?.is_empty());
    Ok(())
}

#[test]
fn pictures_are_compared() -> Result<()> {
    let url = serve()?;
    let browser = Browser::start()?;
    browser.open(&url)?;
    browser.resize(400, 300)?;
    assert_eq!(browser.evaluate("return [innerWidth, innerHeight]")?, json!([400, 300]));
    browser.prefer(ColorScheme::Light)?;
    let light = browser.screenshot()?;
    browser.prefer(ColorScheme::Dark)?;
    let dark = browser.screenshot()?;

    let small = browser.thumbnail()?;

    assert!(browser.compare(&light, &light)?.share <= 0.0);
    assert!(browser.compare(&light, &small).is_err(), "their sizes differ");
    let share = browser.compare(&light, &dark)?.share;
    ensure!((0.8..=1.0).contains(&share), "{share}");
    Ok(())
}

#[test]
fn nothing_of_a_browser_outlives_it() -> Result<()> {
    let browser = Browser::start()?;
    let profile = browser.driver.log().path().with_file_name("profile");
    let of_this_profile = || -> Result<usize> {
        let processes = std::fs::read_dir("/proc")?.flatten();
        let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        let profile = profile.to_string_lossy().into_owned();
        Ok(commands.filter(|command| String::from_utf8_lossy(command).contains(&profile)).count())
    };
    assert!(of_this_profile()? > 0);
    // As when the test's process is killed: nobody asks the browser to end.
    browser.kill_switch()?.kill();
    wait_until(PATIENCE, "end of the browser", || Ok(of_this_profile()? == 0))
}
