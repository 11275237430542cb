//! As much of GraphQL's language as clients of the W&B server write.

use std::collections::VecDeque;

use serde_json::{Map, Value};

/// One operation: the only one of its document, with one root field.
#[derive(Debug)]
pub(super) struct Operation {
    /// `Query` or `Mutation`.
    pub(super) root_type: &'static str,
    pub(super) root: Field,
}

/// A field with all that is selected below it, its fragments spread.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// What it is called in the answer.
    pub(super) alias: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) selection: Vec<Field>,
}

#[derive(Debug, Clone)]
enum Selected {
    Field { field: Field, selection: Vec<Selected> },
    Fragment(String),
}

impl Field {
    /// What of a result the field selects. Where that has a list or nothing, so has the answer.
    pub(super) fn project(&self, result: &Value) -> Value {
        match result {
            Value::Array(items) => items.iter().map(|item| self.project(item)).collect(),
            Value::Object(_) => {
                let selected = |field: &Self| {
                    let value = result.get(&field.name).unwrap_or(&Value::Null);
                    (field.alias.clone(), field.project(value))
                };
                Value::Object(self.selection.iter().map(selected).collect())
            }
            scalar => scalar.clone(),
        }
    }
}

type Parsed<T> = Result<T, String>;

/// Reads a document; the error is the server's answer.
pub(super) fn parse(text: &str, variables: &Value) -> Parsed<Operation> {
    let mut parser = Parser { tokens: tokens(text)?, variables };
    let mut fragments = Vec::new();
    let mut operation = None;
    while let Some(token) = parser.tokens.front() {
        match token.as_str() {
            "fragment" => fragments.push(parser.fragment()?),
            "query" | "mutation" | "{" if operation.is_none() => operation = Some(parser.operation()?),
            other => return Err(format!("Syntax Error: Unexpected \"{other}\".")),
        }
    }
    let (root_type, selection) = operation.ok_or("Syntax Error: there is no operation.")?;
    let mut roots = spread(selection, &fragments)?;
    match (roots.pop(), roots.is_empty()) {
        (Some(root), true) => Ok(Operation { root_type, root }),
        _ => Err("This server takes one root field a request.".to_owned()),
    }
}

fn spread(selection: Vec<Selected>, fragments: &[(String, Vec<Selected>)]) -> Parsed<Vec<Field>> {
    let mut fields = Vec::new();
    for selected in selection {
        match selected {
            Selected::Field { field, selection } => {
                fields.push(Field { selection: spread(selection, fragments)?, ..field });
            }
            Selected::Fragment(name) => {
                // Fragments of clients come after their use, and the ones before a fragment are all
                // that could use it: so each sees the others, but never itself.
                let (_, body) = fragments
                    .iter()
                    .find(|(known, _)| *known == name)
                    .ok_or_else(|| format!("Unknown fragment \"{name}\"."))?;
                let others: Vec<_> = fragments.iter().filter(|(known, _)| *known != name).cloned().collect();
                fields.extend(spread(body.clone(), &others)?);
            }
        }
    }
    Ok(fields)
}

struct Parser<'a> {
    tokens: VecDeque<String>,
    variables: &'a Value,
}

impl Parser<'_> {
    fn operation(&mut self) -> Parsed<(&'static str, Vec<Selected>)> {
        let root_type = if self.accept("mutation") { "Mutation" } else { "Query" };
        self.accept("query");
        while !self.is_next("{") {
            // The operation's name and its variables' types tell nothing that is needed.
            if self.is_next("(") { self.skip_variable_types()? } else { drop(self.take()?) }
        }
        Ok((root_type, self.selection()?))
    }

    fn skip_variable_types(&mut self) -> Parsed<()> {
        while self.take()? != ")" {}
        Ok(())
    }

    fn fragment(&mut self) -> Parsed<(String, Vec<Selected>)> {
        self.expect("fragment")?;
        let name = self.take()?;
        self.expect("on")?;
        self.take()?;
        Ok((name, self.selection()?))
    }

    fn selection(&mut self) -> Parsed<Vec<Selected>> {
        self.expect("{")?;
        let mut selection = Vec::new();
        while !self.accept("}") {
            selection.push(self.selected()?);
        }
        Ok(selection)
    }

    fn selected(&mut self) -> Parsed<Selected> {
        if self.accept("...") {
            return Ok(Selected::Fragment(self.take()?));
        }
        let alias = self.take()?;
        let name = if self.accept(":") { self.take()? } else { alias.clone() };
        let arguments = if self.is_next("(") { self.entries("(", ")")? } else { Map::new() };
        let selection = if self.is_next("{") { self.selection()? } else { Vec::new() };
        let field = Field { alias, name, arguments, selection: Vec::new() };
        Ok(Selected::Field { field, selection })
    }

    /// Arguments, or the fields of an input object.
    fn entries(&mut self, opening: &str, closing: &str) -> Parsed<Map<String, Value>> {
        self.expect(opening)?;
        let mut entries = Map::new();
        while !self.accept(closing) {
            let name = self.take()?;
            self.expect(":")?;
            let value = self.value()?;
            entries.insert(name, value);
        }
        Ok(entries)
    }

    /// A variable's value, an input object, or a literal that is written as in JSON.
    fn value(&mut self) -> Parsed<Value> {
        if self.is_next("{") {
            return Ok(Value::Object(self.entries("{", "}")?));
        }
        let token = self.take()?;
        match token.strip_prefix('$') {
            Some(variable) => Ok(self.variables.get(variable).cloned().unwrap_or_default()),
            None => {
                serde_json::from_str(&token).map_err(|_| format!("Syntax Error: Unexpected \"{token}\"."))
            }
        }
    }

    fn is_next(&self, token: &str) -> bool {
        self.tokens.front().is_some_and(|next| next == token)
    }

    fn accept(&mut self, token: &str) -> bool {
        let accepted = self.is_next(token);
        if accepted {
            self.tokens.pop_front();
        }
        accepted
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        let found = self.take()?;
        if found == token {
            return Ok(());
        }
        Err(format!("Syntax Error: Expected \"{token}\", found \"{found}\"."))
    }

    fn take(&mut self) -> Parsed<String> {
        self.tokens.pop_front().ok_or_else(|| "Syntax Error: Unexpected end.".to_owned())
    }
}

/// Commas are white space.
fn tokens(text: &str) -> Parsed<VecDeque<String>> {
    let mut tokens = VecDeque::new();
    let mut rest = text.trim_start_matches(is_ignored);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_length(rest)?,
            '.' if rest.starts_with("...") => 3,
            _ if is_word(first) => rest.find(|other| !is_word(other)).unwrap_or(rest.len()),
            '{' | '}' | '(' | ')' | ':' | '!' | '=' | '[' | ']' => 1,
            other => return Err(format!("Syntax Error: Unexpected character \"{other}\".")),
        };
        let (token, after) = rest.split_at(length);
        if first != '#' {
            tokens.push_back(token.to_owned());
        }
        rest = after.trim_start_matches(is_ignored);
    }
    Ok(tokens)
}

fn is_ignored(character: char) -> bool {
    character.is_whitespace() || character == ','
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_$-".contains(character)
}

/// The length of the string that the text begins with, and its quotes.
fn string_length(text: &str) -> Parsed<usize> {
    let mut escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return Ok(position + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Err("Syntax Error: Unterminated string.".to_owned())
}
