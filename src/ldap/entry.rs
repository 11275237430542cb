//! Entries as searches return them.

use lber::structure::StructureTag;

/// An entry with the attributes that were asked for. Values that are not text are left out.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, as the server writes it.
    pub dn: String,
    attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// Reads a search result entry (RFC 4511 section 4.5.2); nothing if it is not one.
    pub fn read(tag: StructureTag) -> Option<Self> {
        let mut parts = tag.expect_constructed()?.into_iter();
        let dn = text(parts.next()?)?;
        let mut attributes = Vec::new();
        for attribute in parts.next()?.expect_constructed()? {
            let mut halves = attribute.expect_constructed()?.into_iter();
            let name = text(halves.next()?)?;
            let values = halves.next()?.expect_constructed()?.into_iter().filter_map(text).collect();
            attributes.push((name, values));
        }
        Some(Self { dn, attributes })
    }

    /// The values of an attribute that are not blank; options such as `;lang-en` do not count.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = without_options(name);
        self.attributes
            .iter()
            .filter(move |(name, _)| without_options(name).eq_ignore_ascii_case(wanted))
            .flat_map(|(_, values)| values)
            .map(String::as_str)
            .filter(|value| !value.trim().is_empty())
    }

    /// The values of an attribute under exactly this name. W&B Server is written in Go, whose usual LDAP
    /// library looks attributes up by the letter (`GetAttributeValue` of go-ldap).
    pub fn values_as_written<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.attributes.iter().filter(move |(own, _)| own == name);
        named.flat_map(|(_, values)| values).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// The names of the attributes that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let has_value = |values: &[String]| values.iter().any(|value| !value.trim().is_empty());
        self.attributes.iter().filter(move |(_, values)| has_value(values)).map(|(name, _)| name.as_str())
    }

    /// The names of the attributes that the server answered with, with or without values.
    pub fn answered_names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| without_options(name))
    }

    /// Whether the server answered with any of these attributes, with or without values.
    pub fn mentions(&self, names: &[&str]) -> bool {
        self.attributes
            .iter()
            .any(|(own, _)| names.iter().any(|name| without_options(own).eq_ignore_ascii_case(name)))
    }
}

#[cfg(test)]
impl Entry {
    /// An entry with these attributes.
    pub fn with(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let attributes =
            attributes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect();
        Self { dn: dn.to_owned(), attributes }
    }
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(tag.expect_primitive()?).ok()
}

fn without_options(name: &str) -> &str {
    name.split(';').next().unwrap_or(name)
}
