//! The rules of the house (docs/contributing/map.md): one meaning a name, no folder that looks back, and a sentence for
//! every module.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, anyhow, ensure};
use syn::{Attribute, Expr, File, Item, ItemMod, ItemUse, Lit, Meta, UseTree, visit::Visit};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The folders of the kinds, and which other kind each may know.
const KINDS: [(&str, &[&str]); 4] =
    [("ldap", &[]), ("oidc", &[]), ("jwt", &[]), ("service_account", &["jwt"])];

/// What the rules ask of a module that is no test. Its items themselves cannot be kept for all tests: they must not go
/// from one thread to another.
struct Module {
    /// From the crate's root, such as `engine`, `plan`.
    path: Vec<String>,
    /// Its own documentation.
    documentation: String,
    /// The types that it defines, but for those of tests.
    types: Vec<String>,
    /// What it names of the crate, as paths from its root.
    names: BTreeSet<Vec<String>>,
}

impl Module {
    fn name(&self) -> String {
        self.path.join("::")
    }

    /// The folder or file below `src` that it is in.
    fn room(&self) -> Option<&str> {
        self.path.first().map(String::as_str)
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is_test =
        |meta: &Meta| meta.path().is_ident("cfg") && quote_of(meta).is_some_and(|text| text == "test");
    attributes.iter().any(|attribute| is_test(&attribute.meta))
}

/// The words of a list, where there is only one.
fn quote_of(meta: &Meta) -> Option<String> {
    meta.require_list().ok().map(|list| list.tokens.to_string())
}

fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The names of the types among these items, but for those of tests.
fn types(items: &[Item]) -> Vec<String> {
    let names = items.iter().filter_map(|item| {
        let (name, attributes) = match item {
            Item::Struct(item) => (&item.ident, &item.attrs),
            Item::Enum(item) => (&item.ident, &item.attrs),
            Item::Union(item) => (&item.ident, &item.attrs),
            Item::Trait(item) => (&item.ident, &item.attrs),
            Item::Type(item) => (&item.ident, &item.attrs),
            _ => return None,
        };
        (!is_test(attributes)).then(|| name.to_string())
    });
    names.collect()
}

fn parse(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    syn::parse_file(&text).with_context(|| format!("{} does not parse", path.display()))
}

/// Adds a module and all below it; `folder` is where its children's files are.
fn add(
    modules: &mut Vec<Module>,
    path: Vec<String>,
    folder: &Path,
    attributes: &[Attribute],
    items: &[Item],
) -> Result<()> {
    for item in items {
        let Item::Mod(ItemMod { attrs, ident, content, .. }) = item else { continue };
        if is_test(attrs) {
            continue;
        }
        let name = ident.to_string();
        let below = folder.join(&name);
        let child = [path.as_slice(), std::slice::from_ref(&name)].concat();
        if let Some((_, inner)) = content {
            add(modules, child, &below, attrs, inner)?;
            continue;
        }
        let places = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
        let file =
            places.iter().find(|place| place.is_file()).with_context(|| format!("no file of {name}"))?;
        let file = parse(file)?;
        let all: Vec<_> = attrs.iter().chain(&file.attrs).cloned().collect();
        add(modules, child, &below, &all, &file.items)?;
    }
    let names = Paths::of(&path, items);
    modules.push(Module { path, documentation: documentation(attributes), types: types(items), names });
    Ok(())
}

/// All modules. They are read once for all tests, since it takes long to parse every file.
fn modules() -> Result<&'static [Module]> {
    static MODULES: LazyLock<Result<Vec<Module>>> = LazyLock::new(read);
    MODULES.as_deref().map_err(|error| anyhow!("{error:#}"))
}

fn read() -> Result<Vec<Module>> {
    let folder = PathBuf::from(ROOT).join("src");
    let file = parse(&folder.join("lib.rs"))?;
    let mut modules = Vec::new();
    add(&mut modules, Vec::new(), &folder, &file.attrs, &file.items)?;
    ensure!(modules.len() > 200, "only {} modules were found", modules.len());
    Ok(modules)
}

/// Collects what a module names of the crate, as paths from its root.
struct Paths<'a> {
    /// The module's own path.
    own: &'a [String],
    found: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    fn of(own: &[String], items: &[Item]) -> BTreeSet<Vec<String>> {
        let mut paths = Paths { own, found: BTreeSet::new() };
        for item in items {
            paths.visit_item(item);
        }
        paths.found
    }

    fn add(&mut self, segments: &[String]) {
        let (first, rest) = match segments.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => return,
        };
        let own = self.own;
        match first {
            "crate" => drop(self.found.insert(rest.to_vec())),
            "super" => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let base = own.get(..own.len().saturating_sub(ups)).unwrap_or_default();
                let rest = segments.get(ups..).unwrap_or_default();
                self.found.insert([base, rest].concat());
            }
            _ => {}
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    // Each module is looked at by itself, and tests may look anywhere.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        syn::visit::visit_path(self, path);
    }
}

/// Which child of a module names which other one, and in which module first. What the parent itself defines counts for
/// nobody.
fn uses(modules: &[Module], parent: &[String]) -> BTreeMap<(String, String), String> {
    let child = |path: &[String]| path.strip_prefix(parent)?.first().cloned();
    let children: BTreeSet<_> = modules.iter().filter_map(|module| child(&module.path)).collect();
    let mut uses = BTreeMap::new();
    for module in modules {
        let Some(own) = child(&module.path) else { continue };
        let others = module.names.iter().filter_map(|path| child(path));
        for other in others.filter(|other| *other != own && children.contains(other)) {
            uses.entry((own.clone(), other)).or_insert_with(|| module.name());
        }
    }
    uses
}

/// The first circle among these uses, as words.
fn circle(uses: &BTreeMap<(String, String), String>) -> Option<String> {
    let after = |room: &str| -> Vec<String> {
        uses.keys().filter(|(from, _)| from == room).map(|(_, to)| to.clone()).collect()
    };
    let starts: BTreeSet<_> = uses.keys().map(|(from, _)| from.clone()).collect();
    for start in starts {
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in way.last().map(|room| after(room)).unwrap_or_default() {
                let longer = [way.as_slice(), std::slice::from_ref(&next)].concat();
                if next == start {
                    let steps = longer.windows(2).filter_map(|step| {
                        let [from, to] = step else { return None };
                        let module = uses.get(&(from.clone(), to.clone()))?;
                        Some(format!("{from} → {to} in {module}"))
                    });
                    return Some(steps.collect::<Vec<_>>().join(", "));
                }
                if seen.insert(next) {
                    ways.push(longer);
                }
            }
        }
    }
    None
}

#[test]
fn a_type_is_defined_once() -> Result<()> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in modules()? {
        for name in &module.types {
            places.entry(name.clone()).or_default().push(module.name());
        }
    }
    ensure!(places.len() > 500, "only {} types were found", places.len());
    places.retain(|_, modules| modules.len() > 1);
    ensure!(
        places.is_empty(),
        "One word means one thing. Give all but one of each an own name, for example with the kind or the step in front \
         (LdapPlan, RotationStep): {places:#?}"
    );
    Ok(())
}

#[test]
fn the_engine_knows_no_kind_and_kinds_do_not_know_one_another() -> Result<()> {
    let rooms = uses(modules()?, &[]);
    for (kind, allowed) in KINDS {
        for room in ["engine"].into_iter().chain(KINDS.map(|(kind, _)| kind)) {
            let knows = rooms.get(&(room.to_owned(), kind.to_owned()));
            let may = KINDS.iter().any(|(name, others)| *name == room && others.contains(&kind));
            ensure!(
                knows.is_none() || may,
                "{} names `crate::{kind}`. What several kinds need belongs in the engine, in `net` or in `issuer`; what the \
                 engine needs of a kind is an item of the trait `Kind`. ({kind} may know {allowed:?}.)",
                knows.map_or("", String::as_str)
            );
        }
    }
    Ok(())
}

#[test]
fn no_folder_is_in_a_circle() -> Result<()> {
    if let Some(circle) = circle(&uses(modules()?, &[])) {
        anyhow::bail!(
            "These folders of src need one another: {circle}. Move what both need to where neither has to look back."
        );
    }
    Ok(())
}

#[test]
fn no_file_of_a_kind_is_in_a_circle() -> Result<()> {
    let modules = modules()?;
    let is_of_kind = |module: &&Module| KINDS.iter().any(|(kind, _)| module.room() == Some(*kind));
    let mut count = 0;
    for parent in modules.iter().filter(is_of_kind) {
        let uses = uses(modules, &parent.path);
        count += uses.len();
        if let Some(circle) = circle(&uses) {
            anyhow::bail!(
                "These files of {} need one another: {circle}. Move what both need into a file of its own, or pass a part \
                 instead of the whole.",
                parent.name()
            );
        }
    }
    ensure!(count > 50, "only {count} uses were found");
    Ok(())
}

#[test]
fn every_module_says_what_it_is_for() -> Result<()> {
    for module in modules()? {
        let first = module.documentation.trim().split("\n\n").next().unwrap_or_default().trim();
        let words = first.split_whitespace().count();
        ensure!(
            words >= 4 && first.ends_with(['.', ':']) || first.contains(". "),
            "`{}` begins with {first:?}. Begin its file with `//!` and a plain sentence that says what it is for.",
            module.name()
        );
    }
    Ok(())
}

#[test]
fn every_word_of_the_glossary_is_used() -> Result<()> {
    let glossary = fs::read_to_string(Path::new(ROOT).join("docs/contributing/glossary.md"))?;
    let words: Vec<_> = glossary
        .lines()
        .filter_map(|line| line.strip_prefix("| **")?.split_once("**").map(|(word, _)| word.to_lowercase()))
        .collect();
    ensure!(words.len() > 15, "the glossary has {} words only", words.len());
    let mut text = String::new();
    collect(&Path::new(ROOT).join("src"), &mut text)?;
    let text = text.to_lowercase().replace('_', " ");
    let unused: Vec<_> = words.iter().filter(|word| !text.contains(word.as_str())).collect();
    ensure!(unused.is_empty(), "Nothing in src uses these words. Remove them from the glossary: {unused:?}");
    Ok(())
}

/// Adds the text of every file below a folder.
fn collect(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
