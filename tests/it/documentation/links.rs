//! Every page is reached from the table of contents, and every link leads to a file and a heading.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, ensure};
use regex::Regex;

use super::{Page, ROOT, add_files, pages};

/// Files with links beside the book.
const OTHERS: [&str; 4] =
    ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "charts/wandb-auth-operator/README.md"];

/// The text without its fenced blocks, in which a link is no link and a `#` no heading.
fn prose(text: &str) -> String {
    let mut is_block = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Where links lead, without those to other sites.
fn links(text: &str) -> Result<Vec<String>> {
    let code = Regex::new("`[^`]*`")?;
    let link = Regex::new(r"\]\(([^)\s]+)\)")?;
    let prose = prose(text);
    // The words of a link may be code; what is only code may look like a link.
    let with_short_words = code.replace_all(&prose, "code");
    let targets = link.captures_iter(&with_short_words).filter_map(|found| found.get(1));
    let targets = targets.map(|target| target.as_str().to_owned());
    Ok(targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect())
}

/// The anchors of a page's headings, as forges and mdbook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The path without its `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, component| {
        if component == Component::ParentDir {
            path.pop();
        } else {
            path.push(component);
        }
        path
    })
}

fn target(page: &Page, file: &str) -> PathBuf {
    if file.is_empty() {
        page.path.clone()
    } else {
        normal(&page.path.parent().unwrap_or_else(|| Path::new("")).join(file))
    }
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let mut all = pages()?;
    for path in OTHERS {
        all.push(Page::read(path)?);
    }
    let anchors: BTreeMap<_, _> = all.iter().map(|page| (page.path.clone(), anchors(&page.text))).collect();
    let (mut count, mut broken) = (0, Vec::new());
    for page in &all {
        for link in links(&page.text)? {
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = target(page, file);
            let known = anchors.get(&path);
            let has_heading = heading.is_empty() || known.is_some_and(|known| known.contains(heading));
            // The book has no page for what is not in its folder.
            let leaves_the_book = page.path.starts_with("docs") && !path.starts_with("docs");
            if !Path::new(ROOT).join(&path).is_file() || !has_heading || leaves_the_book {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    ensure!(count > 200, "only {count} links were found");
    ensure!(broken.is_empty(), "these links lead nowhere: {broken:#?}");
    Ok(())
}

#[test]
fn every_page_stands_in_the_table_of_contents() -> Result<()> {
    let summary = Page::read("docs/SUMMARY.md")?;
    let listed: Vec<_> = links(&summary.text)?.iter().map(|link| target(&summary, link)).collect();
    let distinct: BTreeSet<_> = listed.iter().cloned().collect();
    ensure!(listed.len() == distinct.len(), "a page stands twice in docs/SUMMARY.md");
    let mut files = Vec::new();
    add_files(Path::new("docs"), "md", &mut files)?;
    let files: BTreeSet<_> = files.into_iter().filter(|file| *file != summary.path).collect();
    // mdbook makes an index.html of a README.md, and leaves links to it as they are.
    ensure!(!files.iter().any(|file| file.ends_with("README.md")), "call the page of a folder index.md");
    assert_eq!(distinct, files, "docs/SUMMARY.md (left) and the pages of docs/ (right) differ");
    Ok(())
}

/// A message or comment may point a person to a page, and pages move.
#[test]
fn every_page_that_the_code_names_exists() -> Result<()> {
    let page = Regex::new(r"\bdocs/[A-Za-z0-9_/.-]*[A-Za-z0-9]")?;
    let mut files = Vec::new();
    for folder in ["src", "tests", "charts"] {
        for extension in ["rs", "yaml", "tpl", "txt"] {
            add_files(Path::new(folder), extension, &mut files)?;
        }
    }
    let mut missing = Vec::new();
    // The tests of the documentation name pages that do not exist.
    for file in files.into_iter().filter(|file| !file.starts_with("tests/it/documentation")) {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        for named in page.find_iter(&text) {
            if !Path::new(ROOT).join(named.as_str()).exists() {
                missing.push(format!("{}: {}", file.display(), named.as_str()));
            }
        }
    }
    ensure!(missing.is_empty(), "these pages do not exist: {missing:#?}");
    Ok(())
}

#[test]
fn headings_have_the_anchors_of_forges() {
    for (heading, expected) in [
        ("8. The emergency entrance: LOCAL_RESTORE", "8-the-emergency-entrance-local_restore"),
        ("`kubectl edit`, `kubectl set env`", "kubectl-edit-kubectl-set-env"),
        ("AD FS and Azure AD B2C", "ad-fs-and-azure-ad-b2c"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
}
