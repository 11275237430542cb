//! References to other variables in the value of a variable, as the kubelet expands them.

/// The text with each `$(NAME)` replaced by what the variable has; `$$` stands for `$`, and a name that is not
/// set stays as it is. Nothing where a variable is set, but its value is not known.
pub(super) fn expand<'a>(text: &str, value_of: impl Fn(&str) -> Option<Option<&'a str>>) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            match value_of(name) {
                Some(value) => expanded.push_str(value?),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
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
