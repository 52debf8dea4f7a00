//! Captures that commands read: files, folders of segments, and standard input for `-`; compressed ones are unpacked on the
//! way.

mod mapped;

use anyhow::{Context as _, Result, bail};
use dropscope_core::log::rotation::{self, HEAD, Outline, TAIL};
use dropscope_core::log::{UnpackError, Unpacker};
use dropscope_core::query::{Batch, Engine, Parser};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

/// Bytes read at once where a file cannot be mapped: what is read lies in the processor's own cache while it is parsed. (The system
/// reads ahead by itself; a thread for reading alone moved every byte to the other processor: 38 ms of work for 100 MB in place of 30.)
const CHUNK: usize = 128 << 10;
/// Bytes of the log that are handed over at once. Each time may wake a thread that sleeps.
const BATCH: usize = 512 << 10;
/// Batches made before they are asked for.
const AHEAD: usize = 4;

/// A capture that can be read as often as needed.
pub(crate) enum Input {
    /// A file, or the files of one capture in their order, read from the beginning each time.
    Files(Vec<Piece>),
    /// Standard input or another stream (`<(zcat FILE)`, a FIFO), which can be read only once and so is kept.
    Kept(Vec<u8>),
}

/// A file of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    /// Bytes at its beginning that stood in the file before it, too: see [`rotation::Part::skip`].
    pub(crate) skip: usize,
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Piece {
    fn from(path: &P) -> Self {
        Self { path: path.as_ref().to_owned(), skip: 0 }
    }
}

impl Input {
    /// The input that `path` names.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_all(&[path.into()])
    }

    /// The input that these files are, one after the other.
    ///
    /// # Errors
    /// When one cannot be read at all.
    pub(crate) fn open_all(pieces: &[Piece]) -> Result<Self> {
        if let [one] = pieces
            && one.path.as_os_str() == "-"
        {
            let mut kept = Vec::new();
            io::stdin().lock().read_to_end(&mut kept).context("standard input cannot be read")?;
            return Ok(Self::Kept(kept));
        }
        if let [Piece { path, .. }] = pieces
            && is_stream(path)
        {
            let mut kept = Vec::new();
            let read = File::open(path).and_then(|mut file| file.read_to_end(&mut kept));
            read.with_context(|| format!("{} cannot be read", path.display()))?;
            return Ok(Self::Kept(kept));
        }
        let mut files = Vec::new();
        for piece in pieces {
            if piece.path.is_dir() {
                files.extend(files_of(&piece.path)?.iter().map(Piece::from));
            } else {
                files.push(piece.clone());
            }
        }
        for Piece { path, .. } in &files {
            File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        }
        Ok(Self::Files(files))
    }

    /// Hands its bytes over, uncompressed, from the first to the last. What is broken in the compression is the answer;
    /// what came out before it was handed over.
    ///
    /// # Errors
    /// When reading fails on the way, or whoever takes the bytes fails.
    pub(crate) fn each_chunk(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<Option<UnpackError>> {
        let mut unpacker = Unpacker::default();
        let mut taken = Ok(());
        let mut sink = |bytes: &[u8]| {
            if taken.is_ok() {
                taken = take(bytes);
            }
        };
        let mut unpacked = self.each_packed_chunk(|bytes| unpacker.push(bytes, &mut sink))?;
        if unpacked.is_ok() {
            unpacked = unpacker.finish(&mut sink);
        }
        taken?;
        Ok(unpacked.err())
    }

    /// Has an engine read all of it. The bytes are unpacked, cut into records and dissected on a thread of their own, for none
    /// of that needs what came before (nearly half of the work over a plain capture); the conversations are followed here.
    ///
    /// # Errors
    /// When reading fails on the way; the engine is finished with what came before.
    pub(crate) fn feed(&self, engine: &mut Engine) -> Result<Option<UnpackError>> {
        std::thread::scope(|scope| {
            let (full, batches) = sync_channel::<Batch>(AHEAD);
            let (give_back, empty) = sync_channel::<Batch>(AHEAD + 2);
            let parser = scope.spawn(move || {
                let mut parser = Parser::new();
                // Whoever takes them goes on until the last.
                let hand_over = |batch| full.send(batch).context("nobody takes what was read");
                let mut batch = Batch::default();
                let mut waiting = 0;
                let read = self.each_chunk(|bytes| {
                    parser.push(bytes, &mut batch);
                    waiting += bytes.len();
                    if waiting < BATCH {
                        return Ok(());
                    }
                    waiting = 0;
                    hand_over(std::mem::replace(&mut batch, empty.try_recv().unwrap_or_default()))
                });
                parser.finish(&mut batch);
                hand_over(batch)?;
                read
            });
            for mut batch in &batches {
                engine.take(&mut batch);
                // The parser may have come to its end.
                let _ = give_back.send(batch);
            }
            parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// As it lies in the file, until `take` has had enough.
    fn each_packed_chunk<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Result<(), E>> {
        let pieces = match self {
            Self::Kept(bytes) => return Ok(bytes.chunks(CHUNK).try_for_each(take)),
            Self::Files(pieces) => pieces,
        };
        let mut chunk = vec![0; CHUNK];
        for Piece { path, skip } in pieces {
            let mut skip = *skip;
            let mut take = |bytes: &[u8]| {
                let left_out = skip.min(bytes.len());
                skip -= left_out;
                let bytes = &bytes[left_out..];
                if bytes.is_empty() {
                    return Ok(());
                }
                take(bytes)
            };
            let failed = || format!("{} cannot be read", path.display());
            let mut file = File::open(path).with_context(failed)?;
            let (mapped, taken) = mapped::each_window(&file, |window| window.chunks(BATCH).try_for_each(&mut take));
            if taken.is_err() {
                return Ok(taken);
            }
            if mapped > 0 {
                file.seek(SeekFrom::Start(mapped)).with_context(failed)?;
            }
            // What is short, grew meanwhile or is no regular file.
            loop {
                match file.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(length) => {
                        let taken = take(&chunk[..length]);
                        if taken.is_err() {
                            return Ok(taken);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).with_context(failed),
                }
            }
        }
        Ok(Ok(()))
    }
}

/// Has as many files open at one time as the system lets this process.
pub(crate) fn allow_many_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        tracing::debug!("no more files than usual can be open: {error}");
    }
}

/// Whether what is read from it is gone then, as from a pipe.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|kind| !kind.is_file() && !kind.is_dir())
}

/// The files that `path` stands for: itself, or the segments in the folder that it is.
///
/// # Errors
/// When it is a folder without any.
pub(crate) fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let segments = crate::segments::list(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if segments.is_empty() {
        bail!(
            "{} cannot be read: it is a folder, and not one of segments (00000001-20261122-131500.pcapng): name the captures in it",
            path.display()
        );
    }
    Ok(segments.into_iter().map(|segment| path.join(segment.name)).collect())
}

/// Puts files that go on from each other together; each other file stands for itself.
pub(crate) fn by_recording(paths: &[PathBuf]) -> Vec<Vec<Piece>> {
    let outlines: Vec<Outline> = paths.iter().map(|path| outline(path).unwrap_or_default()).collect();
    let piece = |part: &rotation::Part| Piece { path: paths[part.file].clone(), skip: part.skip };
    rotation::captures(&outlines).iter().map(|parts| parts.iter().map(piece).collect()).collect()
}

/// What a file looks like from its two ends; `None` for what has none, or cannot be read.
fn outline(path: &Path) -> Option<Outline> {
    if path.as_os_str() == "-" || !path.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    file.by_ref().take(HEAD as u64).read_to_end(&mut head).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL as u64))).ok()?;
    file.take(TAIL as u64).read_to_end(&mut tail).ok()?;
    Some(Outline::read(&path.to_string_lossy(), &head, &tail))
}
