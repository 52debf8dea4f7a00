//! Files that were dropped or picked: which of them are one capture, and that capture's bytes.

use dropscope_core::log::rotation::{HEAD, Outline, Part, TAIL, captures};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, FileList};

/// A capture of this computer: a file, or several that go on from each other.
#[derive(Clone, Debug)]
pub struct LocalCapture {
    /// What it is called in the address and on the page: the name of its first file, and how many more there are.
    pub name: String,
    /// The names of its files.
    pub files: Vec<String>,
    /// Its bytes. The browser reads them from the files; nothing is copied.
    pub bytes: Blob,
}

/// The files of a list, which the browser may empty later.
pub fn of_list(list: &FileList) -> Vec<File> {
    (0..list.length()).filter_map(|at| list.get(at)).collect()
}

/// Puts files together that go on from each other. Of each file its two ends are read.
pub async fn captures_of(files: Vec<File>) -> Vec<LocalCapture> {
    if let [file] = &files[..] {
        return vec![LocalCapture { name: file.name(), files: vec![file.name()], bytes: file.clone().into() }];
    }
    let mut outlines = Vec::with_capacity(files.len());
    for file in &files {
        // What cannot be read is a capture of its own, and says so when it is opened.
        outlines.push(outline(file).await.unwrap_or_default());
    }
    let mut found: Vec<LocalCapture> = Vec::new();
    for parts in captures(&outlines) {
        let Some(first) = parts.first().map(|part| files[part.file].name()) else { continue };
        let mut name = if parts.len() > 1 { format!("{first} + {}", parts.len() - 1) } else { first };
        while found.iter().any(|other| other.name == name) {
            name.push('′');
        }
        let names = parts.iter().map(|part| files[part.file].name()).collect();
        if let Ok(bytes) = joined(&files, &parts) {
            found.push(LocalCapture { name, files: names, bytes });
        }
    }
    found
}

async fn outline(file: &File) -> Result<Outline, JsValue> {
    let size = file.size();
    let head = read(file, 0.0, size.min(HEAD as f64)).await?;
    let tail = read(file, (size - TAIL as f64).max(0.0), size).await?;
    Ok(Outline::read(&file.name(), &head, &tail))
}

async fn read(file: &File, from: f64, to: f64) -> Result<Vec<u8>, JsValue> {
    let bytes = JsFuture::from(file.slice_with_f64_and_f64(from, to)?.array_buffer()).await?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

fn joined(files: &[File], parts: &[Part]) -> Result<Blob, JsValue> {
    if let [one] = parts {
        return Ok(files[one.file].clone().into());
    }
    let pieces = Array::new();
    for part in parts {
        let file = &files[part.file];
        pieces.push(&file.slice_with_f64_and_f64(part.skip as f64, file.size())?.into());
    }
    Blob::new_with_blob_sequence(&pieces)
}
