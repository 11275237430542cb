//! What both versions have in common.
