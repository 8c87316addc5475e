//! The task that owns a file's upload: it sends pieces side by side, and aborts the upload when its
//! writer goes away.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::multipart::PartId;
use tokio::sync::{mpsc, oneshot};

use super::multipart::Multipart;
use super::upload::{Held, PIECE, Shared, Uploads};
use crate::model::Waits;
use crate::writer::Result;

/// Pieces of one file on their way at once, beside the one that waits.
const AT_ONCE: usize = 2;

/// What the writer tells the carrier.
pub(super) enum Message {
    /// A piece of full size.
    Piece(Bytes),
    /// The rest, which may be empty; the file ends.
    Last(Bytes),
}

/// The task that owns a file's upload.
pub(super) struct Carrier {
    shared: Arc<Shared>,
    name: String,
    multipart: Option<Multipart>,
}

/// How carrying ended.
enum End {
    /// The last piece came; everything is with the store or in `Small`.
    Whole(Option<Bytes>),
    /// The writer went away, or everything is given up.
    Left,
}

impl Carrier {
    /// For a file of this name, of which nothing was sent yet.
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Self {
        Self {
            shared,
            name,
            multipart: None,
        }
    }

    /// Carries the file until it is held whole, given up or failed, and tells which.
    pub(super) async fn run(
        mut self,
        inbox: mpsc::Receiver<Message>,
        told: oneshot::Sender<Result<Waits>>,
    ) {
        match self.carry(inbox).await {
            Ok(End::Whole(small)) => {
                let file = match (small, self.multipart.take()) {
                    (_, Some(multipart)) => Held::Large(multipart),
                    (small, None) => Held::Small(small.unwrap_or_default()),
                };
                // The writer may have gone away, and another attempt may have this name by now.
                let uploads = Uploads::of(&self.shared);
                if told.is_closed() {
                    return uploads.give_up(file);
                }
                let waits = file.waits();
                self.shared.held().insert(self.name.clone(), file);
                if told.send(Ok(waits)).is_err() {
                    uploads.forget(|name| name == self.name);
                }
            }
            Ok(End::Left) => self.abort().await,
            Err(error) => {
                self.abort().await;
                let key = self.shared.key(&self.name);
                let _ = told.send(Err(self.shared.store.failed("write", &key)(error)));
            }
        }
    }

    /// Sends pieces until the last one came.
    async fn carry(&mut self, mut inbox: mpsc::Receiver<Message>) -> object_store::Result<End> {
        let stop = self.shared.stop.clone();
        let mut sending = FuturesUnordered::new();
        let mut last = false;
        // The beginning of an upload is not interrupted: one that the store knows of and we do not
        // would stay.
        loop {
            if last && sending.is_empty() {
                return Ok(End::Whole(None));
            }
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(End::Left),
                Some(sent) = sending.next(), if !sending.is_empty() => {
                    let arrived = sent?;
                    if let Some(multipart) = &mut self.multipart {
                        multipart.arrived(arrived);
                    }
                    continue;
                }
                message = inbox.recv(), if !last && sending.len() < AT_ONCE => message,
            };
            match message {
                None => return Ok(End::Left),
                Some(Message::Piece(piece)) => {
                    let part = self.send(piece).await?;
                    sending.push(part);
                }
                Some(Message::Last(rest)) => {
                    let small = self.multipart.is_none() && rest.len() < PIECE;
                    if small && self.shared.room_for(rest.len() as u64) {
                        return Ok(End::Whole(Some(rest)));
                    }
                    if !rest.is_empty() || self.multipart.is_none() {
                        let part = self.send(rest).await?;
                        sending.push(part);
                    }
                    last = true;
                }
            }
        }
    }

    /// Starts to send a piece, of an upload that is begun when there is none.
    async fn send(
        &mut self,
        piece: Bytes,
    ) -> object_store::Result<impl Future<Output = object_store::Result<(usize, PartId)>> + use<>>
    {
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            none => {
                let store = Arc::clone(&self.shared.store.shared.clients.pieces);
                none.insert(Multipart::begin(store, self.shared.key(&self.name)).await?)
            }
        };
        Ok(multipart.send(piece))
    }

    async fn abort(&mut self) {
        if let Some(multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            let (_, why) = super::failure::look(&error);
            tracing::warn!(why, "an upload is left to the next run");
        }
    }
}
