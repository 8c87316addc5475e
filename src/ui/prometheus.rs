//! How a run ended, as a textfile for Prometheus' node_exporter.
//!
//! Every name has its unit, its HELP and its TYPE; `docs/watching.md` lists them, and a test compares that
//! table with this file.

use std::fmt::Write;

use super::json::RunDocument;

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The exit code; 0 is success.
    pub exit: u8,
    /// When, in seconds since 1970.
    pub at: f64,
    /// When a run last succeeded, before this one.
    pub succeeded_before: Option<f64>,
    /// What was published, where something was.
    pub run: Option<&'a RunDocument>,
}

/// When a run last succeeded; kept when one fails.
const LAST_SUCCESS: &str = "ixtract_last_success_timestamp_seconds";
const SUCCESS: &str = "ixtract_run_success";

/// What is always told.
const ALWAYS: [(&str, &str); 4] = [
    (SUCCESS, "Whether the last run succeeded: 1 or 0."),
    ("ixtract_run_exit_code", "Exit code of the last run."),
    (
        "ixtract_run_end_timestamp_seconds",
        "When the last run ended.",
    ),
    (LAST_SUCCESS, "When a run last succeeded."),
];

/// What is told of a run that published.
type OfRun = (&'static str, &'static str, fn(&RunDocument) -> f64);
const PUBLISHED: [OfRun; 13] = [
    ("ixtract_run_rows", "Rows published.", |run| run.rows as f64),
    (
        "ixtract_run_bytes",
        "Bytes of the published files.",
        |run| run.bytes as f64,
    ),
    ("ixtract_run_files", "Published files.", |run| {
        run.files as f64
    }),
    ("ixtract_run_read_seconds", "Time of the read.", |run| {
        run.duration_s
    }),
    (
        "ixtract_run_predicted_seconds",
        "Time that the plan expected.",
        |run| run.predicted_s,
    ),
    (
        "ixtract_run_rows_per_second",
        "Rows a second over the whole read.",
        |run| run.throughput,
    ),
    ("ixtract_run_chunks", "Chunks of the plan.", |run| {
        run.chunks as f64
    }),
    ("ixtract_run_workers", "Planned workers.", |run| {
        f64::from(run.workers)
    }),
    (
        "ixtract_run_busy_workers",
        "Mean number of busy workers.",
        |run| run.effective_workers,
    ),
    (
        "ixtract_run_snapshot_open_seconds",
        "How long the snapshot was open.",
        |run| run.snapshot_open_s,
    ),
    (
        "ixtract_run_nulled_values",
        "Values written as NULL because no type holds them.",
        |run| run.nulled.values().sum::<u64>() as f64,
    ),
    (
        "ixtract_run_schema_changes",
        "Changes of the columns since the run before.",
        |run| {
            run.schema_change
                .as_ref()
                .map_or(0, |drift| drift.changes.len()) as f64
        },
    ),
    ("ixtract_run_warnings", "Warnings of the summary.", |run| {
        run.warnings.len() as f64
    }),
];

/// Labels of all samples: the table as the user names it, and the database.
pub fn labels(table: &str, source: &str) -> String {
    format!(
        "table=\"{}\",source=\"{}\"",
        escaped(table),
        escaped(source)
    )
}

/// The whole textfile.
pub fn page(labels: &str, ended: &Ended<'_>) -> String {
    let mut page = String::new();
    let mut sample = |name: &str, help: &str, value: f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} {value}"
        );
    };
    let success = ended.exit == 0;
    let last_success = if success {
        Some(ended.at)
    } else {
        ended.succeeded_before
    };
    let values = [
        Some(f64::from(u8::from(success))),
        Some(f64::from(ended.exit)),
        Some(ended.at),
        last_success,
    ];
    for ((name, help), value) in ALWAYS.into_iter().zip(values) {
        if let Some(value) = value {
            sample(name, help, value);
        }
    }
    for (name, help, value) in ended
        .run
        .into_iter()
        .flat_map(|run| PUBLISHED.map(|(name, help, of)| (name, help, of(run))))
    {
        sample(name, help, value);
    }
    page
}

/// What an earlier textfile says: the labels of its run, and when one last succeeded under `labels` or,
/// where these are not known, under its own.
pub fn before(page: &str, known: Option<&str>) -> (Option<String>, Option<f64>) {
    let samples = || {
        page.lines().filter_map(|line| {
            let (name, rest) = line.split_once('{')?;
            let (labels, value) = rest.rsplit_once("} ")?;
            Some((name, labels, value))
        })
    };
    let labels = known.map(str::to_owned).or_else(|| {
        let found = samples().find(|(name, _, _)| *name == SUCCESS);
        found.map(|(_, labels, _)| labels.to_owned())
    });
    let succeeded = samples()
        .find(|(name, of, _)| *name == LAST_SUCCESS && Some(*of) == labels.as_deref())
        .and_then(|(_, _, value)| value.parse().ok());
    (labels, succeeded)
}

/// A label's value as the text format writes it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ui::summary::tests::run;

    fn ended(exit: u8, at: f64, succeeded_before: Option<f64>) -> Ended<'static> {
        Ended {
            exit,
            at,
            succeeded_before,
            run: None,
        }
    }

    #[test]
    fn the_last_success_outlives_failures() {
        let labels = labels("t", "sqlite:a");
        let first = page(&labels, &ended(0, 1_770_000_000.5, None));
        assert_eq!(before(&first, Some(&labels)).1, Some(1_770_000_000.5));
        let failed = page(
            &labels,
            &ended(75, 1_770_000_099.0, before(&first, Some(&labels)).1),
        );
        assert!(
            failed.contains("ixtract_run_success{table=\"t\",source=\"sqlite:a\"} 0\n"),
            "{failed}"
        );
        assert!(
            failed.contains("ixtract_run_exit_code{table=\"t\",source=\"sqlite:a\"} 75\n"),
            "{failed}"
        );
        // A run that does not even know its source goes on under the labels that are there.
        assert_eq!(before(&failed, None), (Some(labels), Some(1_770_000_000.5)));
        assert_eq!(before(&failed, Some("table=\"u\"")).1, None);
        assert_eq!(before("not a textfile { at all", None), (None, None));
    }

    #[test]
    fn labels_are_escaped_and_read_back() {
        let labels = labels("a\\b\"c\nd} 1", "s");
        assert_eq!(labels, "table=\"a\\\\b\\\"c\\nd} 1\",source=\"s\"");
        let text = page(&labels, &ended(0, 7.0, None));
        assert_eq!(before(&text, None), (Some(labels), Some(7.0)));
    }

    #[test]
    fn every_metric_is_documented_with_its_help_and_back() {
        let document = run();
        let told = page(
            "",
            &Ended {
                run: Some(&document),
                ..ended(0, 1.0, None)
            },
        );
        let told: BTreeSet<&str> = told
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP "))
            .collect();
        let text = include_str!("../../docs/watching.md");
        let documented: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `ixtract_"))
            .filter_map(|row| row.split_once("` | "))
            .map(|(name, help)| format!("ixtract_{name} {}", help.trim_end_matches(" |")))
            .collect();
        assert_eq!(told, documented.iter().map(String::as_str).collect());
    }
}
