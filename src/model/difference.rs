//! What is not the same in two runs. Data; `ui` turns it into tables.

use serde::Serialize;
use serde_json::Value;

/// What a difference is about, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Which database and table.
    Table,
    /// Columns: added, dropped, retyped, in another order; the key.
    Schema,
    /// What was asked for: condition, type mapping, format, consistency, proof, and the rules of
    /// execution.
    Settings,
    /// What the user believed or wished: hints.
    Hints,
    /// What kind of run it was: constrained, replayed.
    Kind,
    /// Which ixtract.
    Version,
    /// The circumstances as they were measured.
    Context,
    /// How the table was cut, and in which order.
    Strategy,
    /// Workers.
    Workers,
    /// Chunks and their bounds.
    Chunks,
    /// What was predicted.
    Forecast,
    /// Rows and bytes.
    Data,
    /// How it went.
    Outcome,
}

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What it is about.
    pub aspect: Aspect,
    /// Its name there, such as `column total` or `compression`.
    pub name: String,
    /// In the first run; `None` where it has no such thing.
    pub before: Option<Value>,
    /// In the second run; `None` where it has no such thing.
    pub after: Option<Value>,
}
