//! The history as a file: copied, checked, pruned, moved, rebuilt.

use serde::Serialize;

use super::{Line, units};
use crate::model::{Checked, Copied, Exported, Imported, Pruned, RunId};

/// `state backup`.
#[derive(Debug, Serialize)]
pub struct BackupDocument {
    /// The history's file.
    pub state: String,
    /// The copy.
    pub backup: String,
    /// What is in it.
    #[serde(flatten)]
    pub copied: Copied,
}

/// `state check`, with nothing wrong.
#[derive(Debug, Serialize)]
pub struct CheckDocument {
    /// Always `sound`: damage is an error document.
    pub status: &'static str,
    /// The history's file.
    pub state: String,
    /// What was found.
    #[serde(flatten)]
    pub checked: Checked,
}

/// `state prune`.
#[derive(Debug, Serialize)]
pub struct PruneDocument {
    /// Whether the runs only would go.
    pub dry_run: bool,
    /// The history's file.
    pub state: String,
    /// The file's bytes before.
    pub bytes_before: u64,
    /// The file's bytes after.
    pub bytes_after: u64,
    /// What went.
    #[serde(flatten)]
    pub pruned: Pruned,
    /// Runs of each history that the next plan looks at, if they teach.
    pub looked_at: u32,
    /// What did not work, and lost nothing.
    pub warnings: Vec<String>,
}

/// `state export`.
#[derive(Debug, Serialize)]
pub struct ExportDocument {
    /// The history's file.
    pub state: String,
    /// Where the document went.
    pub file: String,
    /// What is in it.
    #[serde(flatten)]
    pub exported: Exported,
}

/// `state import`.
#[derive(Debug, Serialize)]
pub struct ImportDocument {
    /// The history's file.
    pub state: String,
    /// Where the document came from.
    pub file: String,
    /// What was taken in.
    #[serde(flatten)]
    pub imported: Imported,
}

/// `state rebuild`.
#[derive(Debug, Serialize)]
pub struct RebuildDocument {
    /// The history's file.
    pub state: String,
    /// Manifests that were found and understood.
    pub manifests: u64,
    /// The runs that are new in the history, oldest first.
    pub runs: Vec<RunId>,
    /// Manifests that could not be understood, and places without any.
    pub warnings: Vec<String>,
}

/// A copy on one screen.
pub fn backup(document: &BackupDocument) -> Vec<Line> {
    let mut lines = vec![Line::Good(format!("Copied to {}", document.backup))];
    lines.extend(contents(&document.copied.checked));
    lines.push(Line::fact("checked", "every page, reference, run and plan"));
    lines.push(Line::fact("history", document.state.clone()));
    lines
}

/// A history that is sound, on one screen.
pub fn check(document: &CheckDocument) -> Vec<Line> {
    let mut lines = vec![Line::Good(format!("{} is sound", document.state))];
    lines.extend(contents(&document.checked));
    lines
}

fn contents(checked: &Checked) -> Vec<Line> {
    let Checked {
        contents,
        version,
        current,
        ..
    } = checked;
    let ended: Vec<String> = contents
        .runs
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let total: u64 = contents.runs.values().sum();
    let mut runs = units::plural(total, "run");
    if !ended.is_empty() {
        runs = format!("{runs} ({})", ended.join(", "));
    }
    let mut size = units::bytes(checked.bytes);
    if checked.free_bytes > 0 {
        size = format!("{size}, {} of it free", units::bytes(checked.free_bytes));
    }
    let mut lines = vec![
        Line::fact("runs", runs),
        Line::fact("tables", units::exact(contents.scopes)),
        Line::fact("size", size),
    ];
    if let Some(newest) = &contents.newest {
        lines.push(Line::fact("newest", newest.clone()));
    }
    lines.push(Line::fact(
        "version",
        if version == current {
            version.to_string()
        } else {
            format!("{version}; it becomes {current} when it is next used")
        },
    ));
    lines
}

/// What went, on one screen.
pub fn prune(document: &PruneDocument) -> Vec<Line> {
    let runs = units::plural(document.pruned.runs.len() as u64, "run");
    let mut lines = vec![if document.dry_run {
        Line::Heading(format!("{runs} would go"))
    } else {
        Line::Good(format!("Removed {runs}"))
    }];
    if document.pruned.needed > 0 {
        lines.push(Line::fact(
            "kept",
            format!(
                "{} more: the next plan looks at the last {} that teach",
                units::plural(document.pruned.needed, "run"),
                document.looked_at
            ),
        ));
    }
    if !document.dry_run {
        lines.push(Line::fact(
            "size",
            format!(
                "{}, before {}",
                units::bytes(document.bytes_after),
                units::bytes(document.bytes_before)
            ),
        ));
    }
    lines.push(Line::fact("history", document.state.clone()));
    lines
}

/// A document that was written, on one screen.
pub fn export(document: &ExportDocument) -> Vec<Line> {
    vec![
        Line::Good(exported(&document.exported)),
        Line::fact("document", document.file.clone()),
        Line::fact("history", document.state.clone()),
    ]
}

/// The same in a line.
pub fn exported(exported: &Exported) -> String {
    let mut text = format!(
        "Exported {} of {}",
        units::plural(exported.runs, "run"),
        units::plural(exported.scopes, "table")
    );
    if exported.under_way > 0 {
        text.push_str(&format!(
            ", without {} under way",
            units::plural(exported.under_way, "run")
        ));
    }
    text
}

/// A document that was taken in, on one screen.
pub fn import(document: &ImportDocument) -> Vec<Line> {
    let imported = &document.imported;
    let mut lines = vec![Line::Good(format!(
        "Took in {}",
        units::plural(imported.runs, "run")
    ))];
    if imported.completed > 0 {
        lines.push(Line::fact(
            "completed",
            format!(
                "{} of which less was known here",
                units::plural(imported.completed, "run")
            ),
        ));
    }
    if imported.known > 0 {
        lines.push(Line::fact(
            "known",
            format!(
                "{}: here already, as they are",
                units::plural(imported.known, "run")
            ),
        ));
    }
    lines.push(Line::fact("history", document.state.clone()));
    lines
}

/// A history that came back, on one screen.
pub fn rebuild(document: &RebuildDocument) -> Vec<Line> {
    let new = document.runs.len() as u64;
    let mut lines = vec![
        Line::Good(format!("Took in {}", units::plural(new, "run"))),
        Line::fact("manifests", units::exact(document.manifests)),
    ];
    if document.manifests > new {
        lines.push(Line::fact(
            "known",
            format!(
                "{}: in the history already, as they are",
                units::plural(document.manifests - new, "run")
            ),
        ));
    }
    lines.push(Line::fact(
        "absent",
        "plans, predictions, chunks and workers: manifests do not hold them",
    ));
    lines.push(Line::fact("history", document.state.clone()));
    lines
}
