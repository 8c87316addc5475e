//! File formats and their options: `--format`, `--compression` and what each format adds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// Comma-separated values, RFC 4180.
    Csv,
}

impl Format {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

/// `--compression`; `Display` is the command line's spelling, and serde uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// No compression.
    None,
    /// Snappy, Parquet's default here.
    Snappy,
    /// Zstandard with its level, 1 to 22.
    Zstd(i32),
    /// LZ4 (Parquet's LZ4_RAW).
    Lz4,
    /// Gzip.
    Gzip,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Snappy => f.write_str("snappy"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Gzip => f.write_str("gzip"),
        }
    }
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            "gzip" => Ok(Self::Gzip),
            // 3 is zstd's own default level.
            "zstd" => Ok(Self::Zstd(3)),
            _ => match text.strip_prefix("zstd:").map(str::parse) {
                Some(Ok(level)) if (1..=22).contains(&level) => Ok(Self::Zstd(level)),
                _ => Err(format!(
                    "'{text}' is no compression; known are none, snappy, zstd, zstd:1 to zstd:22, lz4, gzip"
                )),
            },
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.to_string()
    }
}

/// The compression of a whole file, for formats that have none inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Compression", into = "Compression")]
pub enum FileCompression {
    /// No compression.
    #[default]
    None,
    /// Gzip, `.gz`.
    Gzip,
    /// Zstandard with its level, 1 to 22; `.zst`.
    Zstd(i32),
}

impl TryFrom<Compression> for FileCompression {
    type Error = String;

    fn try_from(compression: Compression) -> Result<Self, String> {
        match compression {
            Compression::None => Ok(Self::None),
            Compression::Gzip => Ok(Self::Gzip),
            Compression::Zstd(level) => Ok(Self::Zstd(level)),
            Compression::Snappy | Compression::Lz4 => Err(format!(
                "{compression} compresses pages inside Parquet files; whole files take none, gzip or zstd"
            )),
        }
    }
}

impl From<FileCompression> for Compression {
    fn from(compression: FileCompression) -> Compression {
        match compression {
            FileCompression::None => Compression::None,
            FileCompression::Gzip => Compression::Gzip,
            FileCompression::Zstd(level) => Compression::Zstd(level),
        }
    }
}

/// Parquet's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParquetOptions {
    /// Of pages.
    pub compression: Compression,
    /// `--row-group-rows`: most rows of a row group.
    pub row_group_rows: u64,
    /// `--row-group-bytes`: a row group ends when its encoded size reaches this.
    pub row_group_bytes: u64,
    /// `--max-file-size`: a file ends before it is longer than this, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_bytes: Option<u64>,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Snappy,
            row_group_rows: 1_048_576,
            row_group_bytes: 64_000_000,
            max_file_bytes: None,
        }
    }
}

/// CSV's options.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CsvOptions {
    /// Of each file.
    pub compression: FileCompression,
    /// `--csv-null`: what stands, unquoted, for NULL.
    pub null: String,
    /// `--csv-delimiter`: an ASCII character.
    pub delimiter: char,
    /// `--csv-quote-all`: every value is quoted; NULL never is.
    pub quote_all: bool,
    /// Whether each file begins with the columns' names; not with `--csv-no-header`.
    pub header: bool,
    /// `--max-file-size`: a file ends before it is longer than this, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_bytes: Option<u64>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            compression: FileCompression::None,
            null: String::new(),
            delimiter: ',',
            quote_all: false,
            header: true,
            max_file_bytes: None,
        }
    }
}

impl CsvOptions {
    /// Checks that a reader can tell delimiter, NULL, quotes and ends of lines apart: PostgreSQL's
    /// own rules for `COPY`.
    ///
    /// # Errors
    /// One line on what collides.
    pub fn check(&self) -> Result<(), String> {
        const RESERVED: [char; 4] = ['"', '\n', '\r', '\0'];
        if !self.delimiter.is_ascii() || RESERVED.contains(&self.delimiter) {
            return Err(format!(
                "the delimiter {:?} must be one ASCII character that is no quote and no end of line",
                self.delimiter
            ));
        }
        let stray = |c: char| c == self.delimiter || RESERVED.contains(&c);
        match self.null.chars().find(|c| stray(*c)) {
            Some(c) => Err(format!(
                "the text for NULL, {:?}, must not contain {c:?}",
                self.null
            )),
            None => Ok(()),
        }
    }
}

/// The least that `--max-file-size` may be: smaller files are all overhead.
pub const MIN_FILE_BYTES: u64 = 1_000_000;

/// A format and its options. In JSON both are one object, `format` beside the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum FormatOptions {
    /// Parquet.
    Parquet(ParquetOptions),
    /// CSV.
    Csv(CsvOptions),
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self::Parquet(ParquetOptions::default())
    }
}

impl FormatOptions {
    /// Which format.
    pub fn format(&self) -> Format {
        match self {
            Self::Parquet(_) => Format::Parquet,
            Self::Csv(_) => Format::Csv,
        }
    }

    /// The compression, whatever it compresses.
    pub fn compression(&self) -> Compression {
        match self {
            Self::Parquet(options) => options.compression,
            Self::Csv(options) => options.compression.into(),
        }
    }

    /// The most bytes of a file, where there is a limit.
    pub fn max_file_bytes(&self) -> Option<u64> {
        match self {
            Self::Parquet(options) => options.max_file_bytes,
            Self::Csv(options) => options.max_file_bytes,
        }
    }

    /// Checks the options against each other.
    ///
    /// # Errors
    /// One line on what does not go together.
    pub fn check(&self) -> Result<(), String> {
        if let Some(bytes) = self
            .max_file_bytes()
            .filter(|bytes| *bytes < MIN_FILE_BYTES)
        {
            return Err(format!(
                "files of at most {bytes} bytes are too small; the least is 1 MB"
            ));
        }
        match self {
            Self::Parquet(_) => Ok(()),
            Self::Csv(options) => options.check(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_holds_format_and_options_and_old_ones_are_still_read() {
        let old =
            r#"{"format":"parquet","compression":"zstd:5","row_group_rows":7,"row_group_bytes":8}"#;
        let read: FormatOptions = serde_json::from_str(old).unwrap();
        assert_eq!(read.compression(), Compression::Zstd(5));
        assert_eq!(serde_json::to_string(&read).unwrap(), old);

        let csv = FormatOptions::Csv(CsvOptions {
            compression: FileCompression::Gzip,
            null: "\\N".to_owned(),
            ..CsvOptions::default()
        });
        let text = serde_json::to_string(&csv).unwrap();
        assert_eq!(
            text,
            r#"{"format":"csv","compression":"gzip","null":"\\N","delimiter":",","quote_all":false,"header":true}"#
        );
        assert_eq!(serde_json::from_str::<FormatOptions>(&text).unwrap(), csv);
        let snappy = text.replace("gzip", "snappy");
        assert!(serde_json::from_str::<FormatOptions>(&snappy).is_err());
    }

    #[test]
    fn what_a_reader_could_not_tell_apart_is_refused() {
        let with = |delimiter, null: &str| CsvOptions {
            delimiter,
            null: null.to_owned(),
            ..CsvOptions::default()
        };
        for (delimiter, null) in [(',', ""), ('\t', "\\N"), (';', "a,b"), (' ', "NULL")] {
            assert_eq!(with(delimiter, null).check(), Ok(()));
        }
        for delimiter in ['"', '\n', '\r', '\0', 'é'] {
            assert!(with(delimiter, "").check().is_err(), "{delimiter:?}");
        }
        for null in ["a,b", "\"", "a\nb", "\r"] {
            assert!(with(',', null).check().is_err(), "{null:?}");
        }
    }
}
