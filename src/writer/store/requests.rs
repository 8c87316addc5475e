//! Questions that `object_store` has no words for: which uploads there are, and which pieces one has. The
//! request is made here, with its signature on S3 and its token on Google.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Request};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, Error};
use serde::de::DeserializeOwned;

use super::Store;
use super::connect::Lister;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, or why there is none, in words without a credential.
pub(super) type Told<T> = std::result::Result<T, String>;

/// Asks about an object, or about the bucket; none where a store has no uploads to ask about.
pub(super) async fn ask<T: DeserializeOwned>(
    store: &Store,
    key: Option<&Path>,
    query: Vec<(String, String)>,
) -> Told<Option<T>> {
    match request(store, key, query).await? {
        Some(request) => fetch(request).await.map(Some),
        None => Ok(None),
    }
}

async fn request(
    store: &Store,
    key: Option<&Path>,
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
            let signed = s3.signed_url(Method::GET, key.unwrap_or(&root), PATIENCE);
            let signed = signed.await.map_err(said)?;
            let (url, _) = signed.as_str().split_once('?').unwrap_or_default();
            let request = builder.uri(format!("{url}?{query}"));
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
            let key = key.map(|key| {
                key.parts()
                    .map(|part| format!("/{}", escaped(part.as_ref())))
            });
            let key: String = key.into_iter().flatten().collect();
            let builder = builder.uri(format!("{base}/{bucket}{key}?{query}"));
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

async fn fetch<T: DeserializeOwned>(request: Request<HttpRequestBody>) -> Told<T> {
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
    fn values_of_a_query_are_escaped() {
        assert_eq!(escaped("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
