//! What the API server takes and refuses, and that the operator's own reading of a spec agrees with it.
//!
//! The cases stand in `tests/cases/validation/`. Rules in CEL are tested by examples; limits of the
//! schema (lengths, patterns, lists) by going just beyond each of them in a complete object.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod cases;
mod definitions;
mod descriptions;
mod limits;
mod opinion;
mod rules;
