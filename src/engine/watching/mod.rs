//! Turns changes in the cluster into runs. In reading order: `watch` (follows the objects of one kind),
//! `triggers` (which resources a change concerns), `changes` (when a resource runs for its own), `objects` (changes of Secrets and ConfigMaps),
//! `targets` (changes of targets), `lean` (reads only what is used), `undecodable` (objects that
//! this version cannot decode), `health` (the state of all watches), `trouble` (the words for a watch that
//! fails), and `heartbeat` (whether the API server answers).

mod changes;
pub(super) mod health;
pub(super) mod heartbeat;
mod lean;
pub(super) mod objects;
pub(super) mod targets;
pub(super) mod triggers;
pub(super) mod trouble;
pub(super) mod undecodable;
pub(super) mod watch;
