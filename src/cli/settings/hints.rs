//! The hints, from a file and flags; a flag wins over the file.

use std::path::Path;

use crate::cli::args::HintArgs;
use crate::error::{ExitCode, Failure};
use crate::model::{Given, RuntimeContext};

/// The hints that are given; `None` where there is none.
///
/// # Errors
/// 64 where a flag is wrong, else 78 where the file is; everything that is wrong with either is told.
pub fn hints(args: &HintArgs) -> Result<Option<RuntimeContext>, Failure> {
    let flags = RuntimeContext::take(of_flags(args)).map(|mut hints| {
        // The flag can only say yes.
        hints.source_maintenance_scheduled = args.source_maintenance.then_some(true);
        hints
    });
    let file = match &args.context_file {
        None => Ok(RuntimeContext::default()),
        Some(path) => read_object(path, &RuntimeContext::KEYS).and_then(RuntimeContext::take),
    };
    match (flags, file) {
        (Ok(flags), Ok(file)) => Ok(flags.over(file).given()),
        (flags, file) => {
            let in_file = args.context_file.as_deref().zip(file.err());
            Err(wrong("the hints", flags.err().unwrap_or_default(), in_file))
        }
    }
}

fn of_flags(args: &HintArgs) -> Given {
    let texts = [
        ("max_source_connections", &args.max_source_connections),
        ("max_memory_mb", &args.max_memory_mb),
        ("network_quality", &args.network_quality),
        ("source_load", &args.source_load),
        ("concurrent_extractions", &args.concurrent_extractions),
        ("priority", &args.priority),
        ("target_duration_minutes", &args.target_duration),
        ("egress_budget_mb", &args.egress_budget_mb),
        ("maintenance_window_minutes", &args.maintenance_window),
        ("disk_available_gb", &args.disk_available_gb),
    ];
    Given::of_flags(texts.into_iter().map(|(key, text)| {
        let flag = RuntimeContext::flag(key).unwrap_or(key);
        (key, flag, text.as_deref())
    }))
}

/// Reads a file that holds a JSON object of values with these keys.
///
/// # Errors
/// One line, where it cannot be read or is no object.
pub(super) fn read_object(path: &Path, known: &[&str]) -> Result<Given, Vec<String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![format!("the file cannot be read: {error}")])?;
    Given::of_json(&text, known)
        .map_err(|error| vec![format!("the file is not one JSON object: {error}")])
}

/// Everything that is wrong with flags and file.
pub(super) fn wrong(what: &str, flags: Vec<String>, file: Option<(&Path, Vec<String>)>) -> Failure {
    let exit = if flags.is_empty() {
        ExitCode::Config
    } else {
        ExitCode::Usage
    };
    let (place, in_file) = match file {
        Some((path, lines)) if flags.is_empty() => (format!(" in {}", path.display()), lines),
        Some((path, lines)) => {
            let name = path.display();
            let lines = lines.into_iter().map(|line| format!("{name}: {line}"));
            (String::new(), lines.collect())
        }
        None => (String::new(), Vec::new()),
    };
    let lines: Vec<String> = flags.into_iter().chain(in_file).collect();
    Failure::new(
        exit,
        format!("{what}{place} cannot be taken"),
        lines.join("; "),
        "correct each of them; `ixtract run --help` says what they may be",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NetworkHint, Priority};

    fn file(text: &str) -> (tempfile::TempDir, HintArgs) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hints.json");
        std::fs::write(&path, text).expect("a file");
        let args = HintArgs {
            context_file: Some(path),
            ..HintArgs::default()
        };
        (folder, args)
    }

    #[test]
    fn nothing_given_is_none() {
        assert_eq!(hints(&HintArgs::default()), Ok(None));
        let (_folder, args) = file("{}");
        assert_eq!(hints(&args), Ok(None));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let text = r#"{"priority": "low", "network_quality": "poor", "source_maintenance_scheduled": false}"#;
        let (_folder, mut args) = file(text);
        args.priority = Some("critical".to_owned());
        args.source_maintenance = true;
        let found = hints(&args).expect("right").expect("hints");
        assert_eq!(found.priority, Some(Priority::Critical));
        assert_eq!(found.network_quality, Some(NetworkHint::Poor));
        assert_eq!(found.source_maintenance_scheduled, Some(true));
    }

    #[test]
    fn everything_wrong_is_told_and_the_flags_decide_the_code() {
        let (_folder, mut args) = file(r#"{"max_memory_md": 1, "priority": "hgih"}"#);
        let failure = hints(&args).expect_err("wrong");
        assert_eq!(failure.exit, ExitCode::Config);
        assert!(
            failure.why.contains("did you mean max_memory_mb?"),
            "{failure}"
        );
        assert!(
            failure
                .why
                .contains("priority must be low, normal or critical"),
            "{failure}"
        );
        args.max_memory_mb = Some("0".to_owned());
        args.source_load = Some("critical".to_owned());
        let failure = hints(&args).expect_err("wrong");
        assert_eq!(failure.exit, ExitCode::Usage);
        assert_eq!(failure.why.matches("; ").count(), 3, "{failure}");
        assert!(
            failure
                .why
                .contains("--source-load must be low, normal or high"),
            "{failure}"
        );
    }

    #[test]
    fn a_file_that_is_no_object_is_a_configuration_error() {
        for text in ["", "[]", "{\"priority\": low}"] {
            let (_folder, args) = file(text);
            let failure = hints(&args).expect_err(text);
            assert_eq!(failure.exit, ExitCode::Config, "{failure}");
        }
        let args = HintArgs {
            context_file: Some("/nonexistent".into()),
            ..HintArgs::default()
        };
        let failure = hints(&args).expect_err("missing");
        assert_eq!(failure.exit, ExitCode::Config);
        assert!(
            failure.why.starts_with("the file cannot be read"),
            "{failure}"
        );
        // A wrong flag is told beside it.
        let args = HintArgs {
            priority: Some("urgent".to_owned()),
            ..args
        };
        let failure = hints(&args).expect_err("wrong");
        assert_eq!(failure.exit, ExitCode::Usage);
        assert!(
            failure.why.contains("/nonexistent: the file cannot"),
            "{failure}"
        );
    }
}
