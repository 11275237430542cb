//! What a person at a terminal sees: output, errors and exit codes of each command.

pub mod call;
mod cluster;
mod environment;
mod import;
mod manifests;
mod mistakes;
mod names;
mod namespaces;
mod plugin;
mod rendering;
mod settings;
mod status;
mod terminal;
mod values;
pub mod verdicts;
mod web;
