//! One copy of each text that many resources have.

use std::{
    borrow::{Borrow, Cow},
    collections::HashSet,
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A short text that is kept for long. Equal texts are one copy in memory: what is found of thousands of resources is
/// mostly the same, and is in the watched object, in what the last run found and in what was written.
///
/// It is one pointer, since there are many more of them than there are texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<Box<str>>);

/// The texts that are in use, and some that were.
static TEXTS: LazyLock<Mutex<TextPool>> = LazyLock::new(Mutex::default);

/// So few texts are not looked through for those that nobody uses any more.
const FEW: usize = 1024;

#[derive(Default)]
struct TextPool {
    texts: HashSet<Text>,
    /// How many there are before those go that nobody uses any more.
    limit: usize,
}

impl TextPool {
    fn copy_of(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= self.limit.max(FEW) {
            self.texts.retain(Text::is_used);
            // Twice as many as are in use: looking through all of them takes no longer than it took to add them.
            self.limit = self.texts.len() * 2;
        }
        let text = Text(Arc::new(text.into()));
        self.texts.insert(text.clone());
        text
    }

    /// The copy that somebody beside the pool has.
    fn used(&self, text: &str) -> Option<Text> {
        self.texts.get(text).filter(|known| known.is_used()).cloned()
    }
}

fn pool() -> MutexGuard<'static, TextPool> {
    // A panic elsewhere leaves the pool whole: every change to it is a single call.
    TEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Text {
    /// The copy of this text, if anybody has one. To look something up, a text that nobody has needs no copy.
    pub fn known(text: &str) -> Option<Self> {
        pool().used(text)
    }

    /// Whether anybody beside the pool has it.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        pool().copy_of(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|text| Self::from(&*text))
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        String::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        String::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_copy() {
        let (text, other) = (Text::from("one of them"), Text::from("one of them".to_owned()));
        assert!(Arc::ptr_eq(&text.0, &other.0) && text == other && text == "one of them");
        let read: Text = serde_json::from_str("\"one of them\"").unwrap();
        assert!(Arc::ptr_eq(&text.0, &read.0));
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"one of them\"");
        assert_eq!(
            (format!("{text}"), format!("{text:?}")),
            ("one of them".into(), "\"one of them\"".into())
        );
    }

    #[test]
    fn what_nobody_uses_any_more_goes() {
        let mut pool = TextPool::default();
        let kept: Vec<_> = (0..10).map(|number| pool.copy_of(&format!("kept {number}"))).collect();
        for number in 0..10 * FEW {
            pool.copy_of(&format!("dropped {number}"));
            assert!(pool.texts.len() <= FEW);
        }
        for (number, text) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(&text.0, &pool.copy_of(&format!("kept {number}")).0));
        }
        let many: Vec<_> = (0..4 * FEW).map(|number| pool.copy_of(&format!("many {number}"))).collect();
        assert!(pool.texts.len() >= many.len());
        drop(many);
        (0..8 * FEW).for_each(|number| drop(pool.copy_of(&format!("more {number}"))));
        assert!(pool.texts.len() <= 8 * FEW);
        assert_eq!(pool.used("kept 7").as_ref(), kept.get(7));
        assert_eq!((pool.used("more 1"), pool.used("never there")), (None, None));
    }
}
