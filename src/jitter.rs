//! Numbers between 0 and 1 that spread over time what many resources would do at once.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, RandomState};

/// A random number.
pub(crate) fn random() -> f64 {
    share(RandomState::new().hash_one(()))
}

/// A number that belongs to a text: every process computes the same one. A release that is built with another
/// version of Rust may compute another one, which only moves points in time.
pub(crate) fn of(text: &str) -> f64 {
    share(BuildHasherDefault::<DefaultHasher>::default().hash_one(text))
}

fn share(hash: u64) -> f64 {
    u32::try_from(hash >> 32).map_or(0.0, f64::from) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_differ_and_those_of_a_text_do_not() {
        let numbers: Vec<_> = (0..8).map(|_| random()).collect();
        assert!(numbers.iter().any(|number| (number - numbers[0]).abs() > f64::EPSILON), "{numbers:?}");
        assert!((of("a") - of("a")).abs() < f64::EPSILON && (of("a") - of("b")).abs() > f64::EPSILON);
        assert!(numbers.into_iter().chain([of(""), of("a")]).all(|number| (0.0..=1.0).contains(&number)));
    }
}
