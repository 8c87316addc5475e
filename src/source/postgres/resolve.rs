//! Table and column names as people write them: pure matching, no server.

use crate::model::Relation;

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
/// text as one name.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    if let Some(parts) = quoted_parts(text) {
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

/// The parts of a name of which at least one is in double quotes; `None` when none is, or when the
/// quotes do not enclose whole parts and so belong to the name.
fn quoted_parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inner) => {
                let (text, after) = closing_quote(inner)?;
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
fn closing_quote(inner: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('"')?;
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                text.push('"');
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
        choose(&readings(text), known)
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
