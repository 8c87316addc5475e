//! What changed between the columns of two runs of one relation; pure.
//!
//! A column is known by its exact name. What readers of a dataset rely on is compared: the source's type,
//! the output type, whether it may be null, and the order. How a column travels, its comment, and its
//! collation are not: the values that are written are the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Column, ColumnShape, SchemaChange};

/// The changes from the columns of before to those of now; empty where there is none.
pub fn between(before: &[Column], now: &[Column]) -> Vec<SchemaChange> {
    let was: BTreeMap<&str, &Column> = by_name(before);
    let is: BTreeMap<&str, &Column> = by_name(now);
    let mut changes: Vec<SchemaChange> = before
        .iter()
        .filter(|column| !is.contains_key(column.name.as_str()))
        .map(|column| SchemaChange::Dropped {
            column: column.name.clone(),
            before: column.into(),
        })
        .collect();
    changes.extend(now.iter().filter_map(|column| {
        let Some(old) = was.get(column.name.as_str()) else {
            return Some(SchemaChange::Added {
                column: column.name.clone(),
                after: column.into(),
            });
        };
        is_other(old, column).then(|| SchemaChange::Retyped {
            column: column.name.clone(),
            before: ColumnShape::from(*old),
            after: column.into(),
        })
    }));
    let moved = moved(before, now, &was);
    if !moved.is_empty() {
        changes.push(SchemaChange::Reordered { columns: moved });
    }
    changes
}

fn by_name(columns: &[Column]) -> BTreeMap<&str, &Column> {
    let named = columns.iter().map(|column| (column.name.as_str(), column));
    named.collect()
}

/// Plans of before named a type without its schema where that was on the search path: the same type.
fn is_other(old: &Column, new: &Column) -> bool {
    !old.is_of(&new.source_type) || old.field != new.field || old.nullable != new.nullable
}

/// The fewest columns whose move explains the new order, in that order: all but a longest run of columns
/// that still stand one after the other.
fn moved(before: &[Column], now: &[Column], was: &BTreeMap<&str, &Column>) -> Vec<String> {
    let place: BTreeMap<&str, usize> = before
        .iter()
        .enumerate()
        .map(|(at, column)| (column.name.as_str(), at))
        .collect();
    let shared: Vec<&Column> = now
        .iter()
        .filter(|column| was.contains_key(column.name.as_str()))
        .collect();
    let places: Vec<usize> = shared
        .iter()
        .filter_map(|column| place.get(column.name.as_str()).copied())
        .collect();
    let stay = longest_rise(&places);
    let gone = shared
        .iter()
        .enumerate()
        .filter(|(at, _)| !stay.contains(at));
    gone.map(|(_, column)| column.name.clone()).collect()
}

/// The positions of a longest rising subsequence, by patience sorting: O(n log n), because a table may have
/// tens of thousands of columns.
fn longest_rise(values: &[usize]) -> BTreeSet<usize> {
    // The position that ends the lowest rise of each length, and what stands before each value in its rise.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let length = ends.partition_point(|&end| values[end] < *value);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut rise = BTreeSet::new();
    let mut next = ends.last().copied();
    while let Some(at) = next {
        rise.insert(at);
        next = before[at];
    }
    rise
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{FieldType, OnUnrepresentable, ReadAs};

    fn column(name: &str, source_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            source_type: source_type.to_owned(),
            base_type: source_type.to_owned(),
            read: ReadAs::Native,
            field: FieldType::Int64,
            nullable: true,
            comment: None,
            generated: None,
            on_unrepresentable: OnUnrepresentable::Fail,
            lossy: false,
        }
    }

    fn columns(names: &[&str]) -> Vec<Column> {
        names.iter().map(|name| column(name, "bigint")).collect()
    }

    fn told(before: &[Column], now: &[Column]) -> Vec<String> {
        let changes = between(before, now);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_change_is_told_in_one_line() {
        let before = columns(&["id", "gone", "n", "m", "last"]);
        let mut now = columns(&["last", "id", "n", "m", "new"]);
        now[2].source_type = "text".to_owned();
        now[2].field = FieldType::Utf8;
        now[3].nullable = false;
        assert_eq!(
            told(&before, &now),
            [
                "gone was dropped (bigint as int64)",
                "n was bigint as int64, it is text as text",
                "m was bigint as int64, it is bigint as int64, not null",
                "new was added (bigint as int64)",
                "last stands elsewhere",
            ]
        );
    }

    #[test]
    fn what_readers_do_not_see_is_no_change() {
        let before = vec![column("a", "mood")];
        let mut now = vec![column("a", "s.mood")];
        now[0].comment = Some("how one feels".to_owned());
        now[0].read = ReadAs::Text;
        now[0].generated = Some("stored".to_owned());
        assert_eq!(told(&before, &now), <[&str; 0]>::default());
        assert_eq!(told(&now, &before).len(), 1);
    }

    #[test]
    fn a_column_between_others_moves_none_of_them() {
        let before = columns(&["a", "b", "c"]);
        assert_eq!(
            told(&before, &columns(&["a", "x", "b", "c"])),
            ["x was added (bigint as int64)"]
        );
        assert_eq!(
            told(&before, &columns(&["c", "b", "a"])),
            ["c, b stand elsewhere"]
        );
    }

    fn any_columns() -> impl Strategy<Value = Vec<Column>> {
        let names = vec!["a", "b", "c", "d", "e", "f"];
        let picked = proptest::sample::subsequence(names, 0..=6).prop_shuffle();
        let types = proptest::collection::vec(0u8..3, 6);
        (picked, types).prop_map(|(names, types)| {
            let named = names.into_iter().zip(types);
            let typed =
                named.map(|(name, kind)| column(name, ["int", "text", "date"][kind as usize]));
            typed.collect()
        })
    }

    /// The columns of before with all changes made to them.
    fn apply(
        before: &[Column],
        changes: &[SchemaChange],
        now: &[Column],
    ) -> BTreeMap<String, ColumnShape> {
        let mut shapes: BTreeMap<String, ColumnShape> = before
            .iter()
            .map(|column| (column.name.clone(), column.into()))
            .collect();
        for change in changes {
            match change {
                SchemaChange::Dropped { column, before } => {
                    assert_eq!(shapes.remove(column).as_ref(), Some(before));
                }
                SchemaChange::Added { column, after } => {
                    assert!(shapes.insert(column.clone(), after.clone()).is_none());
                }
                SchemaChange::Retyped {
                    column,
                    before,
                    after,
                } => {
                    assert_eq!(
                        shapes.insert(column.clone(), after.clone()).as_ref(),
                        Some(before)
                    );
                }
                SchemaChange::Reordered { columns } => {
                    assert!(
                        columns
                            .iter()
                            .all(|name| now.iter().any(|c| c.name == *name))
                    );
                }
            }
        }
        shapes
    }

    proptest! {
        #[test]
        fn the_changes_lead_from_the_old_columns_to_the_new(old in any_columns(), new in any_columns()) {
            let changes = between(&old, &new);
            let shapes: BTreeMap<String, ColumnShape> =
                new.iter().map(|column| (column.name.clone(), column.into())).collect();
            prop_assert_eq!(apply(&old, &changes, &new), shapes);
        }

        #[test]
        fn no_change_means_equal_and_equal_means_no_change(old in any_columns(), new in any_columns()) {
            prop_assert_eq!(between(&old, &new).is_empty(), old == new);
            prop_assert_eq!(between(&old, &old), vec![]);
        }

        #[test]
        fn without_the_moved_columns_the_order_is_the_same(old in any_columns(), new in any_columns()) {
            let changes = between(&old, &new);
            let moved = changes.iter().find_map(|change| match change {
                SchemaChange::Reordered { columns } => Some(columns.clone()),
                _ => None,
            });
            let moved = moved.unwrap_or_default();
            let rest = |columns: &[Column], others: &[Column]| -> Vec<String> {
                columns
                    .iter()
                    .map(|column| column.name.clone())
                    .filter(|name| !moved.contains(name) && others.iter().any(|c| c.name == *name))
                    .collect()
            };
            prop_assert_eq!(rest(&old, &new), rest(&new, &old));
        }
    }
}
