//! Has files put on the disk by a thread of its own: `fdatasync` may take as long as it likes, and whoever writes packets must
//! not wait for it.

use std::fs::File;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The files that are to be put on the disk, and the thread that does it. It starts when it is first needed, and so with the
/// rights of whoever needs it; it ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Syncer {
    waiting: Arc<Mutex<Vec<Arc<File>>>>,
    wake: OnceLock<Option<SyncSender<()>>>,
}

impl Syncer {
    /// Has what was written to `file` put on the disk soon; does not wait for it.
    pub(crate) fn soon(&self, file: &Arc<File>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Each file waits once, so that the list is never longer than there are files in use.
        if !waiting.iter().any(|known| Arc::ptr_eq(known, file)) {
            waiting.push(Arc::clone(file));
        }
        drop(waiting);
        // A thread that is still at work sees the list when it is done.
        if let Some(wake) = self.wake.get_or_init(|| start(Arc::clone(&self.waiting))) {
            let _ = wake.try_send(());
        }
    }
}

fn start(list: Arc<Mutex<Vec<Arc<File>>>>) -> Option<SyncSender<()>> {
    let (wake, woken) = sync_channel(1);
    let work = move || {
        while woken.recv().is_ok() {
            let files = std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner));
            for file in files {
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
