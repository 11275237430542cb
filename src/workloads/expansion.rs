//! References to other variables in the value of a variable, as the kubelet reads them.

/// A piece of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands for itself.
    Text(&'a str),
    /// What the variable of this name has: `$(NAME)`. If there is none, the text stays as it is.
    Variable(&'a str),
}

/// The pieces of a value, in their order. `$$` stands for a dollar.
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
