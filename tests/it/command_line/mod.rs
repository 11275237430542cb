//! What a person at a terminal sees: output, errors and exit codes of each command.

pub mod call;
mod cluster;
mod mistakes;
mod rendering;
mod settings;
mod verdicts;
