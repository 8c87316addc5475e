//! What file, environment and flags come to.

use serde::Serialize;

use super::{Line, table};

/// `config show`.
#[derive(Debug, Default, Serialize)]
pub struct ConfigDocument {
    /// The file that counts.
    pub file: Option<String>,
    /// The profile that is chosen.
    pub profile: Option<String>,
    /// The tables that the file has.
    pub tables: Vec<String>,
    /// The command that the values are for.
    pub command: String,
    /// The table that they are for, by its name in the file where it is there.
    pub table: Option<String>,
    /// Every flag of the command.
    pub values: Vec<Value>,
}

/// A flag's value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// As a key of the file.
    pub key: String,
    /// As a flag.
    pub flag: String,
    /// What it is about: the heading in `--help`.
    #[serde(skip)]
    pub group: String,
    /// The value without secrets; absent where there is none.
    pub value: Option<String>,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    Flag,
    /// A variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The file.
    File {
        /// Its path.
        file: String,
        /// The line, from 1 on.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

/// The file, and all values by group.
pub fn view(document: &ConfigDocument) -> Vec<Line> {
    let none = || "none".to_owned();
    let mut subject = document.command.clone();
    if let Some(table) = &document.table {
        subject = format!("{subject} {table}");
    }
    let mut lines = vec![
        Line::Heading(format!("What `{subject}` would take")),
        Line::fact("file", document.file.clone().unwrap_or_else(none)),
        Line::fact("profile", document.profile.clone().unwrap_or_else(none)),
    ];
    if !document.tables.is_empty() {
        lines.push(Line::fact("tables", document.tables.join(", ")));
    }
    lines.push(Line::Blank);
    let mut rows = Vec::new();
    let mut group = "";
    for value in &document.values {
        if value.group != group {
            group = &value.group;
            rows.push(vec![format!("{}:", group.to_lowercase())]);
        }
        rows.push(vec![
            value.key.clone(),
            value.value.clone().unwrap_or_else(|| "-".to_owned()),
            from(&value.origin),
        ]);
    }
    lines.push(Line::Text(table::grid(
        &["key", "value", "from"],
        rows,
        &[],
    )));
    lines
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Flag => "flag".to_owned(),
        Origin::Environment { variable } => variable.clone(),
        Origin::File { file, line } => format!("{file}:{line}"),
        Origin::Default => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::plain;

    #[test]
    fn each_value_says_where_it_comes_from() {
        let value = |key: &str, value: Option<&str>, origin| Value {
            key: key.to_owned(),
            flag: format!("--{key}"),
            group: "Work".to_owned(),
            value: value.map(str::to_owned),
            origin,
        };
        let document = ConfigDocument {
            file: Some("ixtract.toml".to_owned()),
            command: "run".to_owned(),
            table: Some("public.orders".to_owned()),
            values: vec![
                value("workers", Some("4"), Origin::Flag),
                value(
                    "chunking",
                    Some("key"),
                    Origin::File {
                        file: "ixtract.toml".to_owned(),
                        line: 7,
                    },
                ),
                value("chunk_rows", None, Origin::Default),
            ],
            ..ConfigDocument::default()
        };
        insta::assert_snapshot!(plain(&view(&document)), @r"
        What `run public.orders` would take
          file         ixtract.toml
          profile      none

          key         value  from
          work:
          workers     4      flag
          chunking    key    ixtract.toml:7
          chunk_rows  -      default
        ");
    }
}
