//! From the events of one document to a value.

use std::collections::{BTreeSet, HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::{
    Fault,
    scalar::{self, Scalar},
};

/// One document.
pub(crate) struct YamlDocument {
    /// What it holds, as the JSON that kubectl makes of it.
    pub(crate) value: Value,
    /// Keys that stand twice in one map; kubectl takes the last of them, most other tools refuse the text.
    pub(crate) repeated: Vec<Repeated>,
}

/// A key that stands twice in one map.
pub(crate) struct Repeated {
    /// The key.
    pub(crate) key: String,
    /// The line in the document of its second value's key.
    pub(crate) line: usize,
}

impl From<Value> for YamlDocument {
    fn from(value: Value) -> Self {
        Self { value, repeated: Vec::new() }
    }
}

/// Deeper than any manifest, and shallow enough for every stack.
const DEPTH_LIMIT: usize = 200;

/// More values than a manifest has, so that aliases of aliases cannot use up the memory.
const VALUE_LIMIT: usize = 1_000_000;

/// Reads the first document of a text; the lines of faults are counted in it.
pub(super) fn read(text: &str) -> Result<YamlDocument, Fault> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        repeated: Vec::new(),
        values: 0,
        line: 1,
    };
    loop {
        match reader.next()? {
            Event::DocumentStart(..) => break,
            Event::StreamEnd => return Ok(Value::Null.into()),
            _ => {}
        }
    }
    let first = reader.next()?;
    let value = reader.node(first, 0)?.into_value().map_err(|what| Fault::at(reader.line, what))?;
    Ok(YamlDocument { value, repeated: reader.repeated })
}

/// A value, and how many values it is made of.
#[derive(Clone)]
struct Node {
    content: YamlContent,
    size: usize,
}

#[derive(Clone)]
enum YamlContent {
    Scalar(Scalar),
    Collection(Value),
}

impl Node {
    fn into_value(self) -> Result<Value, String> {
        match self.content {
            YamlContent::Scalar(scalar) => scalar.into_value(),
            YamlContent::Collection(value) => Ok(value),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    repeated: Vec<Repeated>,
    values: usize,
    /// Of the last event.
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Fault> {
        loop {
            match self.events.next_event() {
                None => return Ok(Event::StreamEnd),
                Some(Err(error)) => return Err(Fault::at(error.marker().line(), error.info())),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, Span { start, .. }))) => {
                    self.line = start.line();
                    return Ok(event);
                }
            }
        }
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::at(self.line, what)
    }

    /// The node that begins with this event.
    fn node(&mut self, first: Event<'a>, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_LIMIT {
            return Err(self.fault("maps and lists are nested too deeply"));
        }
        let (anchor, content, size) = match first {
            Event::Alias(id) => {
                let known = self.anchors.get(&id).cloned();
                let node = known.ok_or_else(|| self.fault("an anchor's value contains itself"))?;
                self.count(node.size)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar::resolve(full(tag.as_deref()).as_deref(), style, &text);
                (anchor, YamlContent::Scalar(scalar.map_err(|what| self.fault(what))?), 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, size) = self.sequence(depth)?;
                (anchor, YamlContent::Collection(Value::Array(items)), size)
            }
            Event::MappingStart(_, anchor, _) => {
                let (map, size) = self.mapping(depth)?;
                (anchor, YamlContent::Collection(Value::Object(map)), size)
            }
            _ => return Err(self.fault("a value is missing")),
        };
        self.count(1)?;
        let node = Node { content, size };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, values: usize) -> Result<(), Fault> {
        self.values += values;
        if self.values > VALUE_LIMIT {
            return Err(self.fault("there are too many values; aliases may repeat them too often"));
        }
        Ok(())
    }

    fn value(&mut self, first: Event<'a>, depth: usize) -> Result<(Value, usize), Fault> {
        let node = self.node(first, depth + 1)?;
        let size = node.size;
        Ok((node.into_value().map_err(|what| self.fault(what))?, size))
    }

    fn sequence(&mut self, depth: usize) -> Result<(Vec<Value>, usize), Fault> {
        let (mut items, mut size) = (Vec::new(), 1);
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok((items, size)),
                first => {
                    let (item, more) = self.value(first, depth)?;
                    size += more;
                    items.push(item);
                }
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<(Map<String, Value>, usize), Fault> {
        let (mut map, mut size) = (Map::new(), 1);
        let mut keys = BTreeSet::new();
        loop {
            let first = match self.next()? {
                Event::MappingEnd => return Ok((map, size)),
                first => first,
            };
            let line = self.line;
            if is_merge(&first) {
                let merged = self.next()?;
                let (merged, more) = self.value(merged, depth)?;
                size += more;
                self.merge(merged, &mut map)?;
                continue;
            }
            let key = match self.node(first, depth + 1)?.content {
                YamlContent::Scalar(scalar) => scalar.into_key().map_err(|what| self.fault(what))?,
                YamlContent::Collection(_) => return Err(self.fault("a map or a list cannot be a key")),
            };
            let value = self.next()?;
            let (value, more) = self.value(value, depth)?;
            size += more;
            if !keys.insert(key.clone()) {
                self.repeated.push(Repeated { key: key.clone(), line });
            }
            map.insert(key, value);
        }
    }

    /// Entries that are merged replace what stands before them, and earlier maps of a list later ones.
    fn merge(&self, merged: Value, map: &mut Map<String, Value>) -> Result<(), Fault> {
        let sources = match merged {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources.into_iter().rev() {
            let Value::Object(entries) = source else {
                return Err(self.fault("only a map or a list of maps can be merged with <<"));
            };
            map.extend(entries);
        }
        Ok(())
    }
}

const MERGE_TAG: &str = "tag:yaml.org,2002:merge";

fn is_merge(key: &Event<'_>) -> bool {
    match key {
        Event::Scalar(text, style, _, tag) if text == "<<" => match full(tag.as_deref()).as_deref() {
            None => *style == ScalarStyle::Plain,
            Some(tag) => tag == "!" || tag == MERGE_TAG,
        },
        _ => false,
    }
}

/// The whole tag.
fn full(tag: Option<&Tag>) -> Option<String> {
    tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()))
}
