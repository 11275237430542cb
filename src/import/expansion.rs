//! The values of variables that use other variables.

use crate::workloads::{Piece, pieces};

/// The text with each `$(NAME)` replaced by what the variable has, and a name that is not set as it is. Nothing where
/// a variable is set, but its value is not known.
pub(super) fn expand<'a>(text: &str, value_of: impl Fn(&str) -> Option<Option<&'a str>>) -> Option<String> {
    let mut expanded = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Variable(name) => match value_of(name) {
                Some(value) => expanded.push_str(value?),
                None => expanded.extend(["$(", name, ")"]),
            },
        }
    }
    Some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_the_kubelet_does() {
        let value_of = |name: &str| match name {
            "A" => Some(Some("1")),
            "EMPTY" => Some(Some("")),
            "HIDDEN" => Some(None),
            _ => None,
        };
        for (text, expected) in [
            ("plain", Some("plain")),
            ("$(A)$(A)", Some("11")),
            ("a$(EMPTY)b", Some("ab")),
            ("$(NOWHERE)", Some("$(NOWHERE)")),
            ("$$(A)", Some("$(A)")),
            ("$$$(A)", Some("$1")),
            ("p$a$", Some("p$a$")),
            ("$(A", Some("$(A")),
            ("mysql://$(HIDDEN)@host", None),
        ] {
            assert_eq!(expand(text, value_of).as_deref(), expected, "{text}");
        }
    }
}
