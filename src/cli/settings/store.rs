//! Where a dataset is, and for one on an object store as whom and how it is reached: flags, then the
//! variables and files that each cloud's own tools read.

mod aws;

use std::path::PathBuf;

use super::Environment;
use crate::cli::args::ObjectStoreArgs;
use crate::error::{ExitCode, Failure};
use crate::writer::Location;
use crate::writer::store::{Address, Service, Store, StoreOptions};

/// How object stores are reached, settled for each of them when a dataset is on it.
#[derive(Clone, Debug)]
pub struct ObjectStoreSettings {
    args: ObjectStoreArgs,
    environment: Environment,
}

impl ObjectStoreSettings {
    /// From flags and environment.
    pub fn settle(args: &ObjectStoreArgs, environment: &Environment) -> Self {
        Self {
            args: args.clone(),
            environment: environment.clone(),
        }
    }

    /// The place that a text names: a URL of an object store, else a directory. Nothing is sent.
    ///
    /// # Errors
    /// 64 for a URL that makes no sense, 77 where there are no credentials, 78 for a wrong profile
    /// or option.
    pub fn locate(&self, path: PathBuf) -> Result<Location, Failure> {
        let Some((text, service)) = path
            .to_str()
            .and_then(|text| Some((text, Address::service_of(text)?)))
        else {
            return Ok(Location::Local(without_scheme(path)));
        };
        let address = Address::parse(text).map_err(|why| {
            Failure::new(
                ExitCode::Usage,
                format!("{} is no place on a store", path.display()),
                why,
                format!("write {}://{}/prefix", service.scheme(), "NAME"),
            )
        })?;
        let options = match service {
            Service::S3 => aws::options(&self.args, &self.environment)?,
            Service::Gcs => self.google(),
            Service::Azure => self.azure(),
        };
        Ok(Location::Store(Store::new(address, &options)?))
    }

    /// The first variable that is set, under the name of an option.
    fn first(&self, option: &str, variables: &[&str]) -> Option<(String, String)> {
        let value = variables
            .iter()
            .find_map(|name| self.environment.get(name))?;
        Some((option.to_owned(), value.to_owned()))
    }

    fn google(&self) -> StoreOptions {
        let mut values: Vec<_> = [
            self.first("google_service_account", &["GOOGLE_SERVICE_ACCOUNT"]),
            self.first(
                "google_service_account_key",
                &["GOOGLE_SERVICE_ACCOUNT_KEY"],
            ),
            self.first(
                "google_application_credentials",
                &["GOOGLE_APPLICATION_CREDENTIALS"],
            ),
            self.first("google_base_url", &["STORAGE_EMULATOR_HOST"]),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.given(&mut values, "google_base_url", "google_skip_signature");
        StoreOptions {
            values,
            credential_process: None,
        }
    }

    fn azure(&self) -> StoreOptions {
        let mut values: Vec<_> = self
            .environment
            .get("AZURE_STORAGE_CONNECTION_STRING")
            .map(connection_string)
            .unwrap_or_default();
        let options = [
            (
                "azure_storage_account_name",
                &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"][..],
            ),
            (
                "azure_storage_account_key",
                &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"],
            ),
            ("azure_storage_sas_token", &["AZURE_STORAGE_SAS_TOKEN"]),
            ("azure_client_id", &["AZURE_CLIENT_ID"]),
            ("azure_client_secret", &["AZURE_CLIENT_SECRET"]),
            ("azure_tenant_id", &["AZURE_TENANT_ID"]),
            (
                "azure_federated_token_file",
                &["AZURE_FEDERATED_TOKEN_FILE"],
            ),
        ];
        values.extend(
            options
                .iter()
                .filter_map(|(option, variables)| self.first(option, variables)),
        );
        self.given(
            &mut values,
            "azure_storage_endpoint",
            "azure_skip_signature",
        );
        StoreOptions {
            values,
            credential_process: None,
        }
    }

    /// What the flags say, over all else.
    fn given(&self, values: &mut Vec<(String, String)>, endpoint: &str, unsigned: &str) {
        if let Some(url) = &self.args.store_endpoint {
            values.retain(|(name, _)| name != endpoint);
            values.push((endpoint.to_owned(), url.clone()));
        }
        if self.args.store_unsigned {
            values.push((unsigned.to_owned(), "true".to_owned()));
        }
    }
}

/// A directory's path; as a URL, `file:///a` has an empty host between the second and third slash.
fn without_scheme(path: PathBuf) -> PathBuf {
    let text = path.to_str().and_then(|text| text.strip_prefix("file:"));
    match text.map(|text| text.strip_prefix("//").unwrap_or(text)) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

/// The parts of Azure's `AccountName=…;AccountKey=…` that are understood.
fn connection_string(text: &str) -> Vec<(String, String)> {
    let part = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let option = match name.trim() {
            "AccountName" => "azure_storage_account_name",
            "AccountKey" => "azure_storage_account_key",
            "SharedAccessSignature" => "azure_storage_sas_token",
            "BlobEndpoint" => "azure_storage_endpoint",
            _ => return None,
        };
        Some((option.to_owned(), value.trim_end_matches('/').to_owned()))
    };
    text.split(';').filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)], args: ObjectStoreArgs) -> ObjectStoreSettings {
        ObjectStoreSettings::settle(&args, &Environment::of(variables))
    }

    #[test]
    fn a_path_without_a_known_scheme_is_a_directory() {
        for path in ["out", "/a/b", "s3:/b", "http://h/x"] {
            let found = settings(&[], ObjectStoreArgs::default()).locate(path.into());
            assert!(matches!(found, Ok(Location::Local(_))), "{path}");
        }
        let failure = settings(&[], ObjectStoreArgs::default()).locate("s3:///x".into());
        assert_eq!(failure.expect_err("no bucket").exit, ExitCode::Usage);
    }

    #[test]
    fn azures_variables_have_two_spellings_and_one_string() {
        let string = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=c2VjcmV0==;BlobEndpoint=http://h/a/;";
        let found = settings(
            &[
                ("AZURE_STORAGE_CONNECTION_STRING", string),
                ("AZURE_STORAGE_KEY", "k"),
            ],
            ObjectStoreArgs {
                store_endpoint: Some("http://other".to_owned()),
                ..ObjectStoreArgs::default()
            },
        );
        let values = found.azure().values;
        let of = |name: &str| {
            let found = values.iter().rfind(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(of("azure_storage_account_name"), Some("a"));
        assert_eq!(of("azure_storage_account_key"), Some("k"));
        assert_eq!(of("azure_storage_endpoint"), Some("http://other"));
        assert!(!format!("{:?}", found.azure()).contains("c2VjcmV0"));
    }
}
