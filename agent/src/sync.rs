//! Has files put on the disk by a thread of its own: `fdatasync` may take as long as it likes, and whoever writes packets must
//! not wait for it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// The files that are to be put on the disk, and the thread that does it. It starts when it is first needed, and so with the
/// rights of whoever needs it; it ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Syncer {
    files: Arc<Files>,
    wake: OnceLock<Option<SyncSender<()>>>,
}

#[derive(Debug, Default)]
struct Files {
    held: Mutex<Held>,
    /// Whenever the thread is done with a file.
    done: Condvar,
}

/// What is held open here. The disk gets the room of a removed file back only when nobody holds it any more.
#[derive(Debug, Default)]
struct Held {
    waiting: Vec<Arc<File>>,
    current: Option<Arc<File>>,
}

impl Syncer {
    /// Has what was written to `file` put on the disk soon; does not wait for it.
    pub(crate) fn soon(&self, file: &Arc<File>) {
        let mut held = self.files.lock();
        // Each file waits once, so that the list is never longer than there are files in use.
        if !held.waiting.iter().any(|known| Arc::ptr_eq(known, file)) {
            held.waiting.push(Arc::clone(file));
        }
        drop(held);
        // A thread that is still at work sees the list when it is done.
        if let Some(wake) = self.wake.get_or_init(|| start(Arc::clone(&self.files))) {
            let _ = wake.try_send(());
        }
    }

    /// Lets go of files that were removed, so that the disk has their room. Waits if one of them is being put on the disk.
    pub(crate) fn release_removed(&self) {
        let mut held = self.files.lock();
        held.waiting.retain(|file| !has_no_name(file));
        while held.current.as_deref().is_some_and(has_no_name) {
            held = self.files.done.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next file to be put on the disk, in place of the one before.
    fn next(&self) -> Option<Arc<File>> {
        let mut held = self.lock();
        held.current = if held.waiting.is_empty() { None } else { Some(held.waiting.remove(0)) };
        self.done.notify_all();
        held.current.clone()
    }
}

fn start(files: Arc<Files>) -> Option<SyncSender<()>> {
    let (wake, woken) = sync_channel(1);
    let work = move || {
        while woken.recv().is_ok() {
            while let Some(file) = files.next() {
                if let Err(error) = file.sync_data() {
                    tracing::debug!("the log was not put on the disk: {error}");
                }
            }
        }
    };
    let started = std::thread::Builder::new().name("log-sync".into()).spawn(work);
    started.map_or_else(
        |error| {
            tracing::warn!("no thread that puts the log on the disk can be had: {error}");
            None
        },
        |_| Some(wake),
    )
}

/// Whether an open file was removed: it takes what is written, and nobody will ever read it.
pub(crate) fn has_no_name(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}
