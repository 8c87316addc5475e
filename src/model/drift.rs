//! How a relation's columns changed since the run before: data that manifest, history and documents hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::FieldType;
use super::relation::Column;
use super::run::RunId;

/// `--on-schema-change`: what becomes of a run whose columns are not those of the run before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnSchemaChange {
    /// It is told, recorded and published.
    #[default]
    Warn,
    /// Nothing is read; the old dataset stays.
    Fail,
    /// It is recorded and published.
    Continue,
}

impl OnSchemaChange {
    /// The word of the flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Continue => "continue",
        }
    }

    /// The rule of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Warn, Self::Fail, Self::Continue]
            .into_iter()
            .find(|rule| rule.name() == word)
    }
}

/// What readers of a dataset rely on in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShape {
    /// The type as the server writes it.
    pub source_type: String,
    /// The output type.
    pub field: FieldType,
    /// Whether it may hold NULLs.
    pub nullable: bool,
}

impl From<&Column> for ColumnShape {
    fn from(column: &Column) -> Self {
        Self {
            source_type: column.source_type.clone(),
            field: column.field.clone(),
            nullable: column.nullable,
        }
    }
}

impl fmt::Display for ColumnShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.source_type, self.field)?;
        f.write_str(if self.nullable { "" } else { ", not null" })
    }
}

/// One change of the columns. A renamed column is one that was dropped and one that was added: nothing
/// says that they are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum SchemaChange {
    /// A column that was not there.
    Added {
        /// Exact name.
        column: String,
        /// What it is.
        after: ColumnShape,
    },
    /// A column that is not there any more.
    Dropped {
        /// Exact name.
        column: String,
        /// What it was.
        before: ColumnShape,
    },
    /// A column of another source type, output type or nullability.
    Retyped {
        /// Exact name.
        column: String,
        /// What it was.
        before: ColumnShape,
        /// What it is.
        after: ColumnShape,
    },
    /// Columns that both have stand in another order: moving these, and no fewer, explains it.
    Reordered {
        /// Exact names, in the new order.
        columns: Vec<String>,
    },
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { column, after } => write!(f, "{column} was added ({after})"),
            Self::Dropped { column, before } => write!(f, "{column} was dropped ({before})"),
            Self::Retyped {
                column,
                before,
                after,
            } => write!(f, "{column} was {before}, it is {after}"),
            Self::Reordered { columns } => match columns.as_slice() {
                [column] => write!(f, "{column} stands elsewhere"),
                columns => write!(f, "{} stand elsewhere", columns.join(", ")),
            },
        }
    }
}

/// Where the columns are known from that a run's are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaWitness {
    /// The manifest of the dataset that the run replaces or goes on with.
    Manifest,
    /// The plan of the last published run in the history.
    History,
}

/// That a run's columns are not those of the published run before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaDrift {
    /// The run before.
    pub since: RunId,
    /// Where its columns are known from.
    pub known_from: SchemaWitness,
    /// What changed: what was dropped, added and retyped by the columns' order, then the order; never empty.
    pub changes: Vec<SchemaChange>,
}

impl SchemaDrift {
    /// The first changes in one line, with how many more there are beyond `most`.
    pub fn summary(&self, most: usize) -> String {
        let told: Vec<String> = self
            .changes
            .iter()
            .take(most)
            .map(ToString::to_string)
            .collect();
        let mut text = told.join("; ");
        let more = self.changes.len().saturating_sub(most);
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}
