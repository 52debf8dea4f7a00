//! Writes a `.br` and a `.gz` beside each file of a folder that gains by it, for the server to hand out as they are.

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What compresses; pictures and fonts are compressed already.
const KINDS: [&str; 6] = ["html", "js", "css", "wasm", "svg", "ftl"];

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: precompress FOLDER")?);
    let (mut plain, mut small) = (0, 0);
    for path in files_below(&folder)? {
        let bytes = fs::read(&path)?;
        let compressed = brotli(&bytes)?;
        (plain, small) = (plain + bytes.len(), small + compressed.len());
        write_beside(&path, "br", &compressed)?;
        write_beside(&path, "gz", &gzip(&bytes)?)?;
    }
    println!("page: {plain} bytes, {small} with brotli");
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
            files.push(path);
        }
    }
    Ok(files)
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 22).write_all(bytes)?;
    Ok(out)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

fn write_beside(path: &Path, kind: &str, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(kind);
    fs::write(&name, bytes).with_context(|| format!("writing {}", Path::new(&name).display()))
}
