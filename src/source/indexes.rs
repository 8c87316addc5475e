//! Which keys a table has, by its indexes: the leading column of each, and the primary key as a whole.

use std::collections::BTreeSet;

use crate::model::{Key, KeyColumn, KeyDefect, KeyOrder, UnusableKey};

/// An index whose every row is one of the table's, with its columns in their order.
pub(super) struct Index {
    pub(super) primary: bool,
    pub(super) unique: bool,
    pub(super) places: Vec<Place>,
}

/// What is indexed at a place of an index: `None` where it is no column.
pub(super) type Place = Option<Indexed>;

/// An indexed column.
#[derive(Clone)]
pub(super) struct Indexed {
    pub(super) column: String,
    pub(super) source_type: String,
    pub(super) not_null: bool,
    /// How its bounds are written, where they can be.
    pub(super) order: Result<KeyOrder, KeyDefect>,
}

/// A table's keys; after the first column of a primary key of several, all of them. And the
/// primary key, where it is not among them. They keep the order of `indexes`; which is best is the
/// profiler's to say.
pub(super) fn keys(indexes: &[Index]) -> (Vec<Key>, Option<UnusableKey>) {
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for index in indexes {
        if let Some(key) = leading(index).filter(|key| seen.insert(key.column.clone())) {
            let whole = whole(index, key.clone());
            keys.extend([Some(key), whole].into_iter().flatten());
        }
    }
    let primary = indexes.iter().find(|index| index.primary);
    (keys, primary.and_then(unusable))
}

fn leading(index: &Index) -> Option<Key> {
    let first = index.places.first()?.as_ref()?;
    Some(Key {
        column: first.column.clone(),
        source_type: first.source_type.clone(),
        order: first.order.clone().ok()?,
        primary: index.primary,
        unique: index.unique && index.places.len() == 1,
        nullable: !first.not_null,
        rest: Vec::new(),
    })
}

/// All columns of a primary key of several, where each has an order.
fn whole(index: &Index, first: Key) -> Option<Key> {
    let rest = index
        .places
        .get(1..)
        .filter(|rest| index.primary && !rest.is_empty())?;
    let of = |place: &Place| {
        let Indexed { column, order, .. } = place.clone()?;
        let order = order.ok()?;
        Some(KeyColumn { column, order })
    };
    let rest: Option<Vec<KeyColumn>> = rest.iter().map(of).collect();
    Some(Key {
        unique: true,
        rest: rest?,
        ..first
    })
}

/// The key that begins with a column for which no bounds can be written.
fn unusable(index: &Index) -> Option<UnusableKey> {
    let first = index.places.first()?.as_ref()?;
    let defect = *first.order.as_ref().err()?;
    Some(UnusableKey {
        column: first.column.clone(),
        source_type: first.source_type.clone(),
        defect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(column: &str, order: Result<KeyOrder, KeyDefect>) -> Place {
        Some(Indexed {
            column: column.to_owned(),
            source_type: "x".to_owned(),
            not_null: true,
            order,
        })
    }

    fn index(primary: bool, unique: bool, places: Vec<Place>) -> Index {
        Index {
            primary,
            unique,
            places,
        }
    }

    fn names(keys: &[Key]) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_primary_key_follows_its_first_column_and_no_column_comes_twice() {
        let int = || Ok(KeyOrder::Integer);
        let (keys, unusable) = keys(&[
            index(true, true, vec![place("a", int()), place("b", int())]),
            index(false, true, vec![place("c", int()), place("d", int())]),
            index(false, true, vec![place("e", int())]),
            index(false, false, vec![place("a", int())]),
            index(false, false, vec![None, place("f", int())]),
        ]);
        assert_eq!(names(&keys), ["a", "(a, b)", "c", "e"]);
        assert!(unusable.is_none());
    }

    #[test]
    fn a_primary_key_without_an_order_is_named_with_its_defect() {
        let places = vec![place("a", Err(KeyDefect::TwoOrders))];
        let other = index(false, false, vec![place("b", Ok(KeyOrder::Integer))]);
        let (keys, unusable) = keys(&[index(true, true, places), other]);
        assert_eq!(names(&keys), ["b"]);
        let unusable = unusable.expect("the primary key");
        assert_eq!(
            (unusable.column.as_str(), unusable.defect),
            ("a", KeyDefect::TwoOrders)
        );
    }
}
