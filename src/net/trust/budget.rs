//! How much work one judgement may take. Pure.

use super::refusal::TrustRefusal;

/// The comparisons that are left for one server.
///
/// Names and constraints multiply, and so do chains: without a limit one server, or one CA bundle, could keep the
/// operator from everything else.
pub(super) struct Budget(usize);

impl Default for Budget {
    /// As many as Go allowed for each certificate as long as it had a limit.
    fn default() -> Self {
        Self(250_000)
    }
}

impl Budget {
    /// Takes comparisons, before they are made.
    pub fn spend(&mut self, comparisons: usize) -> Result<(), TrustRefusal> {
        self.0 = self.0.checked_sub(comparisons).ok_or(TrustRefusal::TooManyComparisons)?;
        Ok(())
    }
}
