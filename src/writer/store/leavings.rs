//! What unfinished runs left on a store: files whose every piece is there, in uploads that nobody
//! completed.
//!
//! Such a file cannot be read, so it cannot be hashed again. What stands for its checksum is what the
//! store itself named each piece when it arrived, and still does; it makes a file of exactly these
//! pieces or of none.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use object_store::path::Path;
use serde::Deserialize;

use super::Store;
use super::requests::{Told, ask};
use crate::model::{FinishedChunk, PartReceipt, RunId, Waits};
use crate::writer::leftovers::{Left, Move};
use crate::writer::{Result, names};

/// How many uploads are asked about at once.
const QUESTIONS: usize = 8;

/// The most bytes of a file that a store copies in one request; S3 has the narrowest limit.
const COPIED_BYTES: u64 = 5 << 30;

/// What was found of each file, by name.
pub(super) struct Uploaded(BTreeMap<String, Told<Move>>);

impl Left for Uploaded {
    fn find(&self, file: &PartReceipt) -> Told<Move> {
        let nowhere = || Err(format!("{} is gone", file.name));
        self.0.get(&file.name).cloned().unwrap_or_else(nowhere)
    }
}

/// Asks the store about every file of these chunks.
pub(super) fn look(store: &Store, chunks: &[FinishedChunk]) -> Result<Uploaded> {
    let files = chunks.iter().flat_map(|chunk| {
        let file = |file: &PartReceipt| (chunk.run.clone(), file.clone());
        chunk.files.iter().map(file)
    });
    let files: Vec<(RunId, PartReceipt)> = files.collect();
    let shared = store.clone();
    store.wait(async move {
        let looks = files.into_iter().map(|(run, file)| {
            let store = &shared;
            async move {
                let outcome = check(store, &run, &file).await;
                let name = file.name.clone();
                (name, outcome.map(|()| Move { run, file }))
            }
        });
        Ok(Uploaded(
            stream::iter(looks)
                .buffer_unordered(QUESTIONS)
                .collect()
                .await,
        ))
    })
}

/// Whether a file's upload is still there, with exactly its pieces.
async fn check(store: &Store, run: &RunId, file: &PartReceipt) -> Told<()> {
    let name = &file.name;
    let (id, pieces) = match &file.waits {
        Waits::Upload { id, pieces } => (id, pieces),
        Waits::Memory => return Err(format!("{name} waited in memory")),
        Waits::Staged => return Err(format!("{name} is gone")),
    };
    if file.bytes > COPIED_BYTES {
        return Err(format!("{name} is too large for the store to copy"));
    }
    let key = store.address().key(&names::in_run(run, name));
    let listed = listed(store, &key, id).await;
    let listed = listed.map_err(|why| format!("the upload of {name} is not found: {why}"))?;
    let same = listed.len() == pieces.len()
        && listed.iter().map(|part| part.size).sum::<u64>() == file.bytes
        && listed
            .iter()
            .zip(pieces)
            .all(|(part, piece)| tag(&part.e_tag) == tag(&named(piece)));
    if same {
        Ok(())
    } else {
        Err(format!("the upload of {name} is not what was written"))
    }
}

/// The pieces of an upload, in order.
async fn listed(store: &Store, key: &Path, id: &str) -> Told<Vec<Part>> {
    let mut parts = Vec::new();
    let mut marker = None;
    loop {
        let mut query = vec![("uploadId".to_owned(), id.to_owned())];
        query.extend(marker.map(|marker| ("part-number-marker".to_owned(), marker)));
        let Some(page) = ask::<Page>(store, Some(key), query).await? else {
            return Err("this store does not tell".to_owned());
        };
        let more = page.is_truncated && !page.parts.is_empty();
        parts.extend(page.parts);
        let (true, Some(next)) = (more, page.next_part_number_marker) else {
            return Ok(parts);
        };
        marker = Some(next);
    }
}

/// What a store named a piece: the tag itself, or a document that holds it beside checksums.
fn named(piece: &str) -> String {
    let document: std::result::Result<Named, _> = quick_xml::de::from_str(piece);
    document.map_or_else(|_| piece.to_owned(), |named| named.e_tag)
}

/// Stores do not agree about the quotes around a tag.
fn tag(text: &str) -> &str {
    text.trim_matches('"')
}

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(rename = "ETag")]
    e_tag: String,
}

/// A page of pieces.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_part_number_marker: Option<String>,
    #[serde(default, rename = "Part")]
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "ETag")]
    e_tag: String,
    #[serde(rename = "Size")]
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_pieces_is_read() {
        let page: Page = quick_xml::de::from_str(
            "<ListPartsResult><Bucket>b</Bucket><UploadId>u</UploadId><IsTruncated>true</IsTruncated>\
             <NextPartNumberMarker>2</NextPartNumberMarker>\
             <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag><Size>5</Size></Part>\
             <Part><PartNumber>2</PartNumber><ETag>b</ETag><Size>7</Size></Part></ListPartsResult>",
        )
        .expect("a page");
        let parts: Vec<_> = page.parts.iter().map(|p| (tag(&p.e_tag), p.size)).collect();
        assert_eq!(parts, [("a", 5), ("b", 7)]);
        assert!(page.is_truncated);
        assert_eq!(page.next_part_number_marker.as_deref(), Some("2"));
    }

    #[test]
    fn a_piece_is_named_by_its_tag_with_or_without_checksums() {
        assert_eq!(tag(&named("\"abc-1\"")), "abc-1");
        let document = "<PartMetadata><ETag>\"abc\"</ETag><ChecksumSHA256>x</ChecksumSHA256>\
                        </PartMetadata>";
        assert_eq!(tag(&named(document)), "abc");
    }
}
