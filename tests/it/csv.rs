//! CSV: PostgreSQL loads it back into an equal table, and Python and DuckDB read the server's texts.

mod postgres; // Out of PostgreSQL, and back into it.
mod sqlite; // Out of SQLite.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ixtract::Cli;
use crate::readers::Row;
use crate::setting;

/// The flags of one way to write CSV.
#[derive(Clone, Copy, Debug, Default)]
struct Dialect {
    compression: Option<&'static str>,
    null: Option<&'static str>,
    delimiter: Option<&'static str>,
    quote_all: bool,
    no_header: bool,
}

impl Dialect {
    /// `--format csv` and what else this way needs.
    fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec!["--format", "csv"];
        for (flag, value) in [
            ("--compression", self.compression),
            ("--csv-null", self.null),
            ("--csv-delimiter", self.delimiter),
        ] {
            flags.extend(value.into_iter().flat_map(|value| [flag, value]));
        }
        for (flag, given) in [
            ("--csv-quote-all", self.quote_all),
            ("--csv-no-header", self.no_header),
        ] {
            flags.extend(given.then_some(flag));
        }
        flags
    }

    fn delimiter(&self) -> &str {
        match self.delimiter {
            Some("\\t") => "\t",
            Some(other) => other,
            None => ",",
        }
    }

    fn extension(&self) -> &'static str {
        match self.compression {
            Some("gzip") => ".csv.gz",
            Some(zstd) if zstd.starts_with("zstd") => ".csv.zst",
            _ => ".csv",
        }
    }
}

/// Every option, and several together.
const DIALECTS: [Dialect; 6] = {
    const ORDINARY: Dialect = Dialect {
        compression: None,
        null: None,
        delimiter: None,
        quote_all: false,
        no_header: false,
    };
    [
        ORDINARY,
        Dialect {
            compression: Some("gzip"),
            null: Some("\\N"),
            ..ORDINARY
        },
        Dialect {
            compression: Some("zstd"),
            quote_all: true,
            ..ORDINARY
        },
        Dialect {
            compression: Some("zstd:19"),
            delimiter: Some("\\t"),
            ..ORDINARY
        },
        Dialect {
            delimiter: Some("1"),
            null: Some("NULL"),
            no_header: true,
            ..ORDINARY
        },
        Dialect {
            delimiter: Some("|"),
            null: Some("t"),
            quote_all: true,
            ..ORDINARY
        },
    ]
};

/// The files of a dataset, once `ixtract verify` has found it whole, as `ixtract files` lists them.
pub(crate) fn files(cli: &Cli, dataset: &str) -> Vec<PathBuf> {
    cli.run(["verify", dataset]).expect_code(0);
    let listed = cli.run(["files", dataset]).expect_code(0).stdout;
    listed.lines().map(|line| cli.home().join(line)).collect()
}

/// A file's text, decompressed by what its name says.
pub(crate) fn text(file: &Path) -> String {
    let open = || File::open(file).expect("a file");
    let mut text = String::new();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(open()).read_to_string(&mut text),
        Some("zst") => zstd::Decoder::new(open())
            .expect("a frame")
            .read_to_string(&mut text),
        _ => open().read_to_string(&mut text),
    }
    .expect("UTF-8");
    text
}

/// What other people's code reads: the header, where there is one, then the rows in the order of
/// the first column, an integer.
fn read(engine: &str, dialect: &Dialect, files: &[PathBuf]) -> Vec<Row> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_csv.py");
    let mut command = Command::new(setting("IXTRACT_TEST_PYTHON"));
    command.arg(program).args(files).args(["--engine", engine]);
    command.args(["--delimiter", dialect.delimiter()]);
    command.arg(format!("--null={}", dialect.null.unwrap_or_default()));
    command.args(dialect.no_header.then_some("--no-header"));
    let output = command.output().expect("python");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    let mut rows: Vec<Row> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
        .collect();
    let first = usize::from(!dialect.no_header);
    rows[first..].sort_by_cached_key(crate::extraction::sort_key);
    rows
}
