//! Decides what the published Secret must hold. [`decide`] is pure; `write` is the step in a run, and
//! `secret` reads and writes the Secret itself.

pub(super) mod secret;
pub(super) mod write;

use super::Values;
use crate::{api::PublishPolicy, problem::Problem};

/// What exists under the Secret's name now.
pub enum Existing {
    /// Nothing.
    Missing,
    /// A Secret of this resource, with its values.
    Ours(Values),
    /// Somebody else's Secret, or one that may not be read.
    Untouchable(Problem),
}

impl Existing {
    /// The values of a Secret of this resource.
    pub fn values(&self) -> Option<&Values> {
        match self {
            Self::Ours(values) => Some(values),
            Self::Missing | Self::Untouchable(_) => None,
        }
    }
}

/// The values that a run arrived at, and whether they are verified.
pub enum Candidate {
    /// There are none, because the spec or a reference is broken.
    None,
    /// They are incomplete, because a check failed that would have obtained a part of them.
    Incomplete,
    /// The values are not verified.
    Unproven(Values),
    /// The values passed every check, now or earlier with the same inputs.
    Proven(Values),
}

/// What the Secret must hold.
#[derive(PartialEq)]
pub enum SecretContent {
    /// The Secret must not be changed, and not be created if it does not exist.
    Untouched,
    /// The data stays as it is; only the owner reference and metadata may change.
    AsIs,
    /// Exactly these values.
    Exactly(Values),
}

/// The state of the Secret, as the condition `Published` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The Secret holds the values of the current spec and inputs, which passed their checks at some time.
    Current,
    /// The Secret holds the values of the current spec and inputs, which never passed their checks.
    Unproven,
    /// The Secret keeps the last verified values.
    Held,
    /// There is no Secret, because the values are not verified.
    Withheld,
    /// There is no Secret, and no values to publish.
    Nothing,
    /// The Secret may not or cannot be written.
    Refused(Problem),
}

/// Decides what the Secret must hold: values that are not verified never replace values that were, unless the
/// publish policy is `Always`.
pub fn decide(
    policy: PublishPolicy,
    existing: Existing,
    candidate: Candidate,
    last_verified: Option<&Values>,
) -> (SecretContent, Publication) {
    let present = match existing {
        Existing::Untouchable(problem) => return (SecretContent::Untouched, Publication::Refused(problem)),
        Existing::Missing => None,
        Existing::Ours(values) => Some(values),
    };
    let has_values = !matches!(candidate, Candidate::None);
    match candidate {
        Candidate::Proven(values) => (SecretContent::Exactly(values), Publication::Current),
        Candidate::Unproven(values)
            if policy == PublishPolicy::Always || present.as_ref() == Some(&values) =>
        {
            (SecretContent::Exactly(values), Publication::Unproven)
        }
        Candidate::None | Candidate::Incomplete | Candidate::Unproven(_) => match (last_verified, present) {
            (Some(values), _) => (SecretContent::Exactly(values.clone()), Publication::Held),
            (None, Some(_)) => (SecretContent::AsIs, Publication::Held),
            (None, None) if has_values => (SecretContent::Untouched, Publication::Withheld),
            (None, None) => (SecretContent::Untouched, Publication::Nothing),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Reason, sensitive::Sensitive};

    fn values(text: &str) -> Values {
        [("LDAP_ADDRESS".to_owned(), Sensitive::from(text))].into_iter().collect()
    }

    /// The decision as text, so that a table can state it.
    fn outcome(
        policy: PublishPolicy,
        existing: Existing,
        candidate: Candidate,
        last_verified: Option<&str>,
    ) -> (String, Publication) {
        let (content, publication) = decide(policy, existing, candidate, last_verified.map(values).as_ref());
        let content = match content {
            SecretContent::Untouched => "untouched".to_owned(),
            SecretContent::AsIs => "as is".to_owned(),
            SecretContent::Exactly(values) => values.get("LDAP_ADDRESS").unwrap().expose().to_owned(),
        };
        (content, publication)
    }

    #[test]
    fn never_replaces_what_works_by_what_does_not() {
        use Candidate::{Incomplete, None as Broken, Proven, Unproven};
        use Existing::{Missing, Ours};
        use Publication::{Current, Held, Nothing, Unproven as AsTheyAre, Withheld};
        use PublishPolicy::{Always, WhenVerified};
        let (old, new) = (|| values("old"), || values("new"));
        for (policy, existing, candidate, last_verified, content, publication) in [
            (WhenVerified, Missing, Proven(new()), None, "new", Current),
            (WhenVerified, Ours(old()), Proven(new()), None, "new", Current),
            (WhenVerified, Ours(old()), Unproven(new()), None, "as is", Held),
            (WhenVerified, Ours(new()), Unproven(new()), None, "new", AsTheyAre),
            // Somebody edited the Secret while the last verified values are held.
            (WhenVerified, Ours(values("edited")), Unproven(new()), Some("old"), "old", Held),
            (WhenVerified, Missing, Unproven(new()), Some("old"), "old", Held),
            (WhenVerified, Missing, Unproven(new()), None, "untouched", Withheld),
            (WhenVerified, Missing, Broken, None, "untouched", Nothing),
            (WhenVerified, Ours(old()), Broken, None, "as is", Held),
            (WhenVerified, Ours(old()), Incomplete, None, "as is", Held),
            (WhenVerified, Missing, Incomplete, Some("old"), "old", Held),
            (WhenVerified, Missing, Incomplete, None, "untouched", Withheld),
            (Always, Missing, Incomplete, None, "untouched", Withheld),
            (Always, Ours(old()), Unproven(new()), None, "new", AsTheyAre),
            (Always, Missing, Unproven(new()), None, "new", AsTheyAre),
            (Always, Ours(old()), Broken, None, "as is", Held),
        ] {
            assert_eq!(
                outcome(policy, existing, candidate, last_verified),
                (content.to_owned(), publication)
            );
        }
    }

    #[test]
    fn never_touches_what_is_not_ours() {
        let problem = Problem::new(Reason::SecretNotOwned, "somebody else's");
        let (content, publication) = outcome(
            PublishPolicy::Always,
            Existing::Untouchable(problem.clone()),
            Candidate::Proven(values("new")),
            Some("old"),
        );
        assert_eq!((content.as_str(), publication), ("untouched", Publication::Refused(problem)));
    }
}
