//! A store's objects as the rest of the writer reads them.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};

use super::Store;
use crate::writer::folder::{Blob, Folder};
use crate::writer::{Result, WriteError, names};

/// A range of this length is one request of a reader: large enough to be worth a round trip, small
/// enough that several readers stay small.
const PIECE: u64 = 8 << 20;

/// Files that are read at once: reading one is a few short requests, each of a round trip.
const READERS: usize = 8;

/// Pauses before a question is asked again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// A small object and its version.
pub(in crate::writer) struct Found {
    pub(in crate::writer) bytes: Bytes,
    pub(in crate::writer) version: UpdateVersion,
}

/// What lies directly under a path: objects and deeper prefixes, by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) objects: BTreeSet<String>,
    pub(super) prefixes: BTreeSet<String>,
}

/// What became of a put with a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// The condition did not hold.
    Lost,
}

impl Store {
    /// A whole small object; none where there is none.
    pub(in crate::writer) fn find(&self, path: &str) -> Result<Option<Found>> {
        let store = Arc::clone(self.quick());
        let key = self.address().key(path);
        let failed = self.failed("read", &key);
        self.wait(async move {
            let get = again(|| {
                let (store, key) = (Arc::clone(&store), key.clone());
                async move {
                    let result = store.get(&key).await?;
                    let version = UpdateVersion {
                        e_tag: result.meta.e_tag.clone(),
                        version: result.meta.version.clone(),
                    };
                    let bytes = result.bytes().await?;
                    Ok(Found { bytes, version })
                }
            });
            match get.await {
                Ok(found) => Ok(Some(found)),
                Err(error) if is_missing_object(&error) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
    }

    /// What lies directly under a path.
    pub(super) fn list(&self, path: &str) -> Result<Listing> {
        let store = Arc::clone(self.quick());
        let key = self.address().key(path);
        let failed = self.failed("list", &key);
        self.wait(async move {
            let listed = again(|| {
                let (store, key) = (Arc::clone(&store), key.clone());
                async move {
                    let prefix = Some(&key).filter(|key| !key.as_ref().is_empty());
                    store.list_with_delimiter(prefix).await
                }
            });
            let listed = listed.await.map_err(failed)?;
            let name = |path: &Path| path.filename().map(str::to_owned);
            Ok(Listing {
                objects: listed
                    .objects
                    .iter()
                    // A console's "folder" is an empty object of the folder's own name.
                    .filter(|object| object.size > 0 || object.location != key)
                    .filter_map(|object| name(&object.location))
                    // Where nothing may be removed it stays, and says nothing.
                    .filter(|name| name != names::PROBE)
                    .collect(),
                prefixes: listed.common_prefixes.iter().filter_map(name).collect(),
            })
        })
    }

    /// The keys of everything under a path.
    pub(super) fn all(&self, path: &str) -> Result<Vec<Path>> {
        let store = Arc::clone(self.patient());
        let key = self.address().key(path);
        let failed = self.failed("list", &key);
        self.wait(async move {
            let all = again(|| {
                let objects = store.list(Some(&key)).map_ok(|object| object.location);
                objects.try_collect()
            });
            all.await.map_err(failed)
        })
    }

    /// Puts a small object, whatever was there.
    pub(in crate::writer) fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let store = Arc::clone(self.patient());
        let key = self.address().key(path);
        let failed = self.failed("write", &key);
        self.wait(async move {
            let put = store.put(&key, bytes.into()).await;
            put.map(|_| ()).map_err(failed)
        })
    }

    /// Puts a small object where there is none, or in place of the version given. A request whose
    /// answer is lost is not sent again: whether it was heard is for the caller to find out.
    pub(super) fn put_if(
        &self,
        path: &str,
        bytes: Bytes,
        over: Option<UpdateVersion>,
        quick: bool,
    ) -> Result<Put> {
        let store = Arc::clone(if quick { self.quick() } else { self.patient() });
        let key = self.address().key(path);
        let failed = self.failed("write", &key);
        self.wait(async move {
            let options = PutOptions {
                mode: over.map_or(PutMode::Create, PutMode::Update),
                ..PutOptions::default()
            };
            match store.put_opts(&key, bytes.into(), options).await {
                Ok(_) => Ok(Put::Done),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Lost),
                Err(error) => Err(failed(error)),
            }
        })
    }

    /// Removes objects; one that is missing is no error.
    pub(super) fn remove(&self, keys: Vec<Path>) -> Result<()> {
        let Some(first) = keys.first().cloned() else {
            return Ok(());
        };
        let store = Arc::clone(self.patient());
        let failed = self.failed("remove", &first);
        self.wait(async move {
            let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
            let mut removed = store.delete_stream(keys);
            while let Some(result) = removed.next().await {
                match result {
                    Err(error) if !is_missing_object(&error) => return Err(failed(error)),
                    _ => {}
                }
            }
            Ok(())
        })
    }

    /// The length of an object; none where there is none.
    pub(super) fn length(&self, path: &str) -> Result<Option<u64>> {
        Ok(self.head(path)?.map(|meta| meta.size))
    }

    /// When an object was written, by the store's clock.
    pub(super) fn written_at(&self, path: &str) -> Result<Option<Timestamp>> {
        let meta = self.head(path)?;
        let at = meta.map(|meta| meta.last_modified.timestamp_millis());
        Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
    }

    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let store = Arc::clone(self.patient());
        let key = self.address().key(path);
        let failed = self.failed("read", &key);
        self.wait(async move {
            let head = again(|| {
                let (store, key) = (Arc::clone(&store), key.clone());
                async move { store.head(&key).await }
            });
            match head.await {
                Ok(meta) => Ok(Some(meta)),
                Err(error) if is_missing_object(&error) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
    }
}

/// Asks again when the line broke in the middle of an answer, which the library leaves to us; only
/// for what changes nothing.
async fn again<T, F>(mut ask: impl FnMut() -> F) -> object_store::Result<T>
where
    F: Future<Output = object_store::Result<T>>,
{
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let passing = super::failure::look(&error).0 == super::Trouble::Unreachable;
        match pauses.next() {
            Some(pause) if passing => tokio::time::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// Whether an object is missing, and not its bucket.
fn is_missing_object(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
        && super::failure::look(error).0 == super::Trouble::Missing
}

impl Folder for Store {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.find(path)?.map(|found| found.bytes.to_vec()))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Blob>> {
        match self.length(path) {
            Ok(Some(length)) => Ok(Box::new(RemoteBlob {
                store: self.clone(),
                path: path.to_owned(),
                length,
            })),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(told(error)),
        }
    }

    fn side_by_side(&self) -> usize {
        READERS
    }

    fn names(&self, path: &str) -> Result<Vec<String>> {
        let Listing { objects, prefixes } = self.list(path)?;
        Ok(objects.union(&prefixes).cloned().collect())
    }
}

/// An object as ranges of bytes.
struct RemoteBlob {
    store: Store,
    path: String,
    length: u64,
}

impl Blob for RemoteBlob {
    fn length(&self) -> u64 {
        self.length
    }

    fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start.saturating_add(length as u64);
        if end > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let store = Arc::clone(self.store.patient());
        let key = self.store.address().key(&self.path);
        let failed = self.store.failed("read", &key);
        let got = self.store.wait(async move {
            let bytes = again(|| {
                let (store, key) = (Arc::clone(&store), key.clone());
                async move { store.get_range(&key, start..end).await }
            });
            bytes.await.map_err(failed)
        });
        let bytes = got.map_err(told)?;
        if bytes.len() == length {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn reader(&self, start: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Pieces {
            blob: self,
            at: start,
            piece: Bytes::new(),
        }))
    }
}

/// An object read piece by piece.
struct Pieces<'a> {
    blob: &'a RemoteBlob,
    at: u64,
    piece: Bytes,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let left = self.blob.length.saturating_sub(self.at).min(PIECE);
            self.piece = self.blob.range(self.at, left as usize)?;
            self.at += left;
        }
        let taken = self.piece.len().min(into.len());
        into[..taken].copy_from_slice(&self.piece.split_to(taken));
        Ok(taken)
    }
}

/// An error of ours where only one of the system fits.
fn told(error: WriteError) -> io::Error {
    match error {
        WriteError::Store { why, .. } => io::Error::other(why),
        other => io::Error::other(other.to_string()),
    }
}
