//! Windows: what an incremental extraction takes of a table at a time.
//!
//! A window is `(low, high]` on one column, its watermark. The next one begins at the very value that
//! the one before it ended with, so that each row is in exactly one.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::KeyValue;
use super::moment;
use super::relation::Relation;
use super::run::hex;

/// The rows of one incremental extraction: those whose value is above `low` and not above `high`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Exact name of the watermark's column.
    pub column: String,
    /// The last value before the window; `None` where it begins with the first row there is.
    pub low: Option<KeyValue>,
    /// The last value inside.
    pub high: KeyValue,
    /// Rows without a value are inside too: only of a first window, and only where asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nulls: bool,
}

// serde's signature.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(it: &bool) -> bool {
    !it
}

/// Characters of a bound that the name of a window's folder shows.
const SHOWN: usize = 32;

impl Window {
    /// The name of the window's folder: both bounds as far as any file system takes them. Where that
    /// loses something, a digest of what they are exactly keeps two windows apart.
    pub fn folder(&self) -> String {
        let low = self.low.as_ref().map_or_else(|| "first".to_owned(), plain);
        let name = format!("{low}_{}", plain(&self.high));
        let exact = [self.low.as_ref(), Some(&self.high)];
        if exact
            .into_iter()
            .flatten()
            .all(|bound| bound.as_int().is_some())
        {
            return name;
        }
        let exact = exact.map(|bound| bound.map_or_else(String::new, |b| String::from(b.clone())));
        // The length first, so that no two pairs give the same bytes.
        let text = format!("{}:{}{}", exact[0].len(), exact[0], exact[1]);
        format!("{name}-{}", &hex(&Sha256::digest(text))[..8])
    }

    /// Whether both are of the same rows, by their bounds.
    pub fn is_same_range(&self, other: &Self) -> bool {
        (&self.column, &self.low, &self.high) == (&other.column, &other.low, &other.high)
    }

    /// The newest point in time that may be inside, in UTC; `None` where its bounds are none.
    pub fn freshness(&self) -> Option<Timestamp> {
        match &self.high {
            KeyValue::Typed { text, .. } => moment::instant(text),
            KeyValue::Int(_) | KeyValue::Tuple(_) => None,
        }
    }
}

/// A bound with letters, digits, dots and dashes only, and not many.
fn plain(bound: &KeyValue) -> String {
    let text = match bound {
        KeyValue::Typed { text, .. } => text.clone(),
        other => other.to_string(),
    };
    let plain = |char: char| match char {
        '.' | '+' => char,
        _ if char.is_ascii_alphanumeric() => char,
        _ => '-',
    };
    text.chars().take(SHOWN).map(plain).collect()
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.low {
            Some(low) => write!(f, "{} in ({low}, {}]", self.column, self.high)?,
            None => write!(f, "{} up to {}", self.column, self.high)?,
        }
        f.write_str(if self.nulls { ", and none" } else { "" })
    }
}

/// `--incremental` and what goes with it: the window that is wanted, before the table was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// The column as the user wrote it.
    pub column: String,
    /// `--from`: the window begins after this value.
    pub from: Option<String>,
    /// `--until`: and ends with this one.
    pub until: Option<String>,
    /// `--lag`: how far the end stays behind the newest value.
    pub lag: Lag,
    /// `--include-nulls first-window`.
    pub include_nulls: bool,
    /// `--every` of a backfill: how far each of its windows goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<String>,
    /// The window, once it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<PlannedWindow>,
}

/// `--lag`: what keeps the end of a window from rows that are committed late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// Nothing: the window ends with the newest value.
    #[default]
    None,
    /// It ends so many seconds before the newest value.
    Seconds(u64),
    /// It ends before the oldest transaction that is under way.
    Auto,
}

/// Which rows the windows of a dataset together are: the same for every one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowDefinition {
    /// The relation.
    pub relation: Relation,
    /// The template of `--query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The template of `--where`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The watermark's column.
    pub column: String,
}

/// A window that is to be extracted, and what it is a window of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedWindow {
    /// The window.
    #[serde(flatten)]
    pub window: Window,
    /// What all windows of the dataset are of.
    pub of: WindowDefinition,
    /// The user's filter, filled in, without the window's condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Whether rows may have no value: then they are counted.
    pub nullable: bool,
}

/// What the values of a watermark are, which decides how bounds are compared and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Integers.
    Integer,
    /// Exact decimal numbers.
    Decimal,
    /// Days.
    Date,
    /// Points in time, without a time zone.
    Timestamp,
    /// Points in time, in UTC.
    TimestampTz,
    /// Text, compared by its bytes.
    Text,
    /// Values that carry their own type (SQLite).
    Stored,
    /// Numbers that the server gives to every change of a row (SQL Server).
    RowVersion,
}

/// A column that windows can be cut on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Exact name.
    pub column: String,
    /// Its type as the server writes it.
    pub source_type: String,
    /// What its values are.
    pub kind: MarkKind,
    /// Whether rows may have no value.
    pub nullable: bool,
}

/// The end of a window that no transaction under way can still add a row below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The highest value that is settled.
    pub value: KeyValue,
    /// What it was taken from, in one line.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(low: Option<KeyValue>, high: KeyValue) -> Window {
        Window {
            column: "c".to_owned(),
            low,
            high,
            nulls: false,
        }
    }

    #[test]
    fn a_folder_is_named_by_its_bounds() {
        let int = KeyValue::Int;
        assert_eq!(window(None, int(7)).folder(), "first_7");
        assert_eq!(window(Some(int(-5)), int(7)).folder(), "-5_7");
        let day = |text: &str| KeyValue::typed("date", text);
        let folder = window(Some(day("2026-01-01")), day("2026-01-02")).folder();
        assert!(folder.starts_with("2026-01-01_2026-01-02-"), "{folder}");
    }

    #[test]
    fn a_window_says_what_it_holds() {
        let mut first = window(None, KeyValue::Int(7));
        assert_eq!(first.to_string(), "c up to 7");
        first.nulls = true;
        assert_eq!(first.to_string(), "c up to 7, and none");
        let second = window(Some(KeyValue::Int(7)), KeyValue::Int(9));
        assert_eq!(second.to_string(), "c in (7, 9]");
    }

    proptest! {
        /// Whatever the bounds: a name that every file system takes, and another one for others.
        #[test]
        fn two_windows_never_share_a_folder(
            one in (".*", ".*"),
            other in (".*", ".*"),
        ) {
            let folder = |(low, high): &(String, String)| {
                window(Some(KeyValue::typed("text", low)), KeyValue::typed("text", high)).folder()
            };
            let (a, b) = (folder(&one), folder(&other));
            prop_assert_eq!(a == b, one == other);
            prop_assert!(a.len() < 100 && !a.contains(['/', '%', '=', ' ', ':']));
        }
    }
}
