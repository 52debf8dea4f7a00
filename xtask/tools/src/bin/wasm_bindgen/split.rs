//! Splits a linked module into a main part, which wasm-bindgen binds, and the parts that load on demand.
//!
//! What is written, beside what wasm-bindgen writes: `snippets/parts/link-ID.js`, which the glue imports and Trunk takes along,
//! and `parts/*-ID.wasm`, which `xtask/src/page.rs` puts beside the page. ID is a hash of the linked module, so that no part is
//! ever taken from another build.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use wasm_split_cli_support::{Options, transform};

/// The custom section by which `wasm_split_helpers` says that there are parts.
const MARKER: &str = "__wasm_split_unstable";
/// What the main part imports from, until [`Split::finish`] gives it its name.
const LINK: &str = "./snippets/parts/link.js";
/// Written in front of the list of parts.
const LINK_SOURCE: &str = include_str!("link.js");

/// A module that was split.
pub(crate) struct Split {
    input: OsString,
    main: PathBuf,
    out: PathBuf,
    id: String,
    /// The files each part needs, without the ID and the extension.
    files: BTreeMap<String, Vec<String>>,
}

/// Splits the module that wasm-bindgen is called for; `None` if that has no parts.
pub(crate) fn split(arguments: &[OsString]) -> Result<Option<Split>> {
    let input = arguments.iter().skip(1).find(|one| Path::new(one).extension() == Some(OsStr::new("wasm")));
    let out = arguments.iter().find_map(|one| one.to_str()?.strip_prefix("--out-dir="));
    let (Some(input), Some(out)) = (input, out) else { return Ok(None) };
    let module = fs::read(input).with_context(|| format!("reading {}", Path::new(input).display()))?;
    if !has_section(&module, MARKER)? {
        return Ok(None);
    }
    let out = PathBuf::from(out);
    let folder = out.join("parts");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let main = out.join("main.wasm");
    let mut options = Options::new(&module);
    options.output_dir = &folder;
    options.main_out_path = &main;
    options.link_name = LINK;
    fs::create_dir_all(folder.join("snippets/parts"))?;
    let split = transform(options).map_err(|error| anyhow!("splitting the module: {error:#}"))?;
    fs::remove_dir_all(folder.join("snippets"))?;
    let id = id(&module);
    for path in &split.split_modules {
        let stem = path.file_stem().and_then(OsStr::to_str).context("a part has no name")?;
        fs::write(path.with_file_name(format!("{stem}-{id}.wasm")), without_custom_sections(&fs::read(path)?)?)?;
        fs::remove_file(path)?;
    }
    let files = split.prefetch_map.into_iter().collect();
    Ok(Some(Split { input: input.clone(), main, out, id, files }))
}

impl Split {
    /// The arguments for wasm-bindgen: the main part instead of the whole, its function table exported for the parts, and no names
    /// in it unless they are asked for.
    pub(crate) fn arguments(&self, arguments: &[OsString]) -> Vec<OsString> {
        let keeps_names = arguments.iter().any(|one| one == "--keep-debug");
        let main = |one: &OsString| if *one == self.input { self.main.clone().into_os_string() } else { one.clone() };
        let strip = ["--remove-name-section", "--remove-producers-section"].map(OsString::from);
        let shared = OsString::from("--keep-lld-exports");
        arguments.iter().map(main).chain([shared]).chain(strip.into_iter().filter(|_| !keeps_names)).collect()
    }

    /// Writes what links the parts, and has the glue import it by its name.
    pub(crate) fn finish(&self) -> Result<()> {
        let folder = self.out.join("snippets/parts");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let name = format!("link-{}.js", self.id);
        fs::write(folder.join(&name), self.link())?;
        let mut glued = 0;
        for entry in fs::read_dir(&self.out)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("js")) {
                let glue = fs::read_to_string(&path)?;
                let named = LINK.replace("link.js", &name);
                let fitted = ['"', '\''].into_iter().fold(glue.clone(), |glue, quote| {
                    glue.replace(&format!("from {quote}{LINK}{quote}"), &format!("from {quote}{named}{quote}"))
                });
                glued += usize::from(fitted != glue);
                fs::write(&path, fitted)?;
            }
        }
        ensure!(glued == 1, "{glued} files instead of the glue import {LINK}");
        Ok(fs::remove_file(&self.main)?)
    }

    /// The script that loads the parts: a constant piece, and a function for each part by the name under which it is imported.
    fn link(&self) -> String {
        let mut link = LINK_SOURCE.to_owned();
        for (part, files) in &self.files {
            let files: Vec<String> = files.iter().map(|file| format!("{file}-{}.wasm", self.id)).collect();
            link.push_str(&format!("export const __wasm_split_load_{part} = loader({files:?});\n"));
        }
        link
    }
}

/// A hash of the module, 16 hexadecimal digits (FNV-1a of 64 bits).
fn id(module: &[u8]) -> String {
    let hash =
        module.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

fn has_section(module: &[u8], name: &str) -> Result<bool> {
    Ok(sections(module)?.into_iter().any(|section| section.custom == Some(name)))
}

/// What a browser needs of a module: names, relocations and who made it are nothing to it.
fn without_custom_sections(module: &[u8]) -> Result<Vec<u8>> {
    let mut kept = module[..HEADER].to_vec();
    for section in sections(module)?.into_iter().filter(|section| section.custom.is_none()) {
        kept.extend_from_slice(section.bytes);
    }
    Ok(kept)
}

/// `\0asm` and the version.
const HEADER: usize = 8;

struct Section<'m> {
    /// The whole of it.
    bytes: &'m [u8],
    /// The name, of a custom section.
    custom: Option<&'m str>,
}

/// The sections of a module (WebAssembly core specification, 5.5.2).
fn sections(module: &[u8]) -> Result<Vec<Section<'_>>> {
    ensure!(module.starts_with(b"\0asm") && module.len() >= HEADER, "this is not a WebAssembly module");
    let mut rest = &module[HEADER..];
    let mut sections = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let (len, content) = number(after)?;
        let head = rest.len() - content.len();
        let Some(bytes) = rest.get(..head + len) else { bail!("a section is cut short") };
        let custom = match kind {
            0 => {
                let (len, name) = number(&bytes[head..])?;
                Some(std::str::from_utf8(name.get(..len).context("a section's name is cut short")?)?)
            }
            _ => None,
        };
        sections.push(Section { bytes, custom });
        rest = &rest[head + len..];
    }
    Ok(sections)
}

/// An unsigned LEB128 number, and what follows it.
fn number(bytes: &[u8]) -> Result<(usize, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[place + 1..]));
        }
    }
    bail!("a number is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_are_found_and_taken_out() {
        let module = b"\0asm\x01\0\0\0\x00\x05\x04name\x01\x02\xaa\xbb\x00\x03\x01xy";
        assert!(has_section(module, "name").expect("a module"));
        assert!(!has_section(module, "producers").expect("a module"));
        assert_eq!(without_custom_sections(module).expect("a module"), b"\0asm\x01\0\0\0\x01\x02\xaa\xbb");
        assert!(has_section(&module[..12], "name").is_err(), "cut short");
    }
}
