//! What becomes of values that their output type cannot hold: by the rule of their column they are
//! counted, or named in the error that stops the run.

use super::{Result, SourceError};
use crate::model::{Column, Relation};

/// The values that could not be held since the last batch.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    table: String,
    columns: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    fails: bool,
    nulled: u64,
    met: Option<Met>,
}

/// A value that stops the run.
#[derive(Clone, Debug)]
pub(super) struct Met {
    /// The row within the batch: the error tells of the first.
    pub(super) row: usize,
    /// The row's key as `column = value`, where a key is known.
    pub(super) key: Option<String>,
    /// The value as the server prints it.
    pub(super) value: String,
    /// What the output type cannot hold.
    pub(super) why: String,
    /// The output type that would hold the value, where there is one, as a flag's text:
    /// `--type c=text`.
    pub(super) flag: Option<String>,
}

impl Ledger {
    /// An empty ledger for these columns.
    pub(super) fn new(relation: &Relation, columns: &[Column]) -> Self {
        let entry = |column: &Column| Entry {
            name: column.name.clone(),
            fails: column.on_unrepresentable.is_fail(),
            nulled: 0,
            met: None,
        };
        Self {
            table: relation.to_string(),
            columns: columns.iter().map(entry).collect(),
        }
    }

    /// Enters `count` values of a column, which stand as NULL; `first` tells of the first of them
    /// when it is the first of all that stops the run.
    #[cold]
    pub(super) fn enter(&mut self, column: usize, count: u64, first: impl FnOnce() -> Met) {
        let Some(entry) = self.columns.get_mut(column) else {
            return;
        };
        if !entry.fails {
            entry.nulled += count;
        } else if entry.met.is_none() {
            entry.met = Some(first());
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        for entry in &mut self.columns {
            entry.nulled = 0;
            entry.met = None;
        }
    }

    /// Closes a batch: how many values of which columns stand as NULL in it.
    ///
    /// # Errors
    /// [`SourceError::Unrepresentable`] when a value was met that stops the run. It names the first
    /// column's value, and the flags for every column that met one.
    pub(super) fn close(&mut self) -> Result<Vec<(usize, u64)>> {
        if self.columns.iter().any(|entry| entry.met.is_some()) {
            return Err(self.error());
        }
        let counts = self.columns.iter_mut().enumerate();
        Ok(counts
            .filter(|(_, entry)| entry.nulled > 0)
            .map(|(column, entry)| (column, std::mem::take(&mut entry.nulled)))
            .collect())
    }

    #[cold]
    fn error(&mut self) -> SourceError {
        let mut all: Vec<(String, Met)> = Vec::new();
        for entry in &mut self.columns {
            if let Some(met) = entry.met.take() {
                all.push((entry.name.clone(), met));
            }
        }
        self.clear();
        all.sort_by_key(|(_, met)| met.row);
        let flags: Vec<&str> = all
            .iter()
            .filter_map(|(_, met)| met.flag.as_deref())
            .collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let nulls = names
            .iter()
            .map(|name| flag("--on-unrepresentable", &format!("{name}=null")));
        let mut ways = Vec::new();
        if !flags.is_empty() {
            ways.push(format!("pass {}", flags.join(" ")));
        }
        ways.push(format!(
            "{} to write and count NULLs",
            nulls.collect::<Vec<_>>().join(" ")
        ));
        let listed: Vec<String> = names.iter().map(|name| in_list(name)).collect();
        ways.push(flag("--exclude-columns", &listed.join(",")));
        let mut others = names.iter().skip(1).copied().collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            others = format!("; so with values of {others}");
        }
        // There is one: the caller looked.
        let (column, met) = all.swap_remove(0);
        SourceError::Unrepresentable {
            table: self.table.clone(),
            column,
            key: met.key,
            value: met.value,
            why: format!("{}{others}", met.why),
            fix: ways.join(", or "),
        }
    }
}

/// A flag and its value as a shell reads them.
pub(super) fn flag(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-=.,:".contains(c);
    if value.chars().all(plain) {
        format!("{name} {value}")
    } else {
        format!("{name} '{}'", value.replace('\'', "'\\''"))
    }
}

/// A name as one of `--exclude-columns`: in quotes where it would be read as another, or as several.
fn in_list(name: &str) -> String {
    if name.contains(',') || name.starts_with('"') {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldType, OnUnrepresentable, ReadAs};

    fn ledger(columns: &[(&str, OnUnrepresentable)]) -> Ledger {
        let column = |(name, rule): &(&str, OnUnrepresentable)| Column {
            name: (*name).to_owned(),
            source_type: "date".to_owned(),
            base_type: "date".to_owned(),
            read: ReadAs::Native,
            field: FieldType::Date,
            nullable: true,
            comment: None,
            generated: None,
            on_unrepresentable: *rule,
            lossy: false,
        };
        let relation = Relation {
            schema: "public".to_owned(),
            name: "t".to_owned(),
        };
        Ledger::new(&relation, &columns.iter().map(column).collect::<Vec<_>>())
    }

    fn met(value: &str, flag: &str) -> Met {
        Met {
            row: 6,
            key: Some("id = 7".to_owned()),
            value: value.to_owned(),
            why: "it has no end".to_owned(),
            flag: Some(flag.to_owned()),
        }
    }

    #[test]
    fn counts_are_of_a_batch_and_of_columns_that_are_counted() {
        let mut ledger = ledger(&[
            ("a", OnUnrepresentable::Null),
            ("b", OnUnrepresentable::Fail),
        ]);
        assert_eq!(ledger.close(), Ok(vec![]));
        ledger.enter(0, 3, || met("infinity", ""));
        ledger.enter(0, 2, || met("infinity", ""));
        assert_eq!(ledger.close(), Ok(vec![(0, 5)]));
        assert_eq!(ledger.close(), Ok(vec![]));
    }

    #[test]
    fn an_error_names_the_first_value_and_every_columns_flags() {
        use OnUnrepresentable::{Fail, Null};
        let mut ledger = ledger(&[("a", Fail), ("b", Null), ("c d", Fail)]);
        ledger.enter(2, 1, || met("NaN", "--type 'c d=text'"));
        ledger.enter(1, 1, || met("NaN", "--type b=text"));
        ledger.enter(0, 1, || met("infinity", "--type a=text"));
        ledger.enter(0, 1, || met("-infinity", "--type a=text"));
        let SourceError::Unrepresentable {
            column,
            value,
            why,
            fix,
            ..
        } = ledger.close().expect_err("a stop")
        else {
            panic!("another error");
        };
        assert_eq!((column.as_str(), value.as_str()), ("a", "infinity"));
        assert_eq!(why, "it has no end; so with values of c d");
        assert_eq!(
            fix,
            "pass --type a=text --type 'c d=text', or --on-unrepresentable a=null \
             --on-unrepresentable 'c d=null' to write and count NULLs, or --exclude-columns 'a,c d'"
        );
        assert_eq!(ledger.close(), Ok(vec![]));
    }

    #[test]
    fn names_that_lists_would_cut_are_quoted() {
        let listed = ["plain", "two words", "a,b", "\"q", "in \"side\""].map(in_list);
        let wanted = ["plain", "two words", "\"a,b\"", "\"\"\"q\"", "in \"side\""];
        assert_eq!(listed, wanted);
    }
}
