//! Parses references to other variables in the value of a variable, as the kubelet does.

/// A piece of the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Literal text.
    Text(&'a str),
    /// A reference `$(NAME)`, which stands for the value of the variable `NAME`. If that does not exist, the text
    /// stays as it is.
    Variable(&'a str),
}

/// Splits a value into its pieces, in their order. `$$` is an escaped dollar.
pub fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Piece::Text(before));
        let reference = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        rest = if let Some((name, behind)) = reference {
            pieces.push(Piece::Variable(name));
            behind
        } else {
            pieces.push(Piece::Text("$"));
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    pieces.push(Piece::Text(rest));
    pieces
}
