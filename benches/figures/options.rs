//! What was chosen on the command line and by variables.

use std::{env, fmt, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

/// Sizes that take minutes together.
const QUICK: [usize; 2] = [100, 1_000];

/// Sizes that take an hour together.
const FULL: [usize; 3] = [100, 1_000, 10_000];

/// A group of figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Start,
    Kinds,
    Mixed,
    Neighbours,
    Builds,
    Peer,
    Story,
}

impl Figure {
    const ALL: [(&str, Self); 7] = [
        ("start", Self::Start),
        ("kinds", Self::Kinds),
        ("mixed", Self::Mixed),
        ("neighbours", Self::Neighbours),
        ("builds", Self::Builds),
        ("peer", Self::Peer),
        ("story", Self::Story),
    ];

    fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        let names = Self::ALL.map(|(known, _)| known).join(", ");
        Ok(found.with_context(|| format!("there is no figure {name}; there are {names}"))?.1)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(_, figure)| figure == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// All that was chosen.
pub struct Options {
    /// How many resources there are, one run after the other.
    pub sizes: Vec<usize>,
    /// What is measured.
    pub figures: Vec<Figure>,
    /// The kinds that are measured alone, where not all are.
    pub kinds: Vec<String>,
    /// The program that is measured.
    pub program: PathBuf,
    /// Programs that are compared with it.
    pub other_builds: Vec<PathBuf>,
    /// A controller of somebody else that is compared with it.
    pub peer: Option<Peer>,
}

/// A controller of somebody else.
pub struct Peer {
    /// What it is called in the table.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// What it is started with.
    pub arguments: Vec<String>,
    /// Manifests that are applied before it starts: its definitions, and what its resources refer to.
    pub manifests: String,
    /// One of its resources, with `{{name}}` and `{{namespace}}`.
    pub resource: String,
    /// A merge patch that changes one, with `{{number}}`.
    pub edit: Option<String>,
    /// The condition that is True once all is well.
    pub condition: String,
}

impl Options {
    /// What this process was started with.
    pub fn of_process() -> Result<Self> {
        let mut sizes = match variable("FIGURES_SIZES") {
            Some(sizes) => parse_sizes(&sizes)?,
            None => QUICK.to_vec(),
        };
        let mut figures = Vec::new();
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--full" => sizes = FULL.to_vec(),
                "--sizes" => sizes = parse_sizes(&arguments.next().context("--sizes needs a list")?)?,
                name if name.starts_with('-') => bail!("{name} is not known; see benches/README.md"),
                name => figures.push(Figure::named(name)?),
            }
        }
        if figures.is_empty() {
            figures = Figure::ALL.map(|(_, figure)| figure).to_vec();
        }
        let program = variable("FIGURES_OPERATOR").map_or_else(built, PathBuf::from);
        let other_builds =
            variable("FIGURES_BUILDS").map_or_else(Vec::new, |paths| env::split_paths(&paths).collect());
        let kinds = variable("FIGURES_KINDS")
            .map_or_else(Vec::new, |kinds| kinds.split(',').map(|kind| kind.trim().to_owned()).collect());
        Ok(Self { sizes, figures, kinds, program, other_builds, peer: Peer::named()? })
    }
}

impl Options {
    /// Whether this kind is measured alone.
    pub fn measures_kind(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|chosen| chosen.eq_ignore_ascii_case(kind))
    }

    /// Whether the program that is measured was built with this benchmark, and without optimization.
    pub fn is_unoptimized(&self) -> bool {
        cfg!(debug_assertions) && self.program == built()
    }
}

impl Peer {
    fn named() -> Result<Option<Self>> {
        let Some(program) = variable("FIGURES_PEER").map(PathBuf::from) else { return Ok(None) };
        let file_name =
            program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let resource =
            variable("FIGURES_PEER_RESOURCE").context("FIGURES_PEER needs FIGURES_PEER_RESOURCE, too")?;
        Ok(Some(Self {
            name: variable("FIGURES_PEER_NAME").unwrap_or(file_name),
            arguments: variable("FIGURES_PEER_ARGUMENTS")
                .map_or_else(Vec::new, |text| text.split_whitespace().map(str::to_owned).collect()),
            manifests: variable("FIGURES_PEER_MANIFESTS")
                .map_or_else(|| Ok(String::new()), |path| read(&path))?,
            resource: read(&resource)?,
            edit: variable("FIGURES_PEER_EDIT"),
            condition: variable("FIGURES_PEER_CONDITION").unwrap_or_else(|| "Ready".to_owned()),
            program,
        }))
    }
}

/// The operator's program, as cargo built it for this benchmark.
fn built() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_wandb-auth-operator"))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn parse_sizes(list: &str) -> Result<Vec<usize>> {
    let size = |text: &str| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let size = digits.parse().ok().filter(|size| *size > 0);
        size.with_context(|| format!("\"{text}\" in the list of sizes is no number of resources"))
    };
    let mut sizes = list.split(',').map(size).collect::<Result<Vec<_>>>()?;
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

/// The files of a folder in the order of their names as one text of YAML documents, or a file.
fn read(path: &str) -> Result<String> {
    let text = |path: &std::path::Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let path = PathBuf::from(path);
    if !path.is_dir() {
        return text(&path);
    }
    let mut files = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let texts = files.iter().map(|file| text(file)).collect::<Result<Vec<_>>>()?;
    Ok(texts.join("\n---\n"))
}
