//! Uploads that nobody will complete: what a killed run left on the store, invisible and paid for.
//!
//! `object_store` cannot list uploads, so the one request for that is made here, with its signature on S3
//! and its token on Google. Azure has no uploads: blocks that were never
//! committed end by themselves after a week, and those of a name that is written again at once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Request};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, Error};
use serde::Deserialize;

use super::Store;
use super::connect::Lister;
use crate::writer::Result;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(30);

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

type Told<T> = std::result::Result<T, String>;

/// All pages of uploads whose keys begin so.
async fn pages(store: &Store, prefix: &str) -> Told<Vec<Listed>> {
    let mut uploads = Vec::new();
    let mut markers = Vec::new();
    loop {
        let mut query = vec![("uploads".to_owned(), String::new())];
        query.push(("prefix".to_owned(), prefix.to_owned()));
        query.append(&mut markers);
        let Some(request) = request(store, query).await? else {
            return Ok(uploads);
        };
        let page = fetch(request).await?;
        uploads.extend(page.uploads);
        let (true, Some(key)) = (page.is_truncated, page.next_key_marker) else {
            return Ok(uploads);
        };
        markers.push(("key-marker".to_owned(), key));
        let id = page.next_upload_id_marker;
        markers.extend(id.map(|id| ("upload-id-marker".to_owned(), id)));
    }
}

/// The request for a page; none where a store has no uploads.
async fn request(
    store: &Store,
    query: Vec<(String, String)>,
) -> Told<Option<Request<HttpRequestBody>>> {
    let said = |error: Error| super::failure::look(&error).1;
    // The error itself would repeat a header.
    let nonsense = |_| "the request makes no sense".to_owned();
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    let query = query.join("&");
    let builder = Request::builder().method(Method::GET);
    let builder = match &store.shared.clients.lister {
        Lister::None => return Ok(None),
        Lister::S3(s3, region) => {
            // Only the library knows the bucket's URL.
            let root = Path::default();
            let signed = s3.signed_url(Method::GET, &root, PATIENCE);
            let signed = signed.await.map_err(said)?;
            let (bucket, _) = signed.as_str().split_once('?').unwrap_or_default();
            let request = builder.uri(format!("{bucket}?{query}"));
            let mut request = request.body(HttpRequestBody::empty()).map_err(nonsense)?;
            let credential = s3.credentials().get_credential().await.map_err(said)?;
            AwsAuthorizer::new(&credential, "s3", region)
                .try_authorize(&mut request, None)
                .map_err(said)?;
            return Ok(Some(request));
        }
        Lister::Gcs(gcs, base) => {
            let credential = gcs.credentials().get_credential().await.map_err(said)?;
            let base = base.trim_end_matches('/');
            let bucket = &store.address().bucket;
            let builder = builder.uri(format!("{base}/{bucket}?{query}"));
            if credential.bearer.is_empty() {
                builder
            } else {
                builder.header("Authorization", format!("Bearer {}", credential.bearer))
            }
        }
    };
    let request = builder.body(HttpRequestBody::empty());
    request.map(Some).map_err(nonsense)
}

async fn fetch(request: Request<HttpRequestBody>) -> Told<Page> {
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_timeout(PATIENCE);
    let broken = |_| "the exchange broke".to_owned();
    let client = ReqwestConnector::default()
        .connect(&options)
        .map_err(|error| super::failure::look(&error).1)?;
    let response = client.execute(request).await.map_err(broken)?;
    let status = response.status();
    let pieces = response.into_body().bytes_stream();
    let pieces: Vec<Bytes> = pieces.try_collect().await.map_err(broken)?;
    let body = String::from_utf8_lossy(&pieces.concat()).into_owned();
    if !status.is_success() {
        return Err(format!("the answer was status {}", status.as_u16()));
    }
    quick_xml::de::from_str(&body).map_err(|error| format!("the answer is no list: {error}"))
}

/// A value as it stands in a query.
fn escaped(value: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
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

    #[test]
    fn values_of_a_query_are_escaped() {
        assert_eq!(escaped("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
