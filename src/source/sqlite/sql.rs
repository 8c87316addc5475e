//! SQLite's SQL, as text: quoting, names as users write them, select lists.

use crate::model::{Column, Relation};

/// Quotes an identifier. Any name works: SQLite ends a quoted identifier only at a lone `"`.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A relation, both parts quoted.
pub(super) fn qualified(relation: &Relation) -> String {
    format!("{}.{}", quote(&relation.schema), quote(&relation.name))
}

/// One part of a name as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The name without its quotes.
    pub(super) text: String,
    /// It was written in quotes and matches only exactly.
    pub(super) literal: bool,
}

impl Part {
    fn bare(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            literal: false,
        }
    }
}

/// One way to read a table's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The schema, where there is one before the first dot.
    pub(super) schema: Option<Part>,
    /// The table.
    pub(super) name: Part,
}

/// Every way to read `text` as a table's name, in the order they are to be tried: `schema.table`,
/// then the whole text as one literal name.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    let mut found = Vec::new();
    if let Some((first, rest)) = part(text) {
        match rest.strip_prefix('.').map(part) {
            Some(Some((name, ""))) => found.push(Reading {
                schema: Some(first),
                name,
            }),
            None if rest.is_empty() => found.push(Reading {
                schema: None,
                name: first,
            }),
            _ => {}
        }
        // `main.a.b` is the table `a.b` of `main`: only the first dot may separate.
        if let Some((schema, name)) = text.split_once('.')
            && name.contains('.')
            && !text.starts_with(['"', '`', '['])
        {
            found.push(Reading {
                schema: Some(Part::bare(schema)),
                name: Part::bare(name),
            });
        }
    }
    let whole = Reading {
        schema: None,
        name: Part::bare(text),
    };
    if !found.contains(&whole) {
        found.push(whole);
    }
    found
}

/// Splits the first part off: a quoted one ends at its closing quote, a bare one at the first dot.
fn part(text: &str) -> Option<(Part, &str)> {
    let close = match text.chars().next()? {
        quote @ ('"' | '`') => quote,
        '[' => ']',
        _ => {
            let end = text.find('.').unwrap_or(text.len());
            return (end > 0).then(|| (Part::bare(&text[..end]), &text[end..]));
        }
    };
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char != close {
            name.push(char);
        } else if close != ']' && chars.peek().is_some_and(|(_, next)| *next == close) {
            name.push(char);
            chars.next();
        } else {
            let literal = Part {
                text: name,
                literal: true,
            };
            return Some((literal, &text[at + char.len_utf8()..]));
        }
    }
    None
}

/// `WHERE …` from a chunk's condition and the user's filter; empty when there is neither.
///
/// The filter ends with a newline, so that a comment at its end hides nothing of ours.
pub(super) fn where_clause(chunk: Option<&str>, filter: Option<&str>) -> String {
    let filter = filter.map(|filter| format!("({filter}\n)"));
    let terms: Vec<String> = chunk
        .map(|chunk| format!("({chunk})"))
        .into_iter()
        .chain(filter)
        .collect();
    if terms.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", terms.join(" AND "))
    }
}

/// The statement that reads a chunk: the columns and, where a row has a name, its key as the last.
///
/// `stored` tables are read in key order from their own b-tree, unless the user's filter makes an
/// index worth its while.
pub(super) fn select(
    from: &str,
    columns: &[Column],
    row_name: Option<&str>,
    stored: bool,
    condition: &str,
) -> String {
    let list: Vec<String> = columns
        .iter()
        .map(|column| quote(&column.name))
        .chain(row_name.map(quote))
        .collect();
    let hint = if stored { " NOT INDEXED" } else { "" };
    format!("SELECT {} FROM {from}{hint}{condition}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bare(text: &str) -> Part {
        Part::bare(text)
    }

    fn literal(text: &str) -> Part {
        Part {
            text: text.to_owned(),
            literal: true,
        }
    }

    #[test]
    fn a_name_is_read_as_schema_and_table_first_then_whole() {
        let main_t = Reading {
            schema: Some(bare("main")),
            name: bare("t"),
        };
        let whole = Reading {
            schema: None,
            name: bare("main.t"),
        };
        assert_eq!(readings("main.t"), [main_t, whole]);
        assert_eq!(readings("t").len(), 1);
        assert_eq!(
            readings("main.a.b")[0],
            Reading {
                schema: Some(bare("main")),
                name: bare("a.b")
            }
        );
    }

    #[test]
    fn quoted_parts_are_literal() {
        assert_eq!(readings("\"a.b\"")[0].name, literal("a.b"));
        assert_eq!(readings("[a]]")[0].name, bare("[a]]"));
        assert_eq!(
            readings("\"say \"\"hi\"\"\"")[0].name,
            literal("say \"hi\"")
        );
        assert_eq!(
            readings("main.`x y`")[0],
            Reading {
                schema: Some(bare("main")),
                name: literal("x y")
            }
        );
        assert_eq!(readings("\"open")[0].name, bare("\"open"));
        assert_eq!(readings("")[0].name, bare(""));
    }

    #[test]
    fn a_comment_at_the_filters_end_hides_nothing() {
        assert_eq!(
            where_clause(Some("\"id\" < 5"), Some("a = 1 -- all of them")),
            " WHERE (\"id\" < 5) AND (a = 1 -- all of them\n)"
        );
        assert_eq!(where_clause(None, None), "");
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_read_back(name in "\\PC{1,12}") {
            prop_assert_eq!(&readings(&quote(&name))[0].name, &literal(&name));
        }
    }
}
