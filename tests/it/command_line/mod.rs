//! What a person at a terminal sees: output, errors and exit codes of each command.

pub mod call;
mod cluster;
mod environment;
mod import;
mod manifests;
mod mistakes;
mod names;
mod namespaces;
mod rendering;
mod settings;
mod terminal;
mod values;
pub mod verdicts;
