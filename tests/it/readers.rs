//! Parquet read back by other people's code: pyarrow, DuckDB and Polars, through `tests/read.py`,
//! whose head says how each value is written as text.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::setting;

/// A row's values as canonical text.
pub(crate) type Row = Vec<Option<String>>;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Pyarrow,
    DuckDb,
    Polars,
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [Self::Pyarrow, Self::DuckDb, Self::Polars];

    fn name(self) -> &'static str {
        match self {
            Self::Pyarrow => "pyarrow",
            Self::DuckDb => "duckdb",
            Self::Polars => "polars",
        }
    }
}

/// A column, as an engine and the file's footer describe it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// In the engine's own words.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) physical: String,
    /// `None` in words where there is none.
    pub(crate) logical: String,
    pub(crate) nullable: bool,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A row group's entry in a footer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RowGroup {
    pub(crate) file: String,
    pub(crate) row_group: usize,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) columns: BTreeMap<String, ColumnChunk>,
}

/// A row group's part of a column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ColumnChunk {
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) nulls: Option<u64>,
    pub(crate) compression: String,
    pub(crate) encodings: Vec<String>,
}

/// All rows of a file or dataset; in the order of its files where `order_by` is empty.
pub(crate) fn rows(engine: Engine, dataset: &Path, order_by: &[&str]) -> Vec<Row> {
    let order_by = order_by.join(",");
    let mut options = vec!["--engine", engine.name()];
    if !order_by.is_empty() {
        options.extend(["--order-by", &order_by]);
    }
    read(dataset, &options)
}

/// The columns of a file or dataset.
pub(crate) fn schema(engine: Engine, dataset: &Path) -> Vec<Column> {
    read(dataset, &["--engine", engine.name(), "--schema"])
}

/// The row groups of a file or dataset, in the order of its files.
pub(crate) fn row_groups(dataset: &Path) -> Vec<RowGroup> {
    read(dataset, &["--stats"])
}

fn read<T: DeserializeOwned>(dataset: &Path, options: &[&str]) -> Vec<T> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read.py");
    let mut command = Command::new(setting("IXTRACT_TEST_PYTHON"));
    command.arg(program).arg(dataset).args(options);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// Two files of a table with a value of every kind and a row of NULLs, newest row first.
    const EVERY_KIND: &str = r#"
import datetime, decimal, sys
import pyarrow as pa, pyarrow.parquet as pq

def view(value, storage, type_):
    return pa.array([value, None], storage).view(type_)

note = {"source_type": "integer"}
table = pa.table([
    pa.array([2, 1], pa.int32()),
    pa.array([2**64 - 1, None], pa.uint64()),
    pa.array([0.1, None], pa.float32()),
    pa.array([-0.0, None]),
    pa.array([float("nan"), None]),
    pa.array([decimal.Decimal("-12345678901234567890.10000000"), None], pa.decimal128(38, 8)),
    view(2932897, pa.int32(), pa.date32()),
    view(-62198755200000000, pa.int64(), pa.timestamp("us")),
    view(-1, pa.int64(), pa.timestamp("us", "UTC")),
    view(1, pa.int64(), pa.timestamp("ns")),
    view(86399999999, pa.int64(), pa.time64("us")),
    pa.array([b"\x00\xff", None]),
    pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16)), None], pa.binary(16))),
    pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None])),
    pa.array(['é"\\\n', None]),
    pa.array([[1, None], None], pa.list_(pa.int32())),
    pa.array([True, None]),
], schema=None, names=[
    "id", "u64", "f32", "minus_zero", "nan", "decimal", "date", "bc", "utc", "ns", "time",
    "binary", "uuid", "json", "text", "list", "a.b",
])
id_field = pa.field("id", pa.int32(), nullable=False, metadata=note)
table = table.cast(table.schema.set(0, id_field))
for number, part in enumerate([table.slice(0, 1), table.slice(1, 1)]):
    pq.write_table(part, f"{sys.argv[1]}/part-{number}.parquet", compression="snappy")
"#;

    fn python(script: &str, directory: &Path) {
        let mut command = Command::new(setting("IXTRACT_TEST_PYTHON"));
        let output = command
            .args(["-c", script])
            .arg(directory)
            .output()
            .expect("python");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// In a directory whose name would be a pattern to a careless reader.
    fn dataset() -> (TempDir, PathBuf) {
        let home = tempfile::tempdir().expect("a directory");
        let dataset = home.path().join("a[b]*");
        std::fs::create_dir(&dataset).expect("a directory");
        python(EVERY_KIND, &dataset);
        (home, dataset)
    }

    #[test]
    fn every_engine_reads_the_same_text() {
        let (_home, dataset) = dataset();
        let first = [
            "2",
            "18446744073709551615",
            "0.1",
            "-0.0",
            "nan",
            "-12345678901234567890.10000000",
            "10000-01-01",
            "-0001-01-01T00:00:00.000000",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000001",
            "23:59:59.999999",
            "00ff",
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
            r#"{"a": 1}"#,
            "é\"\\\n",
            r#"["1",null]"#,
            "true",
        ];
        let first: Row = first.map(|text| Some(text.to_owned())).into();
        let mut second: Row = vec![None; first.len()];
        second[0] = Some("1".to_owned());
        for engine in Engine::ALL {
            assert_eq!(
                rows(engine, &dataset, &[]),
                [first.clone(), second.clone()],
                "{engine:?}"
            );
            let by_id = rows(engine, &dataset, &["id", "uuid"]);
            assert_eq!(by_id, [second.clone(), first.clone()], "{engine:?}");
        }
    }

    #[test]
    fn the_schema_is_the_engines_and_the_footers() {
        let (_home, dataset) = dataset();
        let kinds = Engine::ALL.map(|engine| schema(engine, &dataset)[0].kind.clone());
        assert_eq!(kinds, ["int32", "INTEGER", "Int32"]);
        let columns = schema(Engine::Pyarrow, &dataset);
        let id = Column {
            name: "id".to_owned(),
            kind: "int32".to_owned(),
            physical: "INT32".to_owned(),
            logical: "None".to_owned(),
            nullable: false,
            metadata: BTreeMap::from([("source_type".to_owned(), "integer".to_owned())]),
        };
        assert_eq!(columns[0], id);
        let uuid = columns
            .iter()
            .find(|column| column.name == "uuid")
            .expect("a column");
        assert_eq!((uuid.logical.as_str(), uuid.nullable), ("UUID", true));
    }

    #[test]
    fn row_groups_show_their_statistics() {
        let (_home, dataset) = dataset();
        let groups = row_groups(&dataset);
        assert_eq!(groups.len(), 2);
        assert_eq!(
            (groups[0].file.as_str(), groups[0].row_group),
            ("part-0.parquet", 0)
        );
        assert_eq!(groups[0].rows, 1);
        assert!(groups[0].bytes > 0);
        let text = &groups[0].columns["text"];
        assert_eq!(
            (text.min.as_deref(), text.nulls),
            (Some("é\"\\\n"), Some(0))
        );
        assert_eq!(text.max, text.min);
        assert_eq!(text.compression, "SNAPPY");
        assert!(text.encodings.contains(&"RLE_DICTIONARY".to_owned()));
        assert_eq!(groups[1].columns["text"].nulls, Some(1));
    }

    #[test]
    fn a_manifest_says_which_files_count() {
        let (_home, dataset) = dataset();
        let manifest = r#"{"files": [{"path": "part-1.parquet"}]}"#;
        std::fs::write(dataset.join("_manifest.json"), manifest).expect("a manifest");
        for engine in Engine::ALL {
            let ids: Vec<_> = rows(engine, &dataset, &[])
                .into_iter()
                .map(|row| row[0].clone())
                .collect();
            assert_eq!(ids, [Some("1".to_owned())], "{engine:?}");
        }
    }

    #[test]
    #[should_panic(expected = "has another schema")]
    fn files_of_different_schemas_are_no_dataset() {
        let (_home, dataset) = dataset();
        python(
            "import sys, pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({'other': [1]}), sys.argv[1] + '/part-2.parquet')",
            &dataset,
        );
        rows(Engine::Pyarrow, &dataset, &[]);
    }

    #[test]
    #[should_panic(expected = "no Parquet files")]
    fn an_empty_directory_is_no_dataset() {
        rows(
            Engine::Pyarrow,
            tempfile::tempdir().expect("a directory").path(),
            &[],
        );
    }
}
