//! A place of its own in the bucket that all tests share, looked into by other people's code.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ixtract::writer::store::StoreOptions;
use tempfile::TempDir;

use crate::ixtract::Cli;
use crate::setting;

/// Every store, by the names that `tests/store.py` knows.
const STORES: [&str; 4] = ["seaweed", "moto", "gcs", "azure"];

/// The key of azurite's only account, which is no secret.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A prefix in the bucket of one store.
pub(crate) struct Bucket {
    store: &'static str,
    bucket: String,
    prefix: String,
}

impl Bucket {
    /// On SeaweedFS.
    pub(crate) fn new() -> Self {
        Self::at("seaweed", "")
    }

    /// On moto.
    pub(crate) fn on_moto() -> Self {
        Self::at("moto", "")
    }

    /// A whole bucket on SeaweedFS: the prefix is empty.
    pub(crate) fn whole() -> Self {
        let mut whole = Self::new();
        whole.bucket = format!("whole-{}", std::mem::take(&mut whole.prefix));
        whole.look(&["bucket", whole.store]);
        whole
    }

    /// On SeaweedFS, the prefix ending so.
    pub(crate) fn ending(end: &str) -> Self {
        Self::at("seaweed", end)
    }

    /// One on every store.
    pub(crate) fn everywhere() -> [Self; 4] {
        STORES.map(|store| Self::at(store, ""))
    }

    /// One on every store but moto, which takes signatures over unusual prefixes for wrong; the
    /// prefix ends as told.
    pub(crate) fn everywhere_ending(end: &str) -> [Self; 3] {
        ["seaweed", "gcs", "azure"].map(|store| Self::at(store, end))
    }

    /// One on each store of a kind, by its name in `tests/store.py`.
    pub(crate) fn on(store: &'static str) -> Self {
        Self::at(store, "")
    }

    /// Whether uploads that are not completed can be listed there, and stay until somebody ends
    /// them.
    pub(crate) fn keeps_uploads(&self) -> bool {
        self.store != "azure"
    }

    fn at(store: &'static str, end: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            store,
            bucket: "lake".to_owned(),
            prefix: format!("{}-{number}{end}", std::process::id()),
        }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match self.store {
            "gcs" => "gs",
            "azure" => "az",
            _ => "s3",
        };
        format!("{scheme}://{}/{}", self.bucket, self.prefix)
    }

    /// The store's own URL.
    pub(crate) fn endpoint(&self) -> String {
        setting(match self.store {
            "moto" => "IXTRACT_TEST_MOTO",
            "gcs" => "IXTRACT_TEST_GCS",
            "azure" => "IXTRACT_TEST_AZURE",
            _ => "IXTRACT_TEST_S3",
        })
    }

    /// The store, as `tests/store.py` calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.store
    }

    /// The port that the store listens on.
    pub(crate) fn port(&self) -> u16 {
        let endpoint = self.endpoint();
        let port = endpoint
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        port.expect("a port")
    }

    /// A program that finds the store and is known to it.
    pub(crate) fn cli(&self) -> Cli {
        let (key, secret) = self.key();
        match self.store {
            "gcs" => Cli::new()
                .env("STORAGE_EMULATOR_HOST", self.endpoint())
                .env("GOOGLE_SERVICE_ACCOUNT", key),
            "azure" => Cli::new().env(
                "AZURE_STORAGE_CONNECTION_STRING",
                format!(
                    "AccountName={key};AccountKey={secret};BlobEndpoint={}",
                    self.endpoint()
                ),
            ),
            _ => Cli::new()
                .env("AWS_ENDPOINT_URL", self.endpoint())
                .env("AWS_ACCESS_KEY_ID", key)
                .env("AWS_SECRET_ACCESS_KEY", secret),
        }
    }

    /// The same for the library: the options that it finds the store by.
    pub(crate) fn options(&self) -> StoreOptions {
        let (key, secret) = self.key();
        let values = match self.store {
            "gcs" => vec![
                ("google_base_url", self.endpoint()),
                ("google_service_account", key),
            ],
            "azure" => vec![
                ("azure_storage_account_name", key),
                ("azure_storage_account_key", secret),
                ("azure_storage_endpoint", self.endpoint()),
            ],
            _ => vec![
                ("aws_endpoint_url", self.endpoint()),
                ("aws_access_key_id", key),
                ("aws_secret_access_key", secret),
            ],
        };
        let values = values.into_iter();
        StoreOptions {
            values: values
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            credential_process: None,
        }
    }

    /// A key of the store, and its secret.
    pub(crate) fn key(&self) -> (String, String) {
        match self.store {
            "moto" => {
                let both = setting("IXTRACT_TEST_MOTO_KEY");
                let (key, secret) = both.split_once(':').expect("a key and a secret");
                (key.to_owned(), secret.to_owned())
            }
            "gcs" => (setting("IXTRACT_TEST_GCS_KEY"), "PRIVATE KEY".to_owned()),
            "azure" => ("devstoreaccount1".to_owned(), AZURITE_KEY.to_owned()),
            _ => ("ixtract-tests".to_owned(), "only-for-tests".to_owned()),
        }
    }

    /// Everything below the prefix: names inside it, and sizes.
    pub(crate) fn keys(&self) -> BTreeMap<String, u64> {
        let inside = |line: &str| {
            let (size, key) = line.split_once('\t')?;
            let name = key.strip_prefix(&self.below(""))?;
            Some((name.to_owned(), size.parse().ok()?))
        };
        self.ask("keys", &[]).lines().filter_map(inside).collect()
    }

    /// The runs that have objects.
    pub(crate) fn runs(&self) -> BTreeSet<String> {
        let run = |key: &String| Some(key.strip_prefix("_runs/")?.split('/').next()?.to_owned());
        self.keys().keys().filter_map(run).collect()
    }

    /// Uploads that were begun and neither completed nor ended.
    pub(crate) fn uploads(&self) -> Vec<String> {
        let listed = self.ask("uploads", &[]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Ends the uploads of a key, as a rule of the bucket would.
    pub(crate) fn end_upload(&self, key: &str) {
        self.look(&["end", self.store, key]);
    }

    /// A header that comes with an object.
    pub(crate) fn header(&self, name: &str, header: &str) -> String {
        let key = self.below(name);
        let printed = self.look(&["header", self.store, &key, header]);
        printed.trim().to_owned()
    }

    /// A copy of everything below the prefix.
    pub(crate) fn fetch(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory");
        self.ask("fetch", &[copy.path().to_str().expect("a plain name")]);
        copy
    }

    /// Puts an object beside what is there.
    pub(crate) fn put(&self, name: &str, text: &str) {
        self.tell("put", name, &[text]);
    }

    /// Puts an object whose key begins as the prefix does, and is not below it.
    pub(crate) fn put_beside(&self, end: &str, text: &str) {
        self.look(&["put", self.store, &format!("{}{end}", self.prefix), text]);
    }

    /// Removes an object.
    pub(crate) fn remove(&self, name: &str) {
        self.tell("remove", name, &[]);
    }

    /// The key of a name below the prefix.
    fn below(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn ask(&self, command: &str, more: &[&str]) -> String {
        self.look(&[&[command, self.store, &self.below("")], more].concat())
    }

    fn tell(&self, command: &str, name: &str, more: &[&str]) {
        self.look(&[&[command, self.store, &self.below(name)], more].concat());
    }

    fn look(&self, arguments: &[&str]) -> String {
        looker(&self.bucket, arguments)
    }
}

/// A user of moto's who may do everything but these actions: its key and secret.
pub(crate) fn user_without(actions: &[&str]) -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("user-{}-{number}", std::process::id());
    let both = looker("lake", &[&["user", &name], actions].concat());
    let (key, secret) = both.trim().split_once(':').expect("a key and a secret");
    (key.to_owned(), secret.to_owned())
}

/// Runs `tests/store.py`.
fn looker(bucket: &str, arguments: &[&str]) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store.py");
    let output = Command::new(setting("IXTRACT_TEST_STORE_PYTHON"))
        .arg(program)
        .env("IXTRACT_TEST_BUCKET", bucket)
        .args(arguments)
        .output()
        .expect("python");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}
