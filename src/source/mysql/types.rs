//! The type mapping, version 1: what each of MySQL's and MariaDB's types is in Arrow.

use super::super::remote::Stored;
use mysql_async::Column as Sent;
use mysql_async::consts::{ColumnFlags, ColumnType};

use crate::model::{FieldType, TimeUnit, TypeMode};

/// The collation number of bytes that are no text.
const BINARY: u16 = 63;

/// How a column's values are stored, as far as reading them goes. [`Storage::name`] is the column's
/// `base_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// An integer of these many bits.
    Integer { bits: u8, unsigned: bool },
    /// `float`
    Float,
    /// `double`
    Double,
    /// `decimal(p,s)`
    Decimal { precision: u8, scale: u8 },
    /// `bit(n)`
    Bit(u8),
    /// `year`
    Year,
    /// `date`
    Date,
    /// `datetime(f)`
    DateTime { digits: u8 },
    /// `timestamp(f)`
    Timestamp { digits: u8 },
    /// `time(f)`
    Time { digits: u8 },
    /// Text of any kind, enum and set included, in a character set whose every byte means something.
    Text,
    /// Text in a character set, named here, with bytes that mean nothing: the server would write `?`.
    Legacy(String),
    /// `json`, and MariaDB's text that its own check keeps to JSON.
    Json,
    /// `uuid` of MariaDB.
    Uuid,
    /// Bytes, geometry included.
    Bytes,
}

impl Storage {
    /// The storage of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (kind, argument) = match name.split_once('(') {
            Some((kind, rest)) => (kind, rest.strip_suffix(')')?),
            None => (name, ""),
        };
        let digits = || argument.parse().ok();
        let integer = |bits: &str, unsigned| {
            let bits = bits.parse().ok()?;
            matches!(bits, 8 | 16 | 24 | 32 | 64).then_some(Self::Integer { bits, unsigned })
        };
        Some(match kind {
            "float" => Self::Float,
            "double" => Self::Double,
            "decimal" => {
                let (precision, scale) = argument.split_once(',')?;
                Self::Decimal {
                    precision: precision.parse().ok()?,
                    scale: scale.parse().ok()?,
                }
            }
            "bit" => Self::Bit(digits()?),
            "year" => Self::Year,
            "date" => Self::Date,
            "datetime" => Self::DateTime { digits: digits()? },
            "timestamp" => Self::Timestamp { digits: digits()? },
            "time" => Self::Time { digits: digits()? },
            "text" if argument.is_empty() => Self::Text,
            "text" => Self::Legacy(argument.to_owned()),
            "json" => Self::Json,
            "uuid" => Self::Uuid,
            "bytes" => Self::Bytes,
            _ => match kind.strip_prefix("uint") {
                Some(bits) => integer(bits, true)?,
                None => integer(kind.strip_prefix("int")?, false)?,
            },
        })
    }

    /// What is known of a column from the catalogue: its data type as `information_schema` has it, the
    /// whole type with its arguments, and the character set of text.
    pub(super) fn of_catalogue(data_type: &str, column_type: &str, charset: Option<&str>) -> Self {
        let unsigned = column_type.split(' ').any(|word| word == "unsigned");
        let integer = |bits| Self::Integer { bits, unsigned };
        let mut arguments = arguments(column_type);
        let mut argument = |default| arguments.next().unwrap_or(default);
        match data_type {
            "tinyint" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" | "integer" => integer(32),
            "bigint" => integer(64),
            "float" => Self::Float,
            "double" | "real" => Self::Double,
            "decimal" | "numeric" => Self::Decimal {
                precision: argument(10),
                scale: argument(0),
            },
            "bit" => Self::Bit(argument(1)),
            "year" => Self::Year,
            "date" => Self::Date,
            "datetime" => Self::DateTime {
                digits: argument(0),
            },
            "timestamp" => Self::Timestamp {
                digits: argument(0),
            },
            "time" => Self::Time {
                digits: argument(0),
            },
            "json" => Self::Json,
            "uuid" => Self::Uuid,
            "inet4" | "inet6" => Self::Text,
            _ => match charset {
                Some(charset) => Self::of_text(charset),
                None => Self::Bytes,
            },
        }
    }

    /// Text in a character set.
    pub(super) fn of_text(charset: &str) -> Self {
        // Every byte of latin1 is a character, and Unicode's sets are checked when they are written.
        match charset {
            "utf8mb4" | "utf8mb3" | "utf8" | "latin1" | "ucs2" | "utf16" | "utf16le" | "utf32" => {
                Self::Text
            }
            "binary" => Self::Bytes,
            other => Self::Legacy(other.to_owned()),
        }
    }

    /// What is known of a query's column from the statement's own description.
    pub(super) fn of_sent(column: &Sent) -> Self {
        use ColumnType as T;
        let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        let integer = |bits| Self::Integer { bits, unsigned };
        let digits = match column.decimals() {
            digits @ 0..=6 => digits,
            // Not fixed: as many as there can be.
            _ => 6,
        };
        match column.column_type() {
            T::MYSQL_TYPE_TINY => integer(8),
            T::MYSQL_TYPE_SHORT => integer(16),
            T::MYSQL_TYPE_INT24 => integer(24),
            T::MYSQL_TYPE_LONG => integer(32),
            T::MYSQL_TYPE_LONGLONG => integer(64),
            T::MYSQL_TYPE_FLOAT => Self::Float,
            T::MYSQL_TYPE_DOUBLE => Self::Double,
            T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => {
                let scale = column.decimals();
                // The length counts a sign and a point.
                let others = u32::from(!unsigned) + u32::from(scale > 0);
                let length = column.column_length().saturating_sub(others);
                Self::Decimal {
                    precision: u8::try_from(length).unwrap_or(65).clamp(scale.max(1), 65),
                    scale,
                }
            }
            T::MYSQL_TYPE_BIT => Self::Bit(u8::try_from(column.column_length()).unwrap_or(64)),
            T::MYSQL_TYPE_YEAR => Self::Year,
            T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => Self::Date,
            T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => Self::DateTime { digits },
            T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => Self::Timestamp { digits },
            T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => Self::Time { digits },
            T::MYSQL_TYPE_JSON => Self::Json,
            T::MYSQL_TYPE_GEOMETRY => Self::Bytes,
            _ if column.character_set() == BINARY => Self::Bytes,
            // The server says what it sends in, not what it is stored in.
            _ => Self::Text,
        }
    }
}

/// The numbers in a type's parentheses.
fn arguments(column_type: &str) -> impl Iterator<Item = u8> {
    let inside = column_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .filter_map(|text| text.trim().parse().ok())
}

impl Stored for Storage {
    fn name(&self) -> String {
        match self {
            Self::Integer { bits, unsigned } => {
                format!("{}int{bits}", if *unsigned { "u" } else { "" })
            }
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Self::Bit(width) => format!("bit({width})"),
            Self::Year => "year".to_owned(),
            Self::Date => "date".to_owned(),
            Self::DateTime { digits } => format!("datetime({digits})"),
            Self::Timestamp { digits } => format!("timestamp({digits})"),
            Self::Time { digits } => format!("time({digits})"),
            Self::Text => "text".to_owned(),
            Self::Legacy(charset) => format!("text({charset})"),
            Self::Json => "json".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Bytes => "bytes".to_owned(),
        }
    }

    fn field(&self, mode: TypeMode) -> FieldType {
        let native = mode == TypeMode::Native;
        let twenty_digits = FieldType::Decimal {
            precision: 20,
            scale: 0,
        };
        match *self {
            Self::Integer { bits, unsigned } => match (bits, unsigned && native, unsigned) {
                (8, true, _) => FieldType::UInt8,
                (8, _, false) => FieldType::Int8,
                (16, true, _) => FieldType::UInt16,
                (8, _, true) | (16, _, false) => FieldType::Int16,
                (24 | 32, true, _) => FieldType::UInt32,
                (16, _, true) | (24 | 32, _, false) => FieldType::Int32,
                (_, true, _) => FieldType::UInt64,
                (24 | 32, _, true) | (_, _, false) => FieldType::Int64,
                (_, false, true) => twenty_digits,
            },
            Self::Float => FieldType::Float32,
            Self::Double => FieldType::Float64,
            Self::Decimal { precision, scale } if precision <= 38 || native => {
                FieldType::Decimal { precision, scale }
            }
            Self::Bit(1) => FieldType::Bool,
            Self::Bit(_) if native => FieldType::UInt64,
            Self::Bit(_) => twenty_digits,
            Self::Year => FieldType::Int16,
            Self::Date => FieldType::Date,
            Self::DateTime { .. } | Self::Timestamp { .. } => FieldType::Timestamp {
                unit: TimeUnit::Micro,
                utc: matches!(self, Self::Timestamp { .. }),
            },
            Self::Uuid if native => FieldType::Uuid,
            Self::Json => FieldType::Json,
            Self::Bytes => FieldType::Binary,
            Self::Decimal { .. }
            | Self::Time { .. }
            | Self::Text
            | Self::Legacy(_)
            | Self::Uuid => FieldType::Utf8,
        }
    }

    fn can_be(&self, field: &FieldType, lossy: bool) -> bool {
        use FieldType as F;
        let number = field.is_number();
        let float = matches!(field, F::Float32 | F::Float64);
        match (self, field) {
            _ if [TypeMode::Portable, TypeMode::Native]
                .iter()
                .any(|mode| self.field(*mode) == *field) =>
            {
                true
            }
            (_, F::List(_)) => false,
            (Self::Bytes, F::Uuid | F::Json | F::Utf8) => true,
            (Self::Bytes, _) => false,
            (_, F::Utf8) => true,
            (Self::Integer { .. } | Self::Bit(_) | Self::Year, _) if number => true,
            (Self::Float | Self::Double, _) if number => true,
            // Hardly a decimal is a double: that is for the user to allow.
            (Self::Decimal { .. }, _) if number => lossy || !float,
            (Self::Date, F::Timestamp { utc: false, .. }) => true,
            (Self::DateTime { .. }, F::Timestamp { utc: false, .. } | F::Date) => true,
            (Self::Timestamp { .. }, F::Timestamp { utc: true, .. } | F::Date) => true,
            (Self::Time { .. }, F::Time(_)) => true,
            (Self::Text | Self::Legacy(_), F::Float32 | F::Float64) => lossy,
            (Self::Text | Self::Legacy(_) | Self::Json, F::Binary) => true,
            (Self::Text | Self::Legacy(_), _) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(data_type: &str, column_type: &str) -> Storage {
        let text = data_type.contains("char") || data_type.contains("text");
        Storage::of_catalogue(data_type, column_type, text.then_some("utf8mb4"))
    }

    #[test]
    fn types_are_the_contracts() {
        for (data_type, column_type, portable, native) in [
            ("tinyint", "tinyint(1)", "int8", "int8"),
            ("tinyint", "tinyint(3) unsigned", "int16", "uint8"),
            (
                "smallint",
                "smallint(5) unsigned zerofill",
                "int32",
                "uint16",
            ),
            ("mediumint", "mediumint(9)", "int32", "int32"),
            ("mediumint", "mediumint unsigned", "int64", "uint32"),
            ("int", "int(10) unsigned", "int64", "uint32"),
            ("bigint", "bigint(20)", "int64", "int64"),
            ("bigint", "bigint(20) unsigned", "decimal(20,0)", "uint64"),
            ("float", "float", "float32", "float32"),
            ("double", "double(10,2)", "float64", "float64"),
            (
                "decimal",
                "decimal(38,10)",
                "decimal(38,10)",
                "decimal(38,10)",
            ),
            ("decimal", "decimal(65,30)", "text", "decimal(65,30)"),
            (
                "decimal",
                "decimal(10,0) unsigned",
                "decimal(10,0)",
                "decimal(10,0)",
            ),
            ("bit", "bit(1)", "bool", "bool"),
            ("bit", "bit(64)", "decimal(20,0)", "uint64"),
            ("year", "year(4)", "int16", "int16"),
            ("date", "date", "date", "date"),
            ("datetime", "datetime(6)", "timestamp(us)", "timestamp(us)"),
            (
                "timestamp",
                "timestamp",
                "timestamp(us,utc)",
                "timestamp(us,utc)",
            ),
            ("time", "time(3)", "text", "text"),
            ("varchar", "varchar(20)", "text", "text"),
            ("longtext", "longtext", "text", "text"),
            ("varbinary", "varbinary(20)", "binary", "binary"),
            ("point", "point", "binary", "binary"),
            ("json", "json", "json", "json"),
            ("uuid", "uuid", "text", "uuid"),
        ] {
            let storage = storage(data_type, column_type);
            assert_eq!(
                storage.field(TypeMode::Portable).to_string(),
                portable,
                "{column_type}"
            );
            assert_eq!(
                storage.field(TypeMode::Native).to_string(),
                native,
                "{column_type}"
            );
            assert_eq!(
                Storage::named(&storage.name()),
                Some(storage),
                "{column_type}"
            );
        }
    }

    #[test]
    fn character_sets_with_holes_are_watched() {
        let legacy = Storage::of_catalogue("varchar", "varchar(9)", Some("cp1251"));
        assert_eq!(legacy, Storage::Legacy("cp1251".to_owned()));
        assert_eq!(Storage::named(&legacy.name()), Some(legacy));
        assert_eq!(
            Storage::of_catalogue("char", "char(9)", Some("latin1")),
            Storage::Text
        );
        assert_eq!(Storage::named("int7"), None);
        assert_eq!(Storage::named("decimal(1)"), None);
    }

    #[test]
    fn what_is_stored_decides_what_it_can_be() {
        let can = |storage: &Storage, field: &str, lossy| {
            storage.can_be(&field.parse().expect("a type"), lossy)
        };
        let tiny = storage("tinyint", "tinyint(1)");
        assert!(can(&tiny, "bool", false) && can(&tiny, "decimal(9,2)", false));
        let decimal = storage("decimal", "decimal(65,2)");
        assert!(!can(&decimal, "float64", false) && can(&decimal, "float64", true));
        assert!(can(&storage("time", "time"), "time(us)", false));
        assert!(can(&Storage::Bytes, "uuid", false) && !can(&Storage::Bytes, "int64", true));
        let instant = storage("timestamp", "timestamp");
        assert!(!can(&instant, "timestamp(us)", false) && can(&instant, "date", true));
    }
}
