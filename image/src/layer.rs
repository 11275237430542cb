//! The files of the image as its one layer.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::layout::File;

/// A tar archive of the files and of the directories that they are in, sorted, owned by root.
pub fn tar(files: &[File], time: u64) -> Result<Vec<u8>> {
    let mut directories = BTreeSet::new();
    for file in files {
        let parents = Path::new(&file.path).ancestors().skip(1);
        directories.extend(parents.filter(|parent| !parent.as_os_str().is_empty()).map(PathBuf::from));
    }
    let mut archive = Builder::new(Vec::new());
    for directory in directories {
        let mut header = header(EntryType::Directory, 0o755, 0, time);
        archive.append_data(&mut header, directory, [].as_slice())?;
    }
    for file in files {
        let size = u64::try_from(file.content.len())?;
        let mut header = header(EntryType::Regular, file.mode, size, time);
        archive.append_data(&mut header, &file.path, file.content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

fn header(kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The same bytes, compressed without a time or a name.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
