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

    /// Writes what links the parts, has the glue import it by its name, and shortens what names import and export.
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
                number_hashes(&path)?;
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

/// wasm-bindgen tells functions apart by hashes in their names, in the glue and in the module it wrote beside it. Nothing
/// compresses these: numbers as long do, and tell as much.
fn number_hashes(glue: &Path) -> Result<()> {
    let stem = glue.file_stem().and_then(OsStr::to_str).context("the glue has no name")?;
    let module = glue.with_file_name(format!("{stem}_bg.wasm"));
    let (script, code) = (fs::read(glue)?, fs::read(&module)?);
    let mut numbers: BTreeMap<[u8; HASH], usize> = BTreeMap::new();
    for (_, hash) in hashes(&script) {
        let next = numbers.len();
        numbers.entry(hash).or_insert(next);
    }
    fs::write(glue, numbered(script, &numbers))?;
    Ok(fs::write(&module, numbered(code, &numbers))?)
}

/// Digits of a hash in a name: `__wbg_now_0f1c6b2f9a7e4d31`, `wasm_bindgen__convert__closures_____invoke__h0a4d513941f258be`.
const HASH: usize = 16;

/// The hashes that end a name, with their places.
fn hashes(bytes: &[u8]) -> Vec<(usize, [u8; HASH])> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let ends_name = |place: usize, hash: &[u8]| {
        hash.iter().all(is_digit)
            && !bytes.get(place + HASH).is_some_and(is_name)
            && (bytes[..place].ends_with(b"_") || bytes[..place].ends_with(b"_h"))
    };
    let windows = bytes.windows(HASH).enumerate().filter(|(place, hash)| ends_name(*place, hash));
    windows.filter_map(|(place, hash)| Some((place, hash.try_into().ok()?))).collect()
}

/// `bytes` with each known hash replaced by its number.
fn numbered(mut bytes: Vec<u8>, numbers: &BTreeMap<[u8; HASH], usize>) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len().saturating_sub(HASH - 1))
        .filter(|&place| bytes[..place].ends_with(b"_") || bytes[..place].ends_with(b"_h"))
        .collect();
    for place in places {
        let known = bytes[place..place + HASH].first_chunk().and_then(|hash| numbers.get(hash));
        if let Some(number) = known {
            bytes[place..place + HASH].copy_from_slice(format!("{number:0HASH$}").as_bytes());
        }
    }
    bytes
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
    fn hashes_in_names_become_numbers_of_the_same_length() {
        let glue = b"__wbg_now_0f1c6b2f9a7e4d31: f, invoke__h0a4d513941f258be(); __wbg_now_0f1c6b2f9a7e4d31x; 0f1c6b2f9a7e4d31";
        let known: Vec<usize> = hashes(glue).into_iter().map(|(place, _)| place).collect();
        assert_eq!(known, [10, 40], "only what ends a name");
        let numbers = hashes(glue).into_iter().enumerate().map(|(number, (_, hash))| (hash, number)).collect();
        let module = numbered(b"\x1a__wbg_now_0f1c6b2f9a7e4d31\x00\x01 h0a4d513941f258be".to_vec(), &numbers);
        assert_eq!(module, b"\x1a__wbg_now_0000000000000000\x00\x01 h0a4d513941f258be");
    }

    #[test]
    fn custom_sections_are_found_and_taken_out() {
        let module = b"\0asm\x01\0\0\0\x00\x05\x04name\x01\x02\xaa\xbb\x00\x03\x01xy";
        assert!(has_section(module, "name").expect("a module"));
        assert!(!has_section(module, "producers").expect("a module"));
        assert_eq!(without_custom_sections(module).expect("a module"), b"\0asm\x01\0\0\0\x01\x02\xaa\xbb");
        assert!(has_section(&module[..12], "name").is_err(), "cut short");
    }
}
