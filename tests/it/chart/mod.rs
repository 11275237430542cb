//! The chart, as Helm and the API server see it.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod manifest;
