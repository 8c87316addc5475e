//! Object stores as a place for datasets: S3, Google Cloud Storage and Azure Blob Storage.
//!
//! A dataset on a store is a prefix, laid out as `--layout runs` has it: every run writes under
//! `_runs/<run>/`, and one object, `_manifest.json`, names the current run. What makes publishing
//! one step is that this object is put with a condition, that it is still the one that the run found
//! when it began. Of two runs at once, one wins; the other has published nothing.
//!
//! The rest of the writer is synchronous. Requests run on a small runtime of their own, so that a
//! worker that encodes never keeps an upload waiting, and callers wait for them as for a disk.

mod address;
mod carrier;
mod connect;
mod failure;
mod leavings;
mod multipart;
mod objects;
mod orphans;
mod process;
mod requests;
mod runs;
mod upload;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use tokio::runtime::{Handle, Runtime};

pub use address::{Address, Service};
pub use connect::StoreOptions;
pub use failure::Trouble;
pub(super) use runs::StoreRuns;
pub(super) use upload::{FILE_BYTES, Queue, Upload, Uploads};

use super::{Result, WriteError};
use connect::Clients;

/// A prefix on an object store, and the means to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    address: Address,
    shared: Arc<Shared>,
}

struct Shared {
    clients: Clients,
    runtime: Background,
}

impl Store {
    /// Prepares to reach an address; nothing is sent yet.
    ///
    /// # Errors
    /// [`WriteError::Setting`] for options or credentials that make no sense.
    pub fn new(address: Address, options: &StoreOptions) -> Result<Self> {
        let runtime = Background::start(&address)?;
        let clients = Clients::of(&address, options)?;
        Ok(Self {
            address,
            shared: Arc::new(Shared { clients, runtime }),
        })
    }

    /// The same store, deeper inside.
    pub(super) fn inside(&self, path: &str) -> Self {
        let mut inner = self.clone();
        inner.address.prefix = self.address.key(path);
        inner
    }

    /// Where this is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The dataset's own name.
    pub(super) fn name(&self) -> String {
        self.address().name().to_owned()
    }

    /// The URL of a path inside.
    pub(super) fn shown(&self, path: &str) -> String {
        let base = self.address().to_string();
        if path.is_empty() {
            base
        } else {
            format!("{base}/{path}")
        }
    }

    /// The store, for the work of a run: patient with what passes.
    fn patient(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.clients.patient
    }

    /// The store, for first looks: a mistake must show in seconds.
    fn quick(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.clients.quick
    }

    /// Where requests run.
    fn handle(&self) -> Handle {
        self.shared.runtime.handle()
    }

    /// Does something on the store's own runtime, and waits for it as for a disk.
    fn wait<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        self.handle().spawn(async move {
            // Nobody waits any more when the caller's thread is gone.
            let _ = done.send(work.await);
        });
        ended.recv().unwrap_or_else(|_| {
            Err(WriteError::Died {
                path: self.to_string(),
            })
        })
    }

    /// Turns an error at a key into one that names the object.
    fn failed(
        &self,
        action: &'static str,
        key: &Path,
    ) -> impl FnOnce(object_store::Error) -> WriteError + use<> {
        let service = self.address().service;
        let at = match self.address().inside(key) {
            Some(path) => self.shown(&path),
            None => self.shown(""),
        };
        move |error| failure::failed(service, action, at, &error)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients hold credentials.
        f.debug_tuple("Store").field(&self.to_string()).finish()
    }
}

/// A runtime that ends without waiting, so that it may be dropped anywhere.
struct Background(Option<Runtime>, Handle);

impl Background {
    fn start(address: &Address) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // Encryption and checksums of parts take a core at most now and then.
            .worker_threads(2)
            .thread_name("ixtract-store")
            .enable_all()
            .build()
            .map_err(WriteError::io("start the client of", address.to_string()))?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    fn handle(&self) -> Handle {
        self.1.clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ExitCode, Failure};

    #[test]
    fn a_task_that_panics_is_a_bug_of_ours_and_no_trouble_of_the_disks() {
        let address = Address::parse("s3://bucket/prefix").expect("an address");
        let options = StoreOptions {
            values: [("aws_access_key_id", "k"), ("aws_secret_access_key", "s")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            credential_process: None,
        };
        let store = Store::new(address, &options).expect("a client");
        let died: Result<()> = store.wait(async { panic!("for the sake of the test") });
        let failure = Failure::from(died.expect_err("it panicked"));
        assert_eq!(failure.exit, ExitCode::Bug);
        assert!(failure.what.contains("s3://bucket/prefix"), "{failure}");
        assert_eq!(store.wait(async { Ok(7) }).expect("the next one works"), 7);
    }
}
