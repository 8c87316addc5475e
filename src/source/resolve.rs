//! Table and column names as people write them: pure matching, no server.

pub(super) mod wild;

use std::collections::BTreeSet;

use super::{Result, SourceError};
use crate::model::{Relation, Selection, nearest};

/// A relation that the catalogue knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its name.
    pub(super) relation: Relation,
    /// Where its schema stands on the role's search path, if it is there.
    pub(super) place: Option<usize>,
}

/// One way to read what the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    schema: Option<Part>,
    name: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    text: String,
    /// Written in quotes: literal.
    quoted: bool,
}

impl Part {
    fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            quoted: false,
        }
    }

    fn fits(&self, name: &str, folded: bool) -> bool {
        name == self.text || (folded && !self.quoted && fold(name) == fold(&self.text))
    }
}

/// Case folding for matching; the server itself folds unquoted names to lower case.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Every way to read a table's name, most likely first: `schema.table` at each dot, then the whole
/// text as one name. `quotes` are the signs, opening and closing,
/// that make a part literal.
pub(super) fn readings(text: &str, quotes: &[(char, char)]) -> Vec<Reading> {
    if let Some(parts) = quoted_parts(text, quotes) {
        return match <[Part; 2]>::try_from(parts) {
            Ok([schema, name]) => vec![Reading {
                schema: Some(schema),
                name,
            }],
            Err(mut parts) if parts.len() == 1 => parts
                .pop()
                .map(|name| Reading { schema: None, name })
                .into_iter()
                .collect(),
            // More parts than a name has, or a database in front: nothing here has such a name.
            Err(_) => Vec::new(),
        };
    }
    let split = text.match_indices('.').filter_map(|(at, _)| {
        let (schema, name) = (&text[..at], &text[at + 1..]);
        (!schema.is_empty() && !name.is_empty()).then(|| Reading {
            schema: Some(Part::plain(schema)),
            name: Part::plain(name),
        })
    });
    split
        .chain(std::iter::once(Reading {
            schema: None,
            name: Part::plain(text),
        }))
        .collect()
}

/// The parts of a name of which at least one is in quotes; `None` when none is, or when the
/// quotes do not enclose whole parts and so belong to the name.
fn quoted_parts(text: &str, quotes: &[(char, char)]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let first = rest.chars().next();
        let quote = quotes.iter().find(|(open, _)| Some(*open) == first);
        let (part, after) = match quote {
            Some((open, close)) => {
                let (text, after) = closing_quote(&rest[open.len_utf8()..], *close)?;
                (Part { text, quoted: true }, after)
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (Part::plain(&rest[..end]), &rest[end..])
            }
        };
        if part.text.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return None,
        }
    }
    parts.iter().any(|part| part.quoted).then_some(parts)
}

/// The text up to the closing quote, doubled quotes undone, and what follows it.
fn closing_quote(inner: &str, quote: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find(quote)?;
        text.push_str(&rest[..end]);
        rest = &rest[end + quote.len_utf8()..];
        match rest.strip_prefix(quote) {
            Some(next) => {
                text.push(quote);
                rest = next;
            }
            None => return Some((text, rest)),
        }
    }
}

/// The bare names that any reading could mean, as written and folded: what to ask the catalogue for.
pub(super) fn names(readings: &[Reading]) -> (Vec<String>, Vec<String>) {
    let texts = readings.iter().map(|reading| &reading.name.text);
    texts.map(|text| (text.clone(), fold(text))).unzip()
}

/// The readings, with `schema` for those that name none.
pub(super) fn within(readings: Vec<Reading>, schema: &str) -> Vec<Reading> {
    let place = |reading: Reading| Reading {
        schema: reading.schema.or_else(|| {
            Some(Part {
                text: schema.to_owned(),
                quoted: true,
            })
        }),
        ..reading
    };
    readings.into_iter().map(place).collect()
}

/// The first reading as a name, where it has a schema.
pub(super) fn likeliest(readings: &[Reading]) -> Option<Relation> {
    let reading = readings.first()?;
    Some(Relation {
        schema: reading.schema.as_ref()?.text.clone(),
        name: reading.name.text.clone(),
    })
}

/// What a name turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// One relation.
    One(Relation),
    /// None.
    Missing,
    /// Several that fit equally well.
    Several(Vec<Relation>),
}

/// Picks the relation that is meant: the first reading that fits anything, exactly or else by
/// folding; among several without a schema, the one the search path finds.
pub(super) fn choose(readings: &[Reading], known: &[Known]) -> Found {
    for reading in readings {
        for folded in [false, true] {
            let fitting: Vec<&Known> = known
                .iter()
                .filter(|known| reading.name.fits(&known.relation.name, folded))
                .filter(|known| match &reading.schema {
                    Some(schema) => schema.fits(&known.relation.schema, folded),
                    None => true,
                })
                .collect();
            let on_path = |known: &&Known| known.place.filter(|_| reading.schema.is_none());
            let first = fitting.iter().filter_map(on_path).min();
            let visible: Vec<&Known> = fitting
                .iter()
                .filter(|known| first.is_some() && on_path(known) == first)
                .copied()
                .collect();
            let best = if visible.is_empty() { fitting } else { visible };
            match best.as_slice() {
                [] => {}
                [one] => return Found::One(one.relation.clone()),
                several => {
                    return Found::Several(
                        several.iter().map(|known| known.relation.clone()).collect(),
                    );
                }
            }
        }
    }
    Found::Missing
}

/// The position of the column that is meant: exact, else by folding where that is unique.
pub(super) fn column(wanted: &str, names: &[String]) -> Option<usize> {
    if let Some(exact) = names.iter().position(|name| name == wanted) {
        return Some(exact);
    }
    let wanted = fold(wanted);
    let mut fitting = names
        .iter()
        .enumerate()
        .filter(|(_, name)| fold(name) == wanted);
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first.0)
}

/// The position of the column that is meant.
///
/// # Errors
/// [`SourceError::ColumnMissing`] with the nearest names.
pub(super) fn find_column(wanted: &str, names: &[String], relation: &Relation) -> Result<usize> {
    column(wanted, names).ok_or_else(|| SourceError::ColumnMissing {
        column: wanted.to_owned(),
        table: relation.to_string(),
        near: nearest(
            wanted,
            names.iter().map(|name| (name.as_str(), name.as_str())),
        ),
    })
}

/// Positions of the selected columns, in the catalogue's order.
///
/// # Errors
/// A column that is not there, or none that is left.
pub(super) fn choose_columns(
    names: &[String],
    selection: &Selection,
    relation: &Relation,
) -> Result<Vec<usize>> {
    let find = |wanted: &String| find_column(wanted, names, relation);
    let wanted: BTreeSet<usize> = if selection.columns.is_empty() {
        (0..names.len()).collect()
    } else {
        selection.columns.iter().map(find).collect::<Result<_>>()?
    };
    let excluded: BTreeSet<usize> = selection.exclude.iter().map(find).collect::<Result<_>>()?;
    let chosen: Vec<usize> = wanted.difference(&excluded).copied().collect();
    if chosen.is_empty() {
        return Err(SourceError::nothing_to_read(relation, names.is_empty()));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relation(schema: &str, name: &str) -> Relation {
        Relation {
            schema: schema.to_owned(),
            name: name.to_owned(),
        }
    }

    fn catalogue(entries: &[(&str, &str, bool)]) -> Vec<Known> {
        entries
            .iter()
            .map(|(schema, name, visible)| Known {
                relation: relation(schema, name),
                place: visible.then_some(1),
            })
            .collect()
    }

    fn chosen(text: &str, known: &[Known]) -> Found {
        choose(&readings(text, &[('"', '"')]), known)
    }

    #[test]
    fn schema_and_table_come_before_a_name_with_a_dot() {
        let known = catalogue(&[("a", "b", false), ("public", "a.b", true)]);
        assert_eq!(chosen("a.b", &known), Found::One(relation("a", "b")));
        assert_eq!(
            chosen("\"a.b\"", &known),
            Found::One(relation("public", "a.b"))
        );
        assert_eq!(
            chosen("public.a.b", &known),
            Found::One(relation("public", "a.b"))
        );
        assert_eq!(
            chosen("a.b", &known[1..]),
            Found::One(relation("public", "a.b"))
        );
    }

    #[test]
    fn exact_comes_before_folded_and_quotes_forbid_folding() {
        let known = catalogue(&[("public", "orders", true), ("public", "Orders", true)]);
        assert_eq!(
            chosen("Orders", &known),
            Found::One(relation("public", "Orders"))
        );
        assert_eq!(
            chosen("orders", &known),
            Found::One(relation("public", "orders"))
        );
        assert!(matches!(chosen("ORDERS", &known), Found::Several(_)));
        assert_eq!(chosen("\"ORDERS\"", &known), Found::Missing);
        assert_eq!(
            chosen("PUBLIC.ORDERS", &known[..1]),
            Found::One(relation("public", "orders"))
        );
    }

    #[test]
    fn a_bare_name_is_what_the_search_path_finds_else_unique() {
        let known = catalogue(&[("x", "t", false), ("y", "t", true), ("z", "t", false)]);
        assert_eq!(chosen("t", &known), Found::One(relation("y", "t")));
        let unseen = catalogue(&[("x", "t", false), ("z", "t", false)]);
        assert!(matches!(chosen("t", &unseen), Found::Several(list) if list.len() == 2));
        assert_eq!(chosen("t", &unseen[..1]), Found::One(relation("x", "t")));
    }

    #[test]
    fn each_server_has_its_own_quotes() {
        let known = catalogue(&[("d", "a`b.c", false)]);
        let found = |text: &str| {
            choose(
                &readings(text, &[('`', '`'), ('"', '"'), ('[', ']')]),
                &known,
            )
        };
        assert_eq!(found("d.`a``b.c`"), Found::One(relation("d", "a`b.c")));
        assert_eq!(found("\"a`b.c\""), Found::One(relation("d", "a`b.c")));
        assert_eq!(found("`A``b.c`"), Found::Missing);
        assert_eq!(found("[d].[a`b.c]"), Found::One(relation("d", "a`b.c")));
        let brackets = catalogue(&[("d", "a]b[c", false)]);
        let readings = readings("[d].[a]]b[c]", &[('[', ']')]);
        assert_eq!(
            choose(&readings, &brackets),
            Found::One(relation("d", "a]b[c"))
        );
    }

    #[test]
    fn quotes_are_undone() {
        let known = catalogue(&[("My Schema", "we\"ird.t", false)]);
        assert_eq!(
            chosen("\"My Schema\".\"we\"\"ird.t\"", &known),
            Found::One(relation("My Schema", "we\"ird.t"))
        );
        // Quotes in the middle belong to the name.
        assert_eq!(
            chosen("we\"ird.t", &known),
            Found::One(relation("My Schema", "we\"ird.t"))
        );
    }

    #[test]
    fn columns_match_exactly_then_by_folding() {
        let names = ["Id".to_owned(), "ID".to_owned(), "Name".to_owned()];
        assert_eq!(column("ID", &names), Some(1));
        assert_eq!(column("id", &names), None);
        assert_eq!(column("name", &names), Some(2));
    }

    proptest! {
        #[test]
        fn any_quoted_name_is_found(schema in ".{1,8}", name in ".{1,8}") {
            let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
            let known = catalogue(&[(&schema, &name, false)]);
            let text = format!("{}.{}", quote(&schema), quote(&name));
            prop_assert_eq!(chosen(&text, &known), Found::One(relation(&schema, &name)));
        }

        #[test]
        fn any_unique_name_is_found_unquoted(name in "[^\"]{1,10}") {
            let known = catalogue(&[("public", &name, true)]);
            prop_assert_eq!(chosen(&name, &known), Found::One(relation("public", &name)));
        }
    }
}
