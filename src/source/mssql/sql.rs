//! T-SQL, as text: quoting, parameters, and the predicates of chunks. No server.
//!
//! Identifiers stand in brackets, with `]` doubled. Values travel as typed parameters of
//! `sp_executesql`: no text of a key becomes part of a statement.

use super::super::dialect::{DialectError, where_clause};
use super::super::spelt::{self, Spelling};
use super::types::{Charset, Storage};
use crate::model::{ChunkBounds, Column, FieldType, Key, KeyOrder, KeyRange, KeyValue, Relation};

/// A statement and its parameters, `@P1` the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

/// A value that a statement is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// `bigint`
    Int(i64),
    /// `nvarchar`
    Text(String),
}

impl Statement {
    /// A statement without parameters.
    pub(super) fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Vec::new(),
        }
    }

    /// A statement whose parameters are texts.
    pub(super) fn with_texts(sql: impl Into<String>, texts: &[&str]) -> Self {
        let texts = texts.iter().map(|text| Parameter::Text((*text).to_owned()));
        Self {
            sql: sql.into(),
            parameters: texts.collect(),
        }
    }
}

/// Quotes an identifier. Brackets do whatever `QUOTED_IDENTIFIER` says.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// `[schema].[table]`.
pub(super) fn quote_relation(relation: &Relation) -> String {
    format!(
        "{}.{}",
        quote_identifier(&relation.schema),
        quote_identifier(&relation.name)
    )
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02X}");
        digits
    })
}

/// What stands behind FROM: the relation or, under its name, the statement of `--query`, which may
/// end in a comment.
pub(super) fn from_item(relation: &Relation, query: Option<&str>) -> String {
    match query {
        None => quote_relation(relation),
        Some(query) => format!("({query}\n) AS {}", quote_identifier(&relation.name)),
    }
}

/// What is selected of a column: as the driver reads it exactly.
pub(super) fn item(column: &Column, storage: &Storage) -> String {
    let name = quote_identifier(&column.name);
    let cast = |value: &str, to: &str| format!("CAST({value} AS {to})");
    let bytes = |max: bool| {
        if max {
            "varbinary(max)"
        } else {
            "varbinary(8000)"
        }
    };
    let value = match storage {
        Storage::Money { precision } => cast(&name, &format!("decimal({precision},4)")),
        Storage::Text { charset, max } => {
            // The bytes that are stored, where these are wanted; else those of its UTF-16.
            let stored = column.field == FieldType::Binary;
            match (charset, max, column.source_type.as_str()) {
                (_, _, "text") if stored => cast(&cast(&name, "varchar(max)"), "varbinary(max)"),
                (_, _, "ntext" | "xml") => cast(&cast(&name, "nvarchar(max)"), "varbinary(max)"),
                (Charset::Converted, true, _) if !stored => {
                    cast(&cast(&name, "nvarchar(max)"), "varbinary(max)")
                }
                (Charset::Converted, false, _) if !stored => {
                    cast(&cast(&name, "nvarchar(4000)"), "varbinary(8000)")
                }
                (_, max, _) => cast(&name, bytes(*max)),
            }
        }
        Storage::Image => cast(&name, "varbinary(max)"),
        Storage::Variant => cast(&variant(&name), "varbinary(max)"),
        Storage::Other => cast(&format!("CONVERT(nvarchar(max), {name})"), "varbinary(max)"),
        _ => return name,
    };
    format!("{value} AS {name}")
}

/// The text of a `sql_variant`, with every digit that its own type has: what the server writes by
/// itself has six of a float's.
fn variant(name: &str) -> String {
    let of = |kinds: &str, text: &str| {
        format!("WHEN SQL_VARIANT_PROPERTY({name}, 'BaseType') IN ({kinds}) THEN {text}")
    };
    let convert =
        |to: &str, style: u8| format!("CONVERT(nvarchar(max), CAST({name} AS {to}), {style})");
    let kinds = [
        of("'float'", &convert("float", 3)),
        of("'real'", &convert("real", 3)),
        of("'money', 'smallmoney'", &convert("money", 2)),
        of("'binary', 'varbinary'", &convert("varbinary(8000)", 1)),
        of("'datetime', 'smalldatetime'", &convert("datetime", 121)),
        of("'datetime2'", &convert("datetime2", 121)),
        of("'datetimeoffset'", &convert("datetimeoffset", 121)),
        of("'date'", &convert("date", 23)),
        of("'time'", &convert("time", 121)),
    ];
    format!(
        "CASE {} ELSE CONVERT(nvarchar(max), {name}) END",
        kinds.join(" ")
    )
}

/// `SELECT … FROM … WHERE …` of a chunk.
///
/// # Errors
/// A key chunk without a key, a block chunk, a bound that does not fit the key.
pub(super) fn select(
    items: &[String],
    from: &str,
    filter: Option<&str>,
    (bounds, key): (&ChunkBounds, Option<&Key>),
) -> Result<Statement, DialectError> {
    let mut spelt = Parameters::default();
    let predicate = spelt::predicate(&mut spelt, bounds, key)?;
    Ok(Statement {
        sql: format!(
            "SELECT {} FROM {from}{}",
            items.join(", "),
            where_clause(filter, predicate.as_deref())
        ),
        parameters: spelt.0,
    })
}

/// Whether a range's bounds ascend, as a question for the server; `None` where we know it, and where
/// there are not two bounds.
///
/// # Errors
/// [`DialectError::Misfit`].
pub(super) fn ascends(key: &Key, range: &KeyRange) -> Result<Option<Statement>, DialectError> {
    let mut spelt = Parameters::default();
    let below = spelt::ascends(&mut spelt, key, range)?;
    Ok(below.map(|below| Statement {
        sql: format!("SELECT CASE WHEN {below} THEN 1 ELSE 0 END"),
        parameters: spelt.0,
    }))
}

/// T-SQL's way to say it, which has no values of rows: every value a parameter, turned into exactly the
/// column's type.
#[derive(Default)]
struct Parameters(Vec<Parameter>);

impl Spelling for Parameters {
    fn column(&self, name: &str) -> String {
        quote_identifier(name)
    }

    fn integer(&mut self, value: i128) -> String {
        // All that there are have 64 bits.
        let value = i64::try_from(value).unwrap_or_default();
        format!("@P{}", self.place(Parameter::Int(value)))
    }

    fn typed(&mut self, value: &KeyValue, order: &KeyOrder) -> Option<String> {
        let (
            KeyValue::Typed { kind, text },
            KeyOrder::Server {
                cast: Some(cast),
                collation,
                ..
            },
        ) = (value, order)
        else {
            return None;
        };
        (kind == self::kind(cast)).then_some(())?;
        let place = self.place(Parameter::Text(text.clone()));
        Some(match (kind.as_str(), collation) {
            // Digits behind `0x`, which style 1 reads.
            ("binary" | "varbinary", _) => format!("CONVERT({cast}, @P{place}, 1)"),
            (_, Some(collation)) => format!("CAST(@P{place} AS {cast}) COLLATE {collation}"),
            _ => format!("CAST(@P{place} AS {cast})"),
        })
    }
}

impl Parameters {
    /// The number of a parameter. The same value has the same, so that terms that are alike look alike.
    fn place(&mut self, parameter: Parameter) -> usize {
        let known = self.0.iter().position(|known| *known == parameter);
        known.unwrap_or_else(|| {
            self.0.push(parameter);
            self.0.len() - 1
        }) + 1
    }
}

/// The name of a type without its arguments: the kind of its key values.
pub(super) fn kind(cast: &str) -> &str {
    cast.split_once('(').map_or(cast, |(kind, _)| kind)
}

/// A key column as text that a bound is made of.
pub(super) fn shown(name: &str, order: &KeyOrder) -> String {
    let name = quote_identifier(name);
    let KeyOrder::Server {
        cast: Some(cast), ..
    } = order
    else {
        return name;
    };
    match kind(cast) {
        "binary" | "varbinary" => format!("CONVERT(varchar(max), {name}, 1)"),
        // ISO 8601, which no setting of dates reads otherwise.
        "smalldatetime" | "datetime" | "datetime2" | "datetimeoffset" => {
            format!("CONVERT(nvarchar(40), {name}, 126)")
        }
        "date" => format!("CONVERT(nvarchar(40), {name}, 23)"),
        "time" => format!("CONVERT(nvarchar(40), {name}, 121)"),
        "decimal" | "uniqueidentifier" => format!("CONVERT(nvarchar(60), {name})"),
        // Two would be all that is shown of its four digits.
        "money" | "smallmoney" => format!("CONVERT(nvarchar(60), {name}, 2)"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeyColumn, ReadAs};

    fn order(cast: &str, collation: Option<&str>) -> KeyOrder {
        KeyOrder::Server {
            cast: Some(cast.to_owned()),
            collation: collation.map(str::to_owned),
            operators: None,
        }
    }

    fn key(order: KeyOrder, rest: &[KeyOrder]) -> Key {
        Key {
            column: "a".to_owned(),
            source_type: "x".to_owned(),
            order,
            primary: true,
            unique: true,
            nullable: false,
            rest: ["b", "c"]
                .into_iter()
                .zip(rest)
                .map(|(column, order)| KeyColumn {
                    column: column.to_owned(),
                    order: order.clone(),
                })
                .collect(),
        }
    }

    fn chunk(key: &Key, lower: Option<KeyValue>, upper: Option<KeyValue>) -> Statement {
        let bounds = ChunkBounds::Key(KeyRange { lower, upper });
        select(&["1".to_owned()], "t", None, (&bounds, Some(key))).expect("a statement")
    }

    fn text(text: &str) -> Parameter {
        Parameter::Text(text.to_owned())
    }

    #[test]
    fn brackets_are_doubled() {
        assert_eq!(quote_identifier("a]b.[c\"'"), "[a]]b.[c\"']");
    }

    #[test]
    fn integers_are_parameters_of_64_bits() {
        let key = key(KeyOrder::Integer, &[]);
        let int = |value: i128| Some(KeyValue::Int(value));
        let range = chunk(&key, int(-5), int(i64::MAX.into()));
        assert_eq!(
            range.sql,
            "SELECT 1 FROM t WHERE ([a] >= @P1 AND [a] < @P2\n)"
        );
        let expected = [Parameter::Int(-5), Parameter::Int(i64::MAX)];
        assert_eq!(range.parameters, expected);
        let beyond = i128::from(i64::MAX) + 1;
        assert!(chunk(&key, int(beyond), None).sql.contains("1 = 0"));
        assert!(
            chunk(&key, None, int(beyond))
                .sql
                .contains("[a] IS NOT NULL")
        );
        assert!(chunk(&key, None, int(-beyond - 1)).sql.contains("1 = 0"));
    }

    #[test]
    fn bounds_have_exactly_the_columns_type_and_collation() {
        let typed = |kind: &str, text: &str| Some(KeyValue::typed(kind, text));
        let word = key(order("varchar(20)", Some("Latin1_General_CI_AS")), &[]);
        let range = chunk(&word, typed("varchar", "it's"), None);
        assert!(
            range
                .sql
                .contains("[a] >= CAST(@P1 AS varchar(20)) COLLATE Latin1_General_CI_AS"),
            "{range:?}"
        );
        assert_eq!(range.parameters, [text("it's")]);
        let bytes = key(order("varbinary(8)", None), &[]);
        let range = chunk(&bytes, None, typed("varbinary", "0xFF"));
        assert!(range.sql.contains("[a] < CONVERT(varbinary(8), @P1, 1)"));
        let bounds = ChunkBounds::Key(KeyRange {
            lower: typed("datetime", "2024-01-01"),
            upper: None,
        });
        assert!(select(&[], "t", None, (&bounds, Some(&word))).is_err());
    }

    #[test]
    fn several_columns_are_spelt_out() {
        let key = key(KeyOrder::Integer, &[order("date", None)]);
        let bound = |a: i128, b: &str| {
            let parts = vec![KeyValue::Int(a), KeyValue::typed("date", b)];
            Some(KeyValue::Tuple(parts))
        };
        let range = chunk(&key, bound(1, "2024-01-01"), None);
        assert_eq!(
            range.sql,
            "SELECT 1 FROM t WHERE (([a] >= @P1 AND ([a] > @P1 OR ([b] >= CAST(@P2 AS date))))\n)"
        );
        let ends = KeyRange {
            lower: bound(1, "2024-01-01"),
            upper: bound(1, "2024-01-02"),
        };
        let question = ascends(&key, &ends)
            .expect("a question")
            .expect("a question");
        assert_eq!(question.parameters.len(), 3);
    }

    #[test]
    fn columns_are_selected_as_they_can_be_read_exactly() {
        let column = |source_type: &str, field: FieldType| Column {
            name: "a]b".to_owned(),
            source_type: source_type.to_owned(),
            base_type: String::new(),
            read: ReadAs::Native,
            field,
            nullable: true,
            comment: None,
            generated: None,
            on_unrepresentable: Default::default(),
            lossy: false,
        };
        let money = Storage::Money { precision: 19 };
        assert_eq!(
            item(&column("money", FieldType::Utf8), &money),
            "CAST([a]]b] AS decimal(19,4)) AS [a]]b]"
        );
        let converted = Storage::Text {
            charset: Charset::Converted,
            max: true,
        };
        assert_eq!(
            item(&column("xml", FieldType::Utf8), &converted),
            "CAST(CAST([a]]b] AS nvarchar(max)) AS varbinary(max)) AS [a]]b]"
        );
        assert_eq!(
            item(&column("text", FieldType::Binary), &converted),
            "CAST(CAST([a]]b] AS varchar(max)) AS varbinary(max)) AS [a]]b]"
        );
        assert_eq!(
            item(&column("int", FieldType::Int32), &Storage::Int),
            "[a]]b]"
        );
        let variant = item(&column("sql_variant", FieldType::Utf8), &Storage::Variant);
        assert!(variant.contains("CONVERT(nvarchar(max), CAST([a]]b] AS float), 3)"));
    }
}
