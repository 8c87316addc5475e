//! Files on their way to a store, piece by piece, and held back before the last step.
//!
//! A file is invisible until its upload is completed, so completions are what is held back until the
//! proof passes. Each file has a carrier, a task that owns the upload: it begins one with the first
//! piece, sends pieces side by side, and, told that the last one came, keeps the upload for
//! [`Uploads::complete`]. When its writer goes away before that, for whatever reason, the carrier
//! aborts the upload: nobody else needs to remember it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Store;
use super::carrier::{Carrier, Message};
use super::multipart::Multipart;
use crate::model::{RunId, Waits};
use crate::writer::{PartReceipt, Result, WriteError, names};

/// Bytes of a piece. Every store takes pieces of 5 MiB and more, some only of equal size.
pub(in crate::writer) const PIECE: usize = 8 << 20;

/// The most bytes of a file, at which a chunk goes on in another: S3 and Google take 10 000 pieces,
/// of which a tenth is left for the row group in hand and the footer.
pub(in crate::writer) const FILE_BYTES: u64 = 9_000 * PIECE as u64;

/// Bytes of small files that wait in memory for the proof; more wait on the store.
const SMALL_BYTES: u64 = 32 << 20;

/// How many uploads are completed at once.
const COMPLETIONS: usize = 8;

/// How long giving up may take; what is left then is for the next run.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A file's bytes on the way from the encoder to the carrier, cut into pieces.
#[derive(Clone, Default)]
pub(in crate::writer) struct Queue(Arc<Mutex<Pieces>>);

#[derive(Default)]
struct Pieces {
    whole: VecDeque<Bytes>,
    last: Vec<u8>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes in.
    pub(in crate::writer) fn push(&self, mut bytes: &[u8]) {
        let mut pieces = self.lock();
        while !bytes.is_empty() {
            let room = PIECE - pieces.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            make_room(&mut pieces.last, now.len());
            pieces.last.extend_from_slice(now);
            bytes = later;
            if pieces.last.len() == PIECE {
                let whole = mem::take(&mut pieces.last);
                pieces.whole.push_back(whole.into());
            }
        }
    }

    fn whole(&self) -> Option<Bytes> {
        self.lock().whole.pop_front()
    }

    /// What is left when no more comes.
    pub(in crate::writer) fn last(&self) -> Bytes {
        mem::take(&mut self.lock().last).into()
    }
}

/// Doubles, as a vector does by itself, but never beyond a piece: the memory of pieces is counted.
fn make_room(piece: &mut Vec<u8>, more: usize) {
    let needed = piece.len() + more;
    if needed > piece.capacity() {
        let room = needed.max(2 * piece.capacity()).min(PIECE);
        piece.reserve_exact(room - piece.len());
    }
}

/// A file under way. Dropped before [`Upload::finish`], it leaves nothing.
pub(in crate::writer) struct Upload {
    queue: Queue,
    pieces: mpsc::Sender<Message>,
    outcome: oneshot::Receiver<Result<Waits>>,
}

impl Upload {
    /// Where the encoder puts its bytes.
    pub(in crate::writer) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Sends the pieces that are whole; waits while the store is slower than the encoder.
    pub(in crate::writer) async fn drain(&mut self) -> Result<()> {
        while let Some(piece) = self.queue.whole() {
            self.send(Message::Piece(piece)).await?;
        }
        Ok(())
    }

    /// Sends the rest. Every byte is with the store, or held in memory, when this returns, and it
    /// says which; nothing is visible.
    pub(in crate::writer) async fn finish(mut self) -> Result<Waits> {
        self.drain().await?;
        let last = self.queue.last();
        self.send(Message::Last(last)).await?;
        self.outcome().await
    }

    async fn send(&mut self, message: Message) -> Result<()> {
        match self.pieces.send(message).await {
            Ok(()) => Ok(()),
            // The carrier has ended, which it does only with an error.
            Err(_) => self.outcome().await.map(drop),
        }
    }

    async fn outcome(&mut self) -> Result<Waits> {
        (&mut self.outcome)
            .await
            .unwrap_or_else(|_| Err(given_up()))
    }
}

fn given_up() -> WriteError {
    WriteError::io("write", "the output")(std::io::Error::other("the upload was given up"))
}

/// A finished file that is not visible yet.
pub(super) enum Held {
    Small(Bytes),
    Large(Multipart),
}

impl Held {
    /// Where it waits.
    pub(super) fn waits(&self) -> Waits {
        match self {
            Self::Small(_) => Waits::Memory,
            Self::Large(multipart) => multipart.waits(),
        }
    }
}

/// All files of a run.
#[derive(Clone)]
pub(in crate::writer) struct Uploads {
    shared: Arc<Shared>,
}

/// What the files of a run have in common.
pub(super) struct Shared {
    pub(super) store: Store,
    /// The path of the run's files inside the dataset, with a slash.
    folder: String,
    held: Mutex<BTreeMap<String, Held>>,
    small: AtomicU64,
    /// Tasks at work.
    tasks: watch::Sender<usize>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// The finished files, by name.
    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task that [`Uploads::abandon`] waits for.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::clone(self);
        shared.tasks.send_modify(|tasks| *tasks += 1);
        self.store.handle().spawn(async move {
            task.await;
            shared.tasks.send_modify(|tasks| *tasks -= 1);
        });
    }

    /// Where a file is going to be.
    pub(super) fn key(&self, name: &str) -> Path {
        self.store.address().key(&format!("{}{name}", self.folder))
    }

    /// Keeps a small file in memory, where there is room.
    pub(super) fn room_for(&self, bytes: u64) -> bool {
        let before = self.small.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= SMALL_BYTES;
        if !fits {
            self.small.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Uploads {
    /// For the files of one run, which go under `folder`.
    pub(in crate::writer) fn new(store: &Store, folder: String) -> Self {
        Self {
            shared: Arc::new(Shared {
                store: store.clone(),
                folder,
                held: Mutex::default(),
                small: AtomicU64::new(0),
                tasks: watch::Sender::new(0),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Those of a run by what they have in common.
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }

    /// How a file is named to people.
    pub(in crate::writer) fn shown(&self, name: &str) -> String {
        let Shared { store, folder, .. } = &*self.shared;
        store.shown(&format!("{folder}{name}"))
    }

    /// Begins a file.
    pub(in crate::writer) fn begin(&self, name: String) -> Upload {
        let (pieces, inbox) = mpsc::channel(1);
        let (told, outcome) = oneshot::channel();
        let task = Carrier::new(Arc::clone(&self.shared), name).run(inbox, told);
        self.shared.spawn(task);
        Upload {
            queue: Queue::default(),
            pieces,
            outcome,
        }
    }

    /// Gives up the finished files whose names this picks, of an attempt that is repeated; whether
    /// there were any.
    pub(in crate::writer) fn forget(&self, picks: impl Fn(&str) -> bool) -> bool {
        let mut held = self.shared.held();
        let names: Vec<String> = held.keys().filter(|name| picks(name)).cloned().collect();
        let any = !names.is_empty();
        for name in names {
            if let Some(file) = held.remove(&name) {
                self.give_up(file);
            }
        }
        any
    }

    /// Aborts a finished upload, beside other work.
    pub(super) fn give_up(&self, file: Held) {
        match file {
            Held::Small(bytes) => {
                let length = bytes.len() as u64;
                self.shared.small.fetch_sub(length, Ordering::Relaxed);
            }
            Held::Large(multipart) => {
                self.shared
                    .spawn(async move { drop(multipart.abort().await) });
            }
        }
    }

    /// Makes the files of these receipts visible, and gives up all others.
    pub(in crate::writer) fn complete(&self, receipts: &[PartReceipt]) -> Result<()> {
        let mut files = Vec::with_capacity(receipts.len());
        {
            let mut held = self.shared.held();
            for receipt in receipts {
                // A file that nobody has is found missing when all are read back.
                if let Some(file) = held.remove(&receipt.name) {
                    files.push((receipt.name.clone(), file));
                }
            }
        }
        self.forget(|_| true);
        let shared = Arc::clone(&self.shared);
        self.shared.store.wait(async move {
            let work = files.into_iter().map(|(name, file)| {
                let shared = Arc::clone(&shared);
                async move { shared.land(&name, file).await }
            });
            let mut work = stream::iter(work).buffer_unordered(COMPLETIONS);
            let mut first = Ok(());
            // To the end, so that no upload is left half completed.
            while let Some(result) = work.next().await {
                first = first.and(result);
            }
            first
        })
    }

    /// Puts a file that was made whole in memory.
    pub(in crate::writer) fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let Shared { store, folder, .. } = &*self.shared;
        store.put(&format!("{folder}{name}"), bytes)
    }

    /// Takes a finished file of an unfinished run for this run's own.
    pub(in crate::writer) fn adopt(&self, run: &RunId, file: &PartReceipt) {
        let Waits::Upload { id, pieces } = &file.waits else {
            return;
        };
        let store = &self.shared.store;
        let multipart = Multipart::of_another(
            Arc::clone(&store.shared.clients.pieces),
            store.address().key(&names::in_run(run, &file.name)),
            (id.clone(), pieces.clone()),
            file.bytes,
        );
        let file = (file.name.clone(), Held::Large(multipart));
        self.shared.held().extend([file]);
    }

    /// Gives everything up that is not visible yet, in bounded time.
    pub(in crate::writer) fn abandon(&self) -> Result<()> {
        self.stop(|_| true)
    }

    /// Gives up what is not finished, in bounded time; finished files stay with the store for another
    /// run.
    pub(in crate::writer) fn leave(&self) -> Result<()> {
        self.stop(|_| false)
    }

    /// Ends all carriers, and gives up the finished files whose names this picks.
    fn stop(&self, picks: fn(&str) -> bool) -> Result<()> {
        self.shared.stop.cancel();
        let uploads = self.clone();
        self.shared.store.wait(async move {
            let all = async {
                // Twice: a carrier may have been about to keep its file.
                for _ in 0..2 {
                    uploads.forget(picks);
                    let mut tasks = uploads.shared.tasks.subscribe();
                    // It fails only without a sender, and that is ours.
                    let _ = tasks.wait_for(|tasks| *tasks == 0).await;
                }
            };
            // When the time is up, what is left shows in the next run's sweep.
            let _ = tokio::time::timeout(GIVE_UP, all).await;
            Ok(())
        })
    }
}

impl Shared {
    /// Makes one file visible.
    async fn land(&self, name: &str, file: Held) -> Result<()> {
        let key = self.key(name);
        match file {
            Held::Small(bytes) => {
                let put = self.store.patient().put(&key, bytes.into()).await;
                put.map(|_| ()).map_err(self.store.failed("write", &key))
            }
            Held::Large(multipart) => {
                self.complete(&multipart).await?;
                if *multipart.key() == key {
                    return Ok(());
                }
                // It was another run's, which can be completed only where that run began it. What
                // stays there goes with the rest of that run, once this one has published.
                let copied = self.store.patient().copy(multipart.key(), &key).await;
                copied.map_err(self.store.failed("copy", multipart.key()))
            }
        }
    }

    async fn complete(&self, multipart: &Multipart) -> Result<()> {
        let Err(error) = multipart.complete().await else {
            return Ok(());
        };
        // An answer may get lost, and a repeated request finds no upload any more.
        match self.store.patient().head(multipart.key()).await {
            Ok(meta) if meta.size == multipart.bytes() => Ok(()),
            _ => {
                // The first error is the one to tell.
                let _ = multipart.abort().await;
                Err(self.store.failed("complete", multipart.key())(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_into_equal_pieces_and_a_rest() {
        let queue = Queue::default();
        let bytes: Vec<u8> = (0..2 * PIECE + 5).map(|at| at as u8).collect();
        for run in bytes.chunks(3_000_001) {
            queue.push(run);
        }
        let mut back = Vec::new();
        let mut lengths = Vec::new();
        while let Some(piece) = queue.whole() {
            lengths.push(piece.len());
            back.extend_from_slice(&piece);
        }
        back.extend_from_slice(&queue.last());
        assert_eq!(lengths, [PIECE, PIECE]);
        assert!(back == bytes);
    }
}
