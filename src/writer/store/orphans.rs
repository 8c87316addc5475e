//! Uploads that nobody will complete: what a killed run left on the store, invisible and paid for.
//!
//! Azure has no uploads: blocks that were never
//! committed end by themselves after a week, and those of a name that is written again at once.

use object_store::Error;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use serde::Deserialize;

use super::Store;
use super::connect::Lister;
use super::requests::{Told, ask};
use crate::writer::Result;

/// An upload under way or forgotten.
#[derive(Clone, Debug)]
pub(super) struct Orphan {
    key: Path,
    id: String,
    run: String,
}

impl Orphan {
    /// The run whose it is.
    pub(super) fn run(&self) -> &str {
        &self.run
    }
}

/// A page of uploads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
}

/// Lists the uploads under a path of the dataset. A store that does not let us look shows none, and
/// says why in the log: it is not what publishing hangs on.
pub(super) fn list(store: &Store, path: &str) -> Result<Vec<Orphan>> {
    let looking = store.clone();
    let prefix = format!("{}/", store.address().key(path));
    let listed = store.wait(async move { Ok(pages(&looking, &prefix).await) })?;
    match listed {
        Ok(uploads) => {
            let of_run = |listed: Listed| {
                let key = Path::parse(&listed.key).ok()?;
                let inside = store.address().inside(&key)?;
                let run = inside.strip_prefix(path)?.strip_prefix('/')?;
                let (run, _) = run.split_once('/')?;
                Some(Orphan {
                    run: run.to_owned(),
                    id: listed.upload_id,
                    key,
                })
            };
            Ok(uploads.into_iter().filter_map(of_run).collect())
        }
        Err(why) => {
            tracing::warn!(
                why,
                "uploads cannot be listed; a lifecycle rule should end old ones"
            );
            Ok(Vec::new())
        }
    }
}

/// Ends uploads; one that has ended meanwhile is no error.
pub(super) fn abort(store: &Store, uploads: Vec<Orphan>) -> Result<()> {
    if uploads.is_empty() {
        return Ok(());
    }
    let shared = store.clone();
    store.wait(async move {
        for upload in uploads {
            let aborted = match &shared.shared.clients.lister {
                Lister::S3(s3, _) => s3.abort_multipart(&upload.key, &upload.id).await,
                Lister::Gcs(gcs, _) => gcs.abort_multipart(&upload.key, &upload.id).await,
                Lister::None => Ok(()),
            };
            match aborted {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(shared.failed("end an upload of", &upload.key)(error)),
            }
        }
        Ok(())
    })
}

/// All pages of uploads whose keys begin so.
async fn pages(store: &Store, prefix: &str) -> Told<Vec<Listed>> {
    let mut uploads = Vec::new();
    let mut markers = Vec::new();
    loop {
        let mut query = vec![("uploads".to_owned(), String::new())];
        query.push(("prefix".to_owned(), prefix.to_owned()));
        query.append(&mut markers);
        let Some(page) = ask::<Page>(store, None, query).await? else {
            return Ok(uploads);
        };
        uploads.extend(page.uploads);
        let (true, Some(key)) = (page.is_truncated, page.next_key_marker) else {
            return Ok(uploads);
        };
        markers.push(("key-marker".to_owned(), key));
        let id = page.next_upload_id_marker;
        markers.extend(id.map(|id| ("upload-id-marker".to_owned(), id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page: Page = quick_xml::de::from_str(
            "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>true</IsTruncated>\
             <NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>\
             <Upload><Key>a &amp; b</Key><UploadId>1</UploadId></Upload>\
             <Upload><Key>c</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>",
        )
        .unwrap();
        assert_eq!(page.uploads.len(), 2);
        assert_eq!(page.uploads[0].key, "a & b");
        assert_eq!(page.next_key_marker.as_deref(), Some("k"));
        let empty: Page = quick_xml::de::from_str("<ListMultipartUploadsResult/>").unwrap();
        assert!(empty.uploads.is_empty() && !empty.is_truncated);
    }
}
