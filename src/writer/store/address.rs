//! Where on an object store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

use std::fmt;

use object_store::path::Path;

/// Which service speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Amazon S3, and whatever speaks its language.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Service; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// What the service calls the thing that holds objects.
    pub(in crate::writer) fn container(self) -> &'static str {
        match self {
            Self::Azure => "container",
            Self::S3 | Self::Gcs => "bucket",
        }
    }
}

/// A prefix in a bucket. What stands after the bucket is the key's own text: nothing in it is
/// decoded, `%`, `#` and `?` stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The service.
    pub service: Service,
    /// The bucket or container.
    pub bucket: String,
    /// The prefix; empty for the whole bucket.
    pub(super) prefix: Path,
}

impl Address {
    /// The service that a text names by its scheme, if it names one.
    pub fn service_of(text: &str) -> Option<Service> {
        let (scheme, _) = text.split_once("://")?;
        Service::ALL.into_iter().find(|s| s.scheme() == scheme)
    }

    /// Reads a URL. One slash at the end of the prefix means nothing; any other is the key's own.
    ///
    /// # Errors
    /// One line on what is wrong with it: an unknown scheme, no bucket, or a key that no client
    /// could address (an empty, `.` or `..` part, a control character).
    pub fn parse(text: &str) -> Result<Self, String> {
        let service = Self::service_of(text).ok_or("known are s3://, gs:// and az://")?;
        let rest = text.get(service.scheme().len() + 3..).unwrap_or_default();
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._$".contains(c);
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(format!(
                "'{}' is no name of a {}",
                // An address with a login in it must not show the secret.
                bucket.rsplit('@').next().unwrap_or_default(),
                service.container()
            ));
        }
        if key.starts_with('/') || key.ends_with("//") {
            // The library would read them away, and write to another key than was named.
            return Err(format!("'{key}' has a part that is empty"));
        }
        let key = key.strip_suffix('/').unwrap_or(key);
        let prefix = Path::parse(key)
            .map_err(|_| format!("'{key}' has a part that is empty, '.', '..' or no text"))?;
        Ok(Self {
            service,
            bucket: bucket.to_owned(),
            prefix,
        })
    }

    /// The last part of the prefix, or the bucket: the dataset's name.
    pub(super) fn name(&self) -> &str {
        self.prefix.filename().unwrap_or(&self.bucket)
    }

    /// The key of a path inside the dataset; the empty path is the prefix itself. The path's text is
    /// the key's, as far as a key can have it.
    pub(super) fn key(&self, path: &str) -> Path {
        let text = match self.prefix.as_ref() {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        };
        Path::parse(text.trim_end_matches('/')).unwrap_or_else(|_| self.prefix.clone().join(path))
    }

    /// The path inside the dataset of a key; none for a key outside.
    pub(super) fn inside(&self, key: &Path) -> Option<String> {
        let text = key.as_ref();
        match self.prefix.as_ref() {
            "" => Some(text.to_owned()),
            prefix => text
                .strip_prefix(prefix)?
                .strip_prefix('/')
                .map(str::to_owned),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.bucket)?;
        match self.prefix.as_ref() {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_stands() {
        for key in ["", "a", "a b/ü/😀", "100%/a%20b", "q?x=1#frag", "[a]*{b}~"] {
            let text = format!("s3://bucket/{key}");
            let address = Address::parse(&text).unwrap();
            assert_eq!(address.prefix.as_ref(), key);
            let part = address.key("_runs/rx-1/part.parquet");
            assert_eq!(
                address.inside(&part).as_deref(),
                Some("_runs/rx-1/part.parquet")
            );
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        let address = Address::parse("gs://b/a/").unwrap();
        assert_eq!(address.prefix.as_ref(), "a");
        assert_eq!(address.inside(&Path::parse("ab/c").unwrap()), None);
        assert_eq!(address.name(), "a");
        assert_eq!(Address::parse("az://c").unwrap().name(), "c");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for text in [
            "s3://",
            "s3:///a",
            "s3://b/a//c",
            "s3://b//a",
            "s3://b/a//",
            "s3://b//",
            "s3://b/../c",
            "s3://b/a\nb",
            "http://b/c",
            "out/dir",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let error = Address::parse("s3://key:hidden@bucket/a").unwrap_err();
        assert!(!error.contains("hidden"), "{error}");
    }
}
