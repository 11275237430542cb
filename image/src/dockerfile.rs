//! The Dockerfile makes the image that `cargo image` makes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::settings::{PROGRAM, Settings, USER};

const DOCKERFILE: &str = include_str!("../../Dockerfile");

/// The arguments of every instruction of that name in the last stage.
fn last_stage(instruction: &str) -> Vec<&'static str> {
    let (_, stage) = DOCKERFILE.rsplit_once("\nFROM ").unwrap();
    stage.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' ')).collect()
}

#[test]
fn a_container_is_started_in_the_same_way() {
    let labels: BTreeMap<_, _> = last_stage("LABEL")
        .into_iter()
        .map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name, value.trim_matches('"'))
        })
        .collect();
    assert_eq!(labels, Settings::labels(), "change the labels of the Dockerfile, too");
    let entrypoint: Value = serde_json::from_str(last_stage("ENTRYPOINT")[0]).unwrap();
    assert_eq!(entrypoint, json!([PROGRAM]));
    assert_eq!(last_stage("USER"), [USER]);
    assert_eq!(last_stage("WORKDIR"), ["/"]);
    // Whatever else a stage could say would be missing in the other image.
    let known = ["COPY", "USER", "WORKDIR", "ENTRYPOINT", "LABEL"];
    let (_, stage) = DOCKERFILE.rsplit_once("\nFROM ").unwrap();
    for line in stage.lines().skip(1) {
        assert!(known.iter().any(|instruction| line.starts_with(instruction)), "{line}");
    }
}

#[test]
fn it_consists_of_the_files_that_cargo_image_writes() {
    assert!(DOCKERFILE.contains("\nFROM scratch\n"));
    assert!(DOCKERFILE.contains("\nRUN cargo image --directory /image\n"));
    assert_eq!(last_stage("COPY"), ["--from=builder /image /"]);
}

#[test]
fn its_compiler_is_new_enough() {
    let builder = DOCKERFILE.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
    let numbers = |version: &str| version.split('.').map(|n| n.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let version = builder.split('-').next().unwrap();
    assert!(numbers(version) >= numbers(env!("CARGO_PKG_RUST_VERSION")), "{builder}");
}
