//! One table extracted by the real program, and what it left: the report, the manifest, the plan and
//! the rows as other people's code reads them.

use std::path::{Path, PathBuf};

use ixtract::model::{ChunkBounds, ExecutionPlan, KeyValue, Relation, RunId};
use ixtract::state::Store;
use serde_json::Value;

use crate::ixtract::{Cli, Outcome};
use crate::readers::{self, Engine, Row};

/// A published dataset.
pub(crate) struct Published {
    /// Where it lies.
    pub(crate) dataset: PathBuf,
    /// What `run --json` printed.
    pub(crate) report: Value,
    /// Its `_manifest.json`.
    pub(crate) manifest: Value,
    state: PathBuf,
}

/// Extracts a table into the directory `name` of the user's home; any failure fails the test.
#[track_caller]
pub(crate) fn extract(
    cli: &Cli,
    source: &str,
    table: &str,
    name: &str,
    flags: &[&str],
) -> Published {
    let outcome = attempt(cli, source, table, name, flags).expect_code(0);
    let dataset = cli.home().join(name);
    let manifest = std::fs::read(dataset.join("_manifest.json")).expect("a manifest");
    Published {
        report: outcome.json(),
        manifest: serde_json::from_slice(&manifest).expect("a manifest in JSON"),
        state: cli.home().join(".local/state/ixtract/state.db"),
        dataset,
    }
}

/// The same, however it ends.
pub(crate) fn attempt(cli: &Cli, source: &str, table: &str, name: &str, flags: &[&str]) -> Outcome {
    let mut arguments = vec!["run", table, "--source", source, "--output", name, "--json"];
    arguments.extend(flags);
    cli.run(arguments)
}

/// The failure that `--json` reports.
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) fix: String,
}

impl Failure {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let error = &outcome.json()["error"];
        let line = |name: &str| {
            let line = error[name].as_str();
            line.unwrap_or_else(|| panic!("no '{name}' in {outcome:#?}"))
                .to_owned()
        };
        Self {
            what: line("what"),
            why: line("why"),
            fix: line("fix"),
        }
    }

    /// Everything the user reads.
    pub(crate) fn text(&self) -> String {
        format!("{} | {} | {}", self.what, self.why, self.fix)
    }
}

impl Published {
    /// The rows as an engine reads them.
    pub(crate) fn rows(&self, engine: Engine, order_by: &[&str]) -> Vec<Row> {
        readers::rows(engine, &self.dataset, order_by)
    }

    pub(crate) fn run(&self) -> RunId {
        RunId::stored(self.report["run"].as_str().expect("a run id"))
    }

    /// The plan as the state keeps it.
    pub(crate) fn plan(&self) -> ExecutionPlan {
        let store = Store::open(&self.state).expect("the state");
        store
            .plan(&self.run())
            .expect("a readable plan")
            .expect("a stored plan")
    }

    /// The bounds of every planned chunk, in order.
    pub(crate) fn chunks(&self) -> Vec<ChunkBounds> {
        let plan = self.plan();
        plan.spec
            .chunks
            .into_iter()
            .map(|chunk| chunk.bounds)
            .collect()
    }

    /// Fails the test unless the planned chunks tile, every file lies in its chunk, and the files
    /// come in the order of the chunks and hold `rows` rows together.
    #[track_caller]
    pub(crate) fn expect_exact_cover(&self, rows: usize) {
        let chunks = self.chunks();
        expect_tiles(&chunks);
        let files = self.manifest["files"].as_array().expect("files");
        let mut before = 0;
        let mut total = 0;
        for file in files {
            let number = file["chunk"].as_u64().expect("a chunk number");
            assert!(number >= before, "files out of order: {files:#?}");
            before = number;
            total += file["rows"].as_u64().expect("rows");
            let index = usize::try_from(number).expect("a small number") - 1;
            let bounds = serde_json::to_value(&chunks[index]).expect("JSON");
            // The one file of an empty table stands for all chunks.
            let bounds = if rows == 0 {
                Value::from("all")
            } else {
                bounds
            };
            assert_eq!(file["bounds"], bounds, "file of chunk {number}");
        }
        assert_eq!(total, rows as u64, "rows of all files");
        assert_eq!(self.manifest["rows"], rows, "rows of the manifest");
        assert_eq!(self.report["rows"], rows, "rows of the report");
    }
}

/// Fails the test unless key or block ranges join without a gap or an overlap, are open at both
/// ends, and each could hold something; of leaves, those of each. Written again here: the program
/// must not be its own judge.
#[track_caller]
fn expect_tiles(chunks: &[ChunkBounds]) {
    let nulls = chunks
        .iter()
        .filter(|bounds| **bounds == ChunkBounds::KeyNull)
        .count();
    assert!(nulls <= 1, "{nulls} chunks for NULL: {chunks:?}");
    let mut leaves: Vec<Option<&Relation>> = Vec::new();
    let ranged: Vec<&ChunkBounds> = chunks
        .iter()
        .filter(|bounds| **bounds != ChunkBounds::KeyNull)
        .collect();
    for chunks in ranged.chunk_by(|one, next| one.leaf() == next.leaf()) {
        let leaf = chunks[0].leaf();
        assert!(!leaves.contains(&leaf), "{leaf:?} twice: {chunks:?}");
        leaves.push(leaf);
        expect_joined(chunks);
    }
}

#[track_caller]
fn expect_joined(chunks: &[&ChunkBounds]) {
    let number = |block: &Option<u32>| block.map(|block| KeyValue::Int(block.into()));
    let ranges: Vec<(Option<KeyValue>, Option<KeyValue>)> = chunks
        .iter()
        .map(|bounds| match bounds {
            ChunkBounds::All | ChunkBounds::KeyNull => (None, None),
            ChunkBounds::Blocks(blocks) | ChunkBounds::LeafBlocks { blocks, .. } => {
                (number(&blocks.start), number(&blocks.end))
            }
            ChunkBounds::Key(range) => (range.lower.clone(), range.upper.clone()),
        })
        .collect();
    let (first, last) = (&ranges[0], &ranges[ranges.len() - 1]);
    assert_eq!(first.0, None, "closed below: {chunks:?}");
    assert_eq!(last.1, None, "closed above: {chunks:?}");
    for pair in ranges.windows(2) {
        assert!(
            pair[0].1.is_some() && pair[0].1 == pair[1].0,
            "a seam in {chunks:?}"
        );
    }
    for (lower, upper) in &ranges {
        let empty = match (lower, upper) {
            (Some(KeyValue::Int(lower)), Some(KeyValue::Int(upper))) => lower >= upper,
            (Some(lower), Some(upper)) => lower == upper,
            _ => false,
        };
        assert!(!empty, "an empty range in {chunks:?}");
    }
}

/// A URL for a SQLite file.
pub(crate) fn sqlite_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}
