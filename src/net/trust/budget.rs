//! Limits the work for judging one server's certificates. Pure.

use super::refusal::TrustRefusal;

/// The comparisons that are left for one server.
///
/// The numbers of names and constraints multiply, and so do chains. Without a limit, one server or one CA bundle
/// could keep the operator from all other work.
pub(super) struct Budget(usize);

impl Default for Budget {
    /// Go allowed this many comparisons for each certificate as long as it had a limit.
    fn default() -> Self {
        Self(250_000)
    }
}

impl Budget {
    /// Takes comparisons from the budget, before they are made.
    pub fn spend(&mut self, comparisons: usize) -> Result<(), TrustRefusal> {
        self.0 = self.0.checked_sub(comparisons).ok_or(TrustRefusal::TooManyComparisons)?;
        Ok(())
    }
}
