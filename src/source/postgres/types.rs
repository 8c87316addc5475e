//! The type mapping, version 1: what each of PostgreSQL's types is in Arrow.

use super::super::remote::Mapped;
use super::decode;
use crate::model::{FieldType, ReadAs, TimeUnit, TypeMode, TypeOverride};

/// A column's type as the catalogue has it: domains resolved, and of an array its elements' type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerType {
    /// `pg_type.typname` of the base type.
    pub(super) name: String,
    /// Whether the base type belongs to `pg_catalog`, so that its name means what we know.
    pub(super) built_in: bool,
    /// `pg_type.typtype` is `e`.
    pub(super) is_enum: bool,
    /// The type modifier, −1 when there is none.
    pub(super) modifier: i32,
    /// The column holds arrays of it.
    pub(super) is_array: bool,
    /// Digits that `money` has after the point here.
    pub(super) money_scale: Option<u8>,
}

/// The mapping of a type.
pub(super) fn map(server: &ServerType, mode: TypeMode) -> Mapped {
    let element = native_field(server, mode);
    let read = match element {
        Some(_) => ReadAs::Native,
        None => ReadAs::Text,
    };
    let element = element.unwrap_or(FieldType::Utf8);
    Mapped {
        base_type: base_type(server),
        read,
        field: if server.is_array {
            FieldType::List(Box::new(element))
        } else {
            element
        },
        lossy: false,
    }
}

/// The decoder's name of a type. It says all that a plan made for the column depends on, so that a
/// plan does not survive a change of it.
fn base_type(server: &ServerType) -> String {
    let element = match server.money_scale {
        _ if server.is_enum => "enum".to_owned(),
        Some(scale) if server.built_in && server.name == "money" => format!("money({scale})"),
        _ => server.name.clone(),
    };
    if server.is_array {
        format!("{element}[]")
    } else {
        element
    }
}

/// The mapping that `--type COLUMN=TYPE` or `--lossy COLUMN=TYPE` asks for, where there is a decoder
/// that checks every value, or one that may lose some of it and `lossy` allows that.
pub(super) fn as_wanted(
    server: &ServerType,
    mode: TypeMode,
    wanted: &TypeOverride,
) -> Option<Mapped> {
    let natural = map(server, mode);
    let field = &wanted.field;
    if natural.field == *field {
        return Some(natural);
    }
    let texts = FieldType::List(Box::new(FieldType::Utf8));
    if *field == FieldType::Utf8 || server.is_array && *field == texts {
        return Some(Mapped {
            read: ReadAs::Text,
            field: field.clone(),
            ..natural
        });
    }
    if *field == FieldType::Binary
        && natural.field == FieldType::Utf8
        && natural.read == ReadAs::Text
    {
        // The bytes of the server's text, which need not be UTF-8 in a SQL_ASCII database.
        return Some(Mapped {
            field: field.clone(),
            ..natural
        });
    }
    // A name that we know means what we know only where the server itself defined it.
    let known = server.built_in || server.is_enum || server.name == "citext";
    let can_read = |lossy| known && decode::can_read(&natural.base_type, field, lossy);
    (can_read(false) || wanted.lossy && can_read(true)).then(|| Mapped {
        read: ReadAs::Native,
        field: field.clone(),
        lossy: wanted.lossy,
        ..natural
    })
}

/// Whether only `--lossy` could write a type as an output type.
pub(super) fn would_lose(server: &ServerType, mode: TypeMode, field: &FieldType) -> bool {
    let wanted = TypeOverride {
        column: String::new(),
        field: field.clone(),
        lossy: true,
    };
    as_wanted(server, mode, &wanted).is_some()
}

/// The output type of what we decode ourselves; `None` leaves it to the server's text cast.
fn native_field(server: &ServerType, mode: TypeMode) -> Option<FieldType> {
    if server.is_enum {
        return Some(FieldType::Utf8);
    }
    // citext is an extension's, wherever it was put; its wire format is text's.
    if !server.built_in {
        return (server.name == "citext").then_some(FieldType::Utf8);
    }
    let micros = |utc| FieldType::Timestamp {
        unit: TimeUnit::Micro,
        utc,
    };
    Some(match server.name.as_str() {
        "bool" => FieldType::Bool,
        "int2" => FieldType::Int16,
        "int4" => FieldType::Int32,
        "int8" => FieldType::Int64,
        "oid" | "xid" | "cid" if mode == TypeMode::Native => FieldType::UInt32,
        "oid" | "xid" | "cid" => FieldType::Int64,
        "xid8" if mode == TypeMode::Native => FieldType::UInt64,
        "xid8" => FieldType::Decimal {
            precision: 20,
            scale: 0,
        },
        "float4" => FieldType::Float32,
        "float8" => FieldType::Float64,
        "numeric" => return decimal(server.modifier, mode),
        // 64 bits of the currency's smallest unit have nineteen digits.
        "money" => FieldType::Decimal {
            precision: 19,
            scale: server.money_scale?,
        },
        "text" | "varchar" | "bpchar" | "name" => FieldType::Utf8,
        "bytea" => FieldType::Binary,
        "date" => FieldType::Date,
        "time" => FieldType::Time(TimeUnit::Micro),
        "timestamp" => micros(false),
        "timestamptz" => micros(true),
        "uuid" if mode == TypeMode::Native => FieldType::Uuid,
        "uuid" => FieldType::Utf8,
        "json" | "jsonb" => FieldType::Json,
        _ => return None,
    })
}

/// The decimal that holds every `numeric(p,s)`; `None` leaves it to text: no precision, more digits
/// than Parquet's readers or, in native mode, Arrow's 256 bits hold.
fn decimal(modifier: i32, mode: TypeMode) -> Option<FieldType> {
    // The modifier is 4 more than precision in the high half and scale in the low 11 bits, signed.
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = (packed >> 16) & 0xffff;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    let (precision, scale) = if scale < 0 {
        // Rounded to tens, hundreds, …: whole numbers that are longer by as many zeros.
        (precision - scale, 0)
    } else if scale > precision {
        // As many zeros stand between the point and the digits.
        (scale, scale)
    } else {
        (precision, scale)
    };
    let longest = match mode {
        TypeMode::Native => 76,
        TypeMode::Portable => 38,
    };
    let precision = u8::try_from(precision).ok()?;
    let scale = u8::try_from(scale).ok()?;
    (1..=longest)
        .contains(&precision)
        .then_some(FieldType::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, modifier: i32) -> ServerType {
        ServerType {
            name: name.to_owned(),
            built_in: true,
            is_enum: false,
            modifier,
            is_array: false,
            money_scale: (name == "money").then_some(2),
        }
    }

    fn array(name: &str) -> ServerType {
        ServerType {
            is_array: true,
            ..server(name, -1)
        }
    }

    fn wanted(field: &str, lossy: bool) -> TypeOverride {
        TypeOverride {
            column: "c".to_owned(),
            field: field.parse().expect("an output type"),
            lossy,
        }
    }

    fn modifier(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    #[test]
    fn decimals_that_fit_are_decimals() {
        let some = |precision, scale| Some(FieldType::Decimal { precision, scale });
        for (declared, portable, native) in [
            ((15, 2), some(15, 2), some(15, 2)),
            ((38, 38), some(38, 38), some(38, 38)),
            ((39, 0), None, some(39, 0)),
            ((76, 76), None, some(76, 76)),
            ((77, 0), None, None),
            // Version 15 allows scales outside the precision.
            ((5, -2), some(7, 0), some(7, 0)),
            ((38, -5), None, some(43, 0)),
            ((2, 5), some(5, 5), some(5, 5)),
            ((2, 40), None, some(40, 40)),
            ((1000, -1000), None, None),
        ] {
            let modifier = modifier(declared.0, declared.1);
            let found = |mode| decimal(modifier, mode);
            assert_eq!(found(TypeMode::Portable), portable, "{declared:?}");
            assert_eq!(found(TypeMode::Native), native, "{declared:?}");
        }
        assert_eq!(decimal(-1, TypeMode::Native), None);
    }

    #[test]
    fn unsigned_numbers_are_signed_where_not_every_reader_knows_them() {
        let field = |name, mode| map(&server(name, -1), mode).field;
        assert_eq!(field("oid", TypeMode::Portable), FieldType::Int64);
        assert_eq!(field("oid", TypeMode::Native), FieldType::UInt32);
        assert_eq!(field("xid8", TypeMode::Native), FieldType::UInt64);
        assert_eq!(
            field("xid8", TypeMode::Portable).to_string(),
            "decimal(20,0)"
        );
    }

    #[test]
    fn an_override_needs_a_decoder() {
        let can = |name, field: &str| {
            as_wanted(&server(name, -1), TypeMode::Portable, &wanted(field, false)).is_some()
        };
        assert!(can("numeric", "decimal(38,9)") && can("numeric", "decimal(76,0)"));
        assert!(can("uuid", "uuid") && can("text", "binary") && can("int4", "int64"));
        assert!(can("numeric", "int64") && can("text", "date") && can("int8", "int32"));
        assert!(can("timestamp", "timestamp(ns)") && can("timestamptz", "date"));
        assert!(!can("timestamp", "timestamp(us,utc)") && !can("timestamptz", "timestamp(us)"));
        assert!(!can("inet", "int64") && !can("interval", "int64") && !can("date", "bool"));
        let foreign = ServerType {
            built_in: false,
            ..server("numeric", -1)
        };
        let wish = wanted("decimal(9,0)", false);
        assert_eq!(as_wanted(&foreign, TypeMode::Portable, &wish), None);
    }

    #[test]
    fn what_loses_needs_permission_and_remembers_it() {
        let numeric = server("numeric", -1);
        assert_eq!(
            as_wanted(&numeric, TypeMode::Portable, &wanted("float64", false)),
            None
        );
        assert!(would_lose(
            &numeric,
            TypeMode::Portable,
            &FieldType::Float64
        ));
        let mapped = as_wanted(&numeric, TypeMode::Portable, &wanted("float64", true));
        assert!(mapped.expect("allowed").lossy);
        // What is the natural type anyway loses nothing.
        let same = as_wanted(
            &server("int4", -1),
            TypeMode::Portable,
            &wanted("int32", true),
        );
        assert!(!same.expect("allowed").lossy);
    }

    #[test]
    fn arrays_are_lists_of_what_their_elements_are() {
        let list = |name, mode| {
            let mapped = map(&array(name), mode);
            (mapped.base_type, mapped.read, mapped.field.to_string())
        };
        let is = |base: &str, read, field: &str| (base.to_owned(), read, field.to_owned());
        let native = TypeMode::Native;
        assert_eq!(
            list("int4", native),
            is("int4[]", ReadAs::Native, "list(int32)")
        );
        assert_eq!(
            list("uuid", native),
            is("uuid[]", ReadAs::Native, "list(uuid)")
        );
        assert_eq!(
            list("inet", native),
            is("inet[]", ReadAs::Text, "list(text)")
        );
        assert_eq!(
            list("numeric", native),
            is("numeric[]", ReadAs::Text, "list(text)")
        );
        assert_eq!(
            list("money", native),
            is("money(2)[]", ReadAs::Native, "list(decimal(19,2))")
        );
        let can = |field| as_wanted(&array("int4"), native, &wanted(field, false));
        assert_eq!(can("text").expect("text").read, ReadAs::Text);
        assert_eq!(can("list(text)").expect("texts").read, ReadAs::Text);
        assert_eq!(can("list(int64)").expect("numbers").read, ReadAs::Native);
        assert_eq!(can("int64"), None);
    }

    #[test]
    fn what_is_not_known_travels_as_text() {
        for name in ["interval", "timetz", "inet", "_int4", "xml", "char"] {
            let mapped = map(&server(name, -1), TypeMode::Native);
            assert_eq!((mapped.read, mapped.field), (ReadAs::Text, FieldType::Utf8));
        }
        let foreign = ServerType {
            built_in: false,
            ..server("int4", -1)
        };
        assert_eq!(map(&foreign, TypeMode::Native).read, ReadAs::Text);
    }

    #[test]
    fn uuid_depends_on_the_mode() {
        let uuid = server("uuid", -1);
        assert_eq!(map(&uuid, TypeMode::Portable).field, FieldType::Utf8);
        assert_eq!(map(&uuid, TypeMode::Native).field, FieldType::Uuid);
        let text = as_wanted(&uuid, TypeMode::Native, &wanted("text", false));
        assert_eq!(text.expect("text").read, ReadAs::Text);
    }

    #[test]
    fn every_mapping_has_a_decoder() {
        for name in [
            "bool",
            "int2",
            "int4",
            "int8",
            "oid",
            "xid",
            "cid",
            "xid8",
            "float4",
            "float8",
            "numeric",
            "text",
            "varchar",
            "bpchar",
            "name",
            "bytea",
            "date",
            "time",
            "timestamp",
            "timestamptz",
            "uuid",
            "json",
            "jsonb",
            "money",
        ] {
            let plain = server(name, modifier(9, 3));
            let array = ServerType {
                is_array: true,
                ..plain.clone()
            };
            for (server, mode) in [
                (&plain, TypeMode::Portable),
                (&plain, TypeMode::Native),
                (&array, TypeMode::Portable),
                (&array, TypeMode::Native),
            ] {
                let mapped = map(server, mode);
                let column = crate::model::Column {
                    name: name.to_owned(),
                    source_type: name.to_owned(),
                    base_type: mapped.base_type,
                    read: mapped.read,
                    field: mapped.field,
                    nullable: true,
                    comment: None,
                    generated: None,
                    on_unrepresentable: crate::model::OnUnrepresentable::Fail,
                    lossy: false,
                };
                assert!(super::super::decode::decoder(&column).is_ok(), "{column:?}");
            }
        }
    }
}
