//! One upload: pieces that become a file in a last step, by whoever knows its id and theirs.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, Result};

use crate::model::Waits;

/// An upload that is begun and not completed.
pub(super) struct Multipart {
    store: Arc<dyn MultipartStore>,
    key: Path,
    id: String,
    /// The store's names of the pieces, as far as they arrived.
    pieces: Vec<Option<PartId>>,
    bytes: u64,
}

impl Multipart {
    /// Begins an upload to a key.
    pub(super) async fn begin(store: Arc<dyn MultipartStore>, key: Path) -> Result<Self> {
        let id = store.create_multipart(&key).await?;
        Ok(Self {
            store,
            key,
            id,
            pieces: Vec::new(),
            bytes: 0,
        })
    }

    /// One that another run began, all of whose pieces have arrived.
    pub(super) fn of_another(
        store: Arc<dyn MultipartStore>,
        key: Path,
        (id, pieces): (String, Vec<String>),
        bytes: u64,
    ) -> Self {
        let pieces = pieces.into_iter();
        Self {
            pieces: pieces
                .map(|content_id| Some(PartId { content_id }))
                .collect(),
            store,
            key,
            id,
            bytes,
        }
    }

    /// Where the file is going to be.
    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    /// Bytes of all pieces.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sends the next piece; what comes of it is told to [`Multipart::arrived`].
    pub(super) fn send(
        &mut self,
        piece: Bytes,
    ) -> impl Future<Output = Result<(usize, PartId)>> + use<> {
        let at = self.pieces.len();
        self.pieces.push(None);
        self.bytes += piece.len() as u64;
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
        async move {
            let part = store.put_part(&key, &id, at, piece.into()).await?;
            Ok((at, part))
        }
    }

    /// Takes note of a piece that has arrived.
    pub(super) fn arrived(&mut self, (at, part): (usize, PartId)) {
        if let Some(piece) = self.pieces.get_mut(at) {
            *piece = Some(part);
        }
    }

    /// What another run has to know to complete it.
    pub(super) fn waits(&self) -> Waits {
        let pieces = self.pieces.iter().flatten();
        Waits::Upload {
            id: self.id.clone(),
            pieces: pieces.map(|part| part.content_id.clone()).collect(),
        }
    }

    /// Makes the file of the pieces. A repeated request finds no upload any more.
    pub(super) async fn complete(&self) -> Result<()> {
        let pieces = self.pieces.iter().flatten().cloned().collect();
        let completed = self.store.complete_multipart(&self.key, &self.id, pieces);
        completed.await.map(drop)
    }

    /// Ends it; one that has ended already is no error.
    pub(super) async fn abort(&self) -> Result<()> {
        match self.store.abort_multipart(&self.key, &self.id).await {
            Err(Error::NotFound { .. }) => Ok(()),
            ended => ended,
        }
    }
}
