//! Messages, help, definitions and the chart speak in ordinary words, which a reader understands at once whose first
//! language is another one.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use super::{ROOT, add_files, messages::texts_of_the_source};

/// Phrases that one has to think about, each with what to write instead.
const PHRASES: [(&str, &str); 20] = [
    ("cannot be told", "the operator cannot see"),
    ("at hand", "could not be read"),
    ("whose it is", "it names no owner"),
    ("let through", "allowed"),
    ("gives way", "gets the values of"),
    ("does not pass", "if this goes on"),
    ("in the clear", "unencrypted"),
    ("anew", "again"),
    ("nevertheless", "anyway"),
    ("all the same", "anyway"),
    ("left alone", "not changed"),
    ("look after", "manage"),
    ("looks after", "manages"),
    ("makes sense by itself", "is valid"),
    ("have the issuer", "configure the issuer to"),
    ("have the server", "configure the server to"),
    ("does not let", "does not allow"),
    ("lets nobody", "allows nobody"),
    ("letter by letter", "exactly"),
    ("nothing is to be done", "you need to do nothing"),
];

/// The phrases in a text, each with what to write instead.
fn phrases_in(text: &str) -> impl Iterator<Item = String> {
    let normal = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let found = PHRASES.into_iter().filter(move |(phrase, _)| normal.contains(phrase));
    found.map(|(phrase, instead)| format!("\"{phrase}\": rather \"{instead}\""))
}

#[test]
fn what_people_read_is_in_ordinary_words() -> Result<()> {
    let mut complaints = Vec::new();
    let texts = texts_of_the_source()?;
    ensure!(texts.len() > 1000, "{} texts are not all of the program's", texts.len());
    for text in texts {
        complaints.extend(phrases_in(&text).map(|phrase| format!("{phrase}, in the text {text:?}")));
    }
    let mut files = Vec::new();
    for (folder, extension) in [
        ("crds", "yaml"),
        ("charts/wandb-auth-operator/templates", "txt"),
        ("charts/wandb-auth-operator/files", "yaml"),
    ] {
        add_files(Path::new(folder), extension, &mut files)?;
    }
    files.push("charts/wandb-auth-operator/values.yaml".into());
    files.push("docs/reference/command-line.md".into());
    for file in files {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        complaints.extend(phrases_in(&text).map(|phrase| format!("{phrase}, in {}", file.display())));
    }
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn pages_and_samples_say_manage_or_watch() -> Result<()> {
    let mut files = vec!["README.md".into()];
    for (folder, extension) in [
        ("docs", "md"),
        ("deploy", "yaml"),
        ("gitops", "yaml"),
        ("charts/wandb-auth-operator/templates", "yaml"),
        ("charts/wandb-auth-operator/templates", "tpl"),
    ] {
        add_files(Path::new(folder), extension, &mut files)?;
    }
    ensure!(files.len() > 50, "{} files are not all", files.len());
    for file in files {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for phrase in ["look after", "looks after", "looked after"] {
            ensure!(
                !text.contains(phrase),
                "\"{phrase}\" in {}: rather \"manage\" or \"watch\"",
                file.display()
            );
        }
    }
    Ok(())
}

#[test]
fn a_phrase_is_found_over_the_end_of_a_line() {
    assert_eq!(phrases_in("If that does\n    not pass, wait.").count(), 1);
    assert_eq!(phrases_in("If this goes on, wait.").count(), 0);
}
