//! What pods tell of why they do not become available.
