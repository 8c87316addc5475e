//! `--log-format json`: lines of stderr for machines.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::Failure;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// A person should know it.
    Warn,
    /// Something that goes by.
    Info,
    /// A detail of `--verbose`.
    Debug,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a, L> {
    time: Timestamp,
    level: L,
    message: &'a str,
    #[serde(flatten)]
    failure: Option<Details<'a>>,
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    why: &'a str,
    fix: &'a str,
    exit: u8,
}

/// A message.
pub(super) fn line(time: Timestamp, level: Level, message: &str) -> String {
    json(&Line {
        time,
        level,
        message,
        failure: None,
    })
}

/// A failure.
pub(super) fn failure(time: Timestamp, failure: &Failure) -> String {
    json(&Line {
        time,
        level: "error",
        message: &failure.what,
        failure: Some(Details {
            why: &failure.why,
            fix: &failure.fix,
            exit: failure.exit.code(),
        }),
    })
}

/// A line of the log, `LEVEL target: message`.
pub(super) fn traced(time: Timestamp, text: &str) -> String {
    let (level, message) = text.split_once(' ').unwrap_or(("", text));
    let levels = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
    let (level, message) = match levels.contains(&level) {
        true => (level, message.trim_start()),
        // A message of several lines comes in one write; this is none of ours.
        false => ("INFO", text),
    };
    json(&Line {
        time,
        level: level.to_lowercase(),
        message,
        failure: None,
    })
}

/// Texts, times and numbers always serialise.
fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitCode;

    #[test]
    fn whatever_a_message_holds_it_is_one_line_of_json() {
        let time = Timestamp::UNIX_EPOCH;
        assert_eq!(
            line(time, Level::Warn, "a \"b\"\n\u{1b}c"),
            r#"{"time":"1970-01-01T00:00:00Z","level":"warn","message":"a \"b\"\n\u001bc"}"#
        );
        assert_eq!(
            failure(time, &Failure::new(ExitCode::Denied, "x", "y", "z")),
            r#"{"time":"1970-01-01T00:00:00Z","level":"error","message":"x","why":"y","fix":"z","exit":77}"#
        );
        assert_eq!(
            traced(time, "DEBUG ixtract::a: b c"),
            r#"{"time":"1970-01-01T00:00:00Z","level":"debug","message":"ixtract::a: b c"}"#
        );
        assert!(traced(time, "and so on").contains(r#""level":"info","message":"and so on""#));
    }
}
