//! Clients of a store from settled options. Nothing here reads the environment.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::address::{Address, Service};
use super::process::CredentialProcess;
use crate::writer::{Result, WriteError};

/// How a store is reached and as whom.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// Options by the names that `object_store` gives them, such as `aws_access_key_id`.
    pub values: Vec<(String, String)>,
    /// A command that prints credentials for S3, where the values have none.
    pub credential_process: Option<String>,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secret, names are not.
        let names: Vec<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("StoreOptions")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

impl StoreOptions {
    /// Whether the endpoint, if one is given, is asked for in plain HTTP.
    fn plain_http(&self) -> bool {
        self.values
            .iter()
            .any(|(name, value)| ENDPOINTS.contains(&name.as_str()) && value.starts_with("http://"))
    }

    /// Refuses what the library would panic at in the middle of its first request, or quietly send
    /// elsewhere.
    fn check(&self) -> std::result::Result<(), String> {
        for (name, value) in &self.values {
            if name != DOCUMENT && !is_one_line(value) {
                return Err(format!(
                    "{name} holds a line break or another control character"
                ));
            }
            if ENDPOINTS.contains(&name.as_str()) {
                // The value may hold a login, so it is not repeated.
                check_endpoint(value).map_err(|why| format!("{name} {why}"))?;
            }
        }
        Ok(())
    }
}

/// The options that are URLs of a service.
const ENDPOINTS: [&str; 4] = [
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "google_base_url",
    "azure_storage_endpoint",
];

/// The one option that is a whole document.
const DOCUMENT: &str = "google_service_account_key";

/// Whether a value can stand in a header: it holds no line break and no other control character.
pub(super) fn is_one_line(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

fn check_endpoint(value: &str) -> std::result::Result<(), String> {
    let url = url::Url::parse(value).map_err(|error| format!("is no URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a login, which a store does not take".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds '?' or '#', after which no bucket can follow".to_owned());
    }
    Ok(())
}

/// How long one request may take: a piece of 8 MiB at half a megabit a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// The same for first looks.
const LOOK: Duration = Duration::from_secs(15);

/// The clients of one bucket.
pub(super) struct Clients {
    pub(super) quick: Arc<dyn ObjectStore>,
    pub(super) patient: Arc<dyn ObjectStore>,
    /// The patient one, for uploads piece by piece.
    pub(super) pieces: Arc<dyn MultipartStore>,
    pub(super) lister: Lister,
}

/// Who can list uploads that are not completed; Azure has none, its blocks end by themselves.
pub(super) enum Lister {
    S3(AmazonS3, String),
    Gcs(GoogleCloudStorage, String),
    None,
}

impl Clients {
    pub(super) fn of(address: &Address, options: &StoreOptions) -> Result<Self> {
        let wrong = |why: String| WriteError::Setting {
            path: address.to_string(),
            why,
        };
        options.check().map_err(wrong)?;
        let make = |retry: RetryConfig, patience: Duration| {
            let client = client(options, patience);
            match address.service {
                Service::S3 => s3(address, options, retry, client),
                Service::Gcs => gcs(address, options, retry, client),
                Service::Azure => azure(address, options, retry, client),
            }
        };
        let quick = make(quick(), LOOK).map_err(wrong)?.objects;
        let Made {
            objects: patient,
            pieces,
            lister,
        } = make(patient(), PATIENCE).map_err(wrong)?;
        Ok(Self {
            quick,
            patient,
            pieces,
            lister,
        })
    }
}

pub(super) fn client(options: &StoreOptions, patience: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(options.plain_http())
        .with_connect_timeout(Duration::from_secs(10))
        .with_timeout(patience)
}

fn backoff(longest: Duration) -> BackoffConfig {
    BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: longest,
        base: 2.0,
    }
}

/// A mistake must show in seconds; a hiccup must not.
fn quick() -> RetryConfig {
    RetryConfig {
        backoff: backoff(Duration::from_secs(2)),
        max_retries: 3,
        retry_timeout: Duration::from_secs(15),
    }
}

/// A store that throttles is waited for, but not for ever: the source's snapshot is open meanwhile.
fn patient() -> RetryConfig {
    RetryConfig {
        backoff: backoff(Duration::from_secs(15)),
        max_retries: 10,
        retry_timeout: Duration::from_secs(120),
    }
}

/// One client, by what it is asked for.
struct Made {
    objects: Arc<dyn ObjectStore>,
    pieces: Arc<dyn MultipartStore>,
    lister: Lister,
}

impl Made {
    fn of<C: ObjectStore + MultipartStore>(client: &Arc<C>, lister: Lister) -> Self {
        Self {
            objects: Arc::<C>::clone(client),
            pieces: Arc::<C>::clone(client),
            lister,
        }
    }
}

type Making = std::result::Result<Made, String>;

/// Every option as the key of one builder.
fn keys<K: FromStr>(options: &StoreOptions) -> std::result::Result<Vec<(K, String)>, String> {
    let key = |(name, value): &(String, String)| match name.parse() {
        Ok(key) => Ok((key, value.clone())),
        Err(_) => Err(format!("'{name}' is no option of this store")),
    };
    options.values.iter().map(key).collect()
}

/// The innermost text of a builder's error; it names options, never their values.
fn said(error: object_store::Error) -> String {
    super::failure::look(&error).1
}

fn s3(
    address: &Address,
    options: &StoreOptions,
    retry: RetryConfig,
    client: ClientOptions,
) -> Making {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&address.bucket)
        .with_retry(retry)
        .with_client_options(client);
    for (key, value) in keys::<AmazonS3ConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    if let Some(command) = &options.credential_process {
        builder = builder.with_credentials(Arc::new(CredentialProcess::new(command.clone())));
    }
    let region = builder
        .get_config_value(&AmazonS3ConfigKey::Region)
        .unwrap_or_else(|| "us-east-1".to_owned());
    let store = builder.build().map_err(said)?;
    let lister = Lister::S3(store.clone(), region);
    Ok(Made::of(&Arc::new(store), lister))
}

fn gcs(
    address: &Address,
    options: &StoreOptions,
    retry: RetryConfig,
    client: ClientOptions,
) -> Making {
    const ENDPOINT: &str = "https://storage.googleapis.com";
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&address.bucket)
        .with_retry(retry)
        .with_client_options(client);
    for (key, value) in keys::<GoogleConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    let base = builder
        .get_config_value(&GoogleConfigKey::BaseUrl)
        .unwrap_or_else(|| ENDPOINT.to_owned());
    let store = builder.build().map_err(said)?;
    let lister = Lister::Gcs(store.clone(), base);
    Ok(Made::of(&Arc::new(store), lister))
}

fn azure(
    address: &Address,
    options: &StoreOptions,
    retry: RetryConfig,
    client: ClientOptions,
) -> Making {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&address.bucket)
        .with_retry(retry)
        .with_client_options(client);
    for (key, value) in keys::<AzureConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(said)?;
    Ok(Made::of(&Arc::new(store), Lister::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> std::result::Result<(), String> {
        let options = StoreOptions {
            values: vec![(name.to_owned(), value.to_owned())],
            credential_process: None,
        };
        options.check()
    }

    #[test]
    fn values_that_no_request_can_carry_are_refused_unshown() {
        for name in ["aws_access_key_id", "aws_session_token", "aws_region"] {
            let why = check(name, "hidden\n").expect_err("a line break");
            assert!(why.starts_with(name) && !why.contains("hidden"), "{why}");
        }
        assert_eq!(check("aws_access_key_id", "a+/=é"), Ok(()));
        assert_eq!(check(DOCUMENT, "{\n}\n"), Ok(()));
    }

    #[test]
    fn an_endpoint_is_the_url_of_a_service() {
        for name in ENDPOINTS {
            for wrong in [
                "http://",
                "http://h:99999",
                "https://[::1",
                "http://u:hidden@h",
                "http://hidden@h",
                "http://h/?sig=hidden",
                "http://h#hidden",
            ] {
                let why = check(name, wrong).expect_err(wrong);
                assert!(!why.contains("hidden"), "{why}");
            }
            for right in [
                "http://127.0.0.1:9000",
                "https://[::1]/account",
                "https://h/",
            ] {
                assert_eq!(check(name, right), Ok(()));
            }
        }
    }
}
