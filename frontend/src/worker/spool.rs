//! The bytes of the log outside of wasm memory: a `File`, or what came over a WebSocket, kept as Blobs.
//!
//! Blobs may live on disk at the browser's discretion, so that a capture of any size costs the page no memory. A packet is
//! read again from here, synchronously, which only a Worker may do (`FileReaderSync`).

use dropscope_core::query::ByteSource;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use web_sys::{Blob, FileReaderSync};

/// Parts are joined when there are this many: a Blob made of Blobs copies nothing.
const MOST_PARTS: usize = 256;

/// The bytes of one log, from 0 on without gaps.
#[derive(Debug, Default)]
pub struct Spool {
    parts: Vec<(u64, Blob)>,
    size: u64,
}

impl Spool {
    /// A spool that is one file.
    pub fn of(blob: &Blob) -> Self {
        Self { parts: vec![(0, blob.clone())], size: blob.size() as u64 }
    }

    /// Bytes held.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &Uint8Array) -> Result<(), JsValue> {
        let blob = Blob::new_with_u8_array_sequence(&Array::of1(bytes))?;
        self.parts.push((self.size, blob));
        self.size += u64::from(bytes.length());
        if self.parts.len() > MOST_PARTS {
            let all: Array = self.parts.iter().map(|(_, blob)| JsValue::from(blob)).collect();
            self.parts = vec![(0, Blob::new_with_blob_sequence(&all)?)];
        }
        Ok(())
    }
}

impl ByteSource for Spool {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.size {
            return Err(format!("Bytes {offset} to {end} lie beyond the {} bytes that are here.", self.size));
        }
        self.fill(offset, buffer).map_err(|_| {
            format!("The browser can no longer read byte {offset} of the file: it was changed, moved or removed. Open it again.")
        })
    }
}

impl Spool {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), JsValue> {
        let reader = FileReaderSync::new()?;
        let mut at = offset;
        let mut filled = 0;
        while filled < buffer.len() {
            let part = self.parts.partition_point(|(start, _)| *start <= at).saturating_sub(1);
            let Some((start, blob)) = self.parts.get(part) else { return Err(JsValue::NULL) };
            let from = at - start;
            let wanted = (buffer.len() - filled) as f64;
            let to = (from as f64 + wanted).min(blob.size());
            let slice = blob.slice_with_f64_and_f64(from as f64, to)?;
            let bytes = Uint8Array::new(&reader.read_as_array_buffer(&slice)?.into());
            let len = bytes.length() as usize;
            if len == 0 || filled + len > buffer.len() {
                return Err(JsValue::NULL);
            }
            bytes.copy_to(&mut buffer[filled..filled + len]);
            filled += len;
            at += len as u64;
        }
        Ok(())
    }
}
