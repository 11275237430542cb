//! Expands references to other variables in the values of variables.

use crate::workloads::{Piece, pieces};

/// Replaces each `$(NAME)` in the text by the value of that variable; the reference to a variable that is not set
/// stays as it is. The result is `None` if a variable is set to an unknown value.
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
