//! The type mapping, version 1: what each of SQL Server's types is in Arrow.

use super::super::remote::Stored;
use crate::model::{FieldType, ReadAs, TimeUnit, TypeMode};

/// How text is stored, and so what its bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// `nchar`, `nvarchar`: UTF-16, little-endian.
    Utf16,
    /// A `_UTF8` collation.
    Utf8,
    /// Windows-1252.
    Latin,
    /// Any other code page, `text`, `ntext`, `xml`: the server turns it into UTF-16.
    Converted,
}

/// How a column's values are stored, as far as reading them goes. [`Storage::name`] is the column's
/// `base_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// `bit`
    Bit,
    /// `tinyint`, which has no sign.
    TinyInt,
    /// `smallint`
    SmallInt,
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `real`
    Real,
    /// `float`
    Float,
    /// `decimal(p,s)`, `numeric(p,s)`
    Decimal { precision: u8, scale: u8 },
    /// `money` of 19 digits, `smallmoney` of 10. The driver would read them as doubles, so the server
    /// turns them into decimals.
    Money { precision: u8 },
    /// `date`
    Date,
    /// `time(n)`
    Time(u8),
    /// `smalldatetime`
    SmallDateTime,
    /// `datetime`, in ticks of 1/300 s, printed in milliseconds.
    DateTime,
    /// `datetime2(n)`
    DateTime2(u8),
    /// `datetimeoffset(n)`
    DateTimeOffset(u8),
    /// Text.
    Text {
        /// What the bytes mean.
        charset: Charset,
        /// It may be longer than 8000 bytes.
        max: bool,
    },
    /// `binary`, `varbinary`, `rowversion`
    Bytes,
    /// `image`
    Image,
    /// `uniqueidentifier`
    Guid,
    /// `sql_variant`, as text that the server makes of its value by the value's own type.
    Variant,
    /// Everything else, as text that the server makes of it.
    Other,
}

impl Storage {
    /// The storage of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (kind, argument) = match name.split_once('(') {
            Some((kind, rest)) => (kind, rest.strip_suffix(')')?),
            None => (name, ""),
        };
        let scale = || argument.parse().ok().filter(|scale| *scale <= 7);
        Some(match kind {
            "decimal" => {
                let (precision, scale) = argument.split_once(',')?;
                Self::Decimal {
                    precision: precision.parse().ok()?,
                    scale: scale.parse().ok()?,
                }
            }
            "time" => Self::Time(scale()?),
            "datetime2" => Self::DateTime2(scale()?),
            "datetimeoffset" => Self::DateTimeOffset(scale()?),
            "text" => {
                let (charset, max) = match argument.strip_suffix(",max") {
                    Some(charset) => (charset, true),
                    None => (argument, false),
                };
                let charset = match charset {
                    "utf16" => Charset::Utf16,
                    "utf8" => Charset::Utf8,
                    "cp1252" => Charset::Latin,
                    "converted" => Charset::Converted,
                    _ => return None,
                };
                Self::Text { charset, max }
            }
            "money" => Self::Money { precision: 19 },
            "smallmoney" => Self::Money { precision: 10 },
            "bit" => Self::Bit,
            "tinyint" => Self::TinyInt,
            "smallint" => Self::SmallInt,
            "int" => Self::Int,
            "bigint" => Self::BigInt,
            "real" => Self::Real,
            "float" => Self::Float,
            "date" => Self::Date,
            "smalldatetime" => Self::SmallDateTime,
            "datetime" => Self::DateTime,
            "bytes" => Self::Bytes,
            "image" => Self::Image,
            "guid" => Self::Guid,
            "variant" => Self::Variant,
            "other" => Self::Other,
            _ => return None,
        })
    }

    /// What is known of a column from the catalogue.
    pub(super) fn of(declared: &Declared) -> Self {
        let text = |charset| Self::Text {
            charset,
            max: declared.max_length < 0
                || declared.max_length > 4000 && charset == Charset::Converted,
        };
        let scale = declared.scale;
        match declared.name.as_str() {
            "bit" => Self::Bit,
            "tinyint" => Self::TinyInt,
            "smallint" => Self::SmallInt,
            "int" => Self::Int,
            "bigint" => Self::BigInt,
            "real" => Self::Real,
            // A float of few digits is a real.
            "float" if declared.precision == 24 => Self::Real,
            "float" => Self::Float,
            "decimal" | "numeric" => Self::Decimal {
                precision: declared.precision,
                scale,
            },
            "money" => Self::Money { precision: 19 },
            "smallmoney" => Self::Money { precision: 10 },
            "date" => Self::Date,
            "time" => Self::Time(scale),
            "smalldatetime" => Self::SmallDateTime,
            "datetime" => Self::DateTime,
            "datetime2" => Self::DateTime2(scale),
            "datetimeoffset" => Self::DateTimeOffset(scale),
            "nchar" | "nvarchar" | "sysname" => text(Charset::Utf16),
            "char" | "varchar" => text(match declared.code_page {
                Some(65001) => Charset::Utf8,
                Some(1252) => Charset::Latin,
                _ => Charset::Converted,
            }),
            "text" | "ntext" | "xml" => Self::Text {
                charset: Charset::Converted,
                max: true,
            },
            "binary" | "varbinary" | "timestamp" | "rowversion" => Self::Bytes,
            "image" => Self::Image,
            "uniqueidentifier" => Self::Guid,
            "sql_variant" => Self::Variant,
            _ => Self::Other,
        }
    }

    /// Digits behind a decimal's point.
    pub(super) fn scale(&self) -> Option<u8> {
        match self {
            Self::Decimal { scale, .. } => Some(*scale),
            Self::Money { .. } => Some(4),
            _ => None,
        }
    }
}

/// A type as the catalogue declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    /// The system type's name.
    pub(super) name: String,
    /// Bytes; −1 for `max`.
    pub(super) max_length: i32,
    pub(super) precision: u8,
    pub(super) scale: u8,
    /// Of the column's collation.
    pub(super) code_page: Option<u32>,
}

impl Declared {
    /// A type as `sys.dm_exec_describe_first_result_set` writes it, such as `decimal(10,2)`. The
    /// lengths of `nchar` and `nvarchar` are in characters there.
    pub(super) fn parse(text: &str, code_page: Option<u32>) -> Self {
        let (name, arguments) = text.split_once('(').unwrap_or((text, ""));
        let arguments = arguments.trim_end_matches(')');
        let mut numbers = arguments
            .split(',')
            .map(|part| part.trim().parse::<i32>().ok());
        let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
        let byte = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok());
        let wide = if matches!(name, "nchar" | "nvarchar") {
            2
        } else {
            1
        };
        let max_length = if arguments == "max" {
            -1
        } else {
            first.map_or(0, |length| length * wide)
        };
        let (precision, scale) = match name {
            "decimal" | "numeric" => (byte(first).unwrap_or(18), byte(second).unwrap_or(0)),
            "time" | "datetime2" | "datetimeoffset" => (0, byte(first).unwrap_or(7)),
            "float" => (byte(first).unwrap_or(53), 0),
            _ => (0, 0),
        };
        Self {
            name: name.to_owned(),
            max_length,
            precision,
            scale,
            code_page,
        }
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        let name = &self.name;
        match name.as_str() {
            "decimal" | "numeric" => format!("{name}({},{})", self.precision, self.scale),
            "time" | "datetime2" | "datetimeoffset" => format!("{name}({})", self.scale),
            "char" | "varchar" | "binary" | "varbinary" | "nchar" | "nvarchar" => {
                let wide = if name.starts_with('n') { 2 } else { 1 };
                match self.max_length {
                    -1 => format!("{name}(max)"),
                    length => format!("{name}({})", length / wide),
                }
            }
            "timestamp" => "rowversion".to_owned(),
            _ => name.clone(),
        }
    }
}

impl Stored for Storage {
    fn name(&self) -> String {
        let plain = match self {
            Self::Decimal { precision, scale } => return format!("decimal({precision},{scale})"),
            Self::Time(scale) => return format!("time({scale})"),
            Self::DateTime2(scale) => return format!("datetime2({scale})"),
            Self::DateTimeOffset(scale) => return format!("datetimeoffset({scale})"),
            Self::Text { charset, max } => {
                let charset = match charset {
                    Charset::Utf16 => "utf16",
                    Charset::Utf8 => "utf8",
                    Charset::Latin => "cp1252",
                    Charset::Converted => "converted",
                };
                return format!("text({charset}{})", if *max { ",max" } else { "" });
            }
            Self::Money { precision: 19 } => "money",
            Self::Money { .. } => "smallmoney",
            Self::Bit => "bit",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Float => "float",
            Self::Date => "date",
            Self::SmallDateTime => "smalldatetime",
            Self::DateTime => "datetime",
            Self::Bytes => "bytes",
            Self::Image => "image",
            Self::Guid => "guid",
            Self::Variant => "variant",
            Self::Other => "other",
        };
        plain.to_owned()
    }

    fn read(&self) -> ReadAs {
        match self {
            Self::Variant | Self::Other => ReadAs::Text,
            _ => ReadAs::Native,
        }
    }

    fn field(&self, mode: TypeMode) -> FieldType {
        let native = mode == TypeMode::Native;
        let instant = |unit, utc| FieldType::Timestamp { unit, utc };
        match *self {
            Self::Bit => FieldType::Bool,
            Self::TinyInt if native => FieldType::UInt8,
            Self::TinyInt | Self::SmallInt => FieldType::Int16,
            Self::Int => FieldType::Int32,
            Self::BigInt => FieldType::Int64,
            Self::Real => FieldType::Float32,
            Self::Float => FieldType::Float64,
            Self::Decimal { precision, scale } => FieldType::Decimal { precision, scale },
            Self::Money { precision } => FieldType::Decimal {
                precision,
                scale: 4,
            },
            Self::Date => FieldType::Date,
            Self::Time(7) => FieldType::Time(TimeUnit::Nano),
            Self::Time(_) => FieldType::Time(TimeUnit::Micro),
            Self::DateTime2(7) if native => instant(TimeUnit::Nano, false),
            Self::DateTimeOffset(7) if native => instant(TimeUnit::Nano, true),
            // A hundred nanoseconds are no unit that every reader has.
            Self::DateTime2(7) | Self::DateTimeOffset(7) => FieldType::Utf8,
            Self::SmallDateTime | Self::DateTime | Self::DateTime2(_) => {
                instant(TimeUnit::Micro, false)
            }
            Self::DateTimeOffset(_) => instant(TimeUnit::Micro, true),
            Self::Guid if native => FieldType::Uuid,
            Self::Bytes | Self::Image => FieldType::Binary,
            Self::Guid | Self::Text { .. } | Self::Variant | Self::Other => FieldType::Utf8,
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
            (Self::Bytes | Self::Image, F::Uuid) => true,
            (Self::Bytes | Self::Image, _) => false,
            (_, F::Utf8) => true,
            (
                Self::Bit
                | Self::TinyInt
                | Self::SmallInt
                | Self::Int
                | Self::BigInt
                | Self::Real
                | Self::Float,
                _,
            ) if number => true,
            // Hardly a decimal is a double: that is for the user to allow.
            (Self::Decimal { .. } | Self::Money { .. }, _) if number => lossy || !float,
            (Self::Date, F::Timestamp { utc: false, .. }) => true,
            (
                Self::SmallDateTime | Self::DateTime | Self::DateTime2(_),
                F::Timestamp { utc: false, .. } | F::Date,
            ) => true,
            (Self::DateTimeOffset(_), F::Timestamp { utc: true, .. }) => true,
            (Self::Time(_), F::Time(_)) => true,
            (Self::Text { .. } | Self::Variant | Self::Other, F::Float32 | F::Float64) => lossy,
            (Self::Variant | Self::Other, F::Binary) => false,
            (Self::Text { .. } | Self::Variant | Self::Other, _) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(text: &str) -> Storage {
        Storage::of(&Declared::parse(text, Some(1252)))
    }

    #[test]
    fn types_are_the_contracts() {
        for (declared, portable, native) in [
            ("bit", "bool", "bool"),
            ("tinyint", "int16", "uint8"),
            ("smallint", "int16", "int16"),
            ("int", "int32", "int32"),
            ("bigint", "int64", "int64"),
            ("real", "float32", "float32"),
            ("float", "float64", "float64"),
            ("decimal(38,38)", "decimal(38,38)", "decimal(38,38)"),
            ("numeric(18,0)", "decimal(18,0)", "decimal(18,0)"),
            ("money", "decimal(19,4)", "decimal(19,4)"),
            ("smallmoney", "decimal(10,4)", "decimal(10,4)"),
            ("date", "date", "date"),
            ("time(6)", "time(us)", "time(us)"),
            ("time(7)", "time(ns)", "time(ns)"),
            ("smalldatetime", "timestamp(us)", "timestamp(us)"),
            ("datetime", "timestamp(us)", "timestamp(us)"),
            ("datetime2(6)", "timestamp(us)", "timestamp(us)"),
            ("datetime2(7)", "text", "timestamp(ns)"),
            (
                "datetimeoffset(3)",
                "timestamp(us,utc)",
                "timestamp(us,utc)",
            ),
            ("datetimeoffset(7)", "text", "timestamp(ns,utc)"),
            ("varchar(20)", "text", "text"),
            ("nvarchar(max)", "text", "text"),
            ("ntext", "text", "text"),
            ("xml", "text", "text"),
            ("varbinary(max)", "binary", "binary"),
            ("image", "binary", "binary"),
            ("rowversion", "binary", "binary"),
            ("uniqueidentifier", "text", "uuid"),
            ("sql_variant", "text", "text"),
            ("hierarchyid", "text", "text"),
        ] {
            let storage = storage(declared);
            let written = |mode| storage.field(mode).to_string();
            assert_eq!(written(TypeMode::Portable), portable, "{declared}");
            assert_eq!(written(TypeMode::Native), native, "{declared}");
            assert_eq!(Storage::named(&storage.name()), Some(storage), "{declared}");
        }
    }

    #[test]
    fn text_is_told_apart_by_its_code_page() {
        let of = |text: &str, page| Storage::of(&Declared::parse(text, page));
        let text = |charset, max| Storage::Text { charset, max };
        assert_eq!(of("varchar(5)", Some(1252)), text(Charset::Latin, false));
        assert_eq!(of("char(5)", Some(65001)), text(Charset::Utf8, false));
        assert_eq!(
            of("varchar(8000)", Some(932)),
            text(Charset::Converted, true)
        );
        assert_eq!(
            of("varchar(40)", Some(932)),
            text(Charset::Converted, false)
        );
        assert_eq!(of("nvarchar(4000)", None), text(Charset::Utf16, false));
    }

    #[test]
    fn declared_types_read_as_they_were_written() {
        for text in [
            "decimal(10,2)",
            "nvarchar(40)",
            "nvarchar(max)",
            "varbinary(8000)",
            "datetimeoffset(7)",
            "money",
        ] {
            assert_eq!(Declared::parse(text, None).shown(), text);
        }
        assert_eq!(Storage::named("datetime2(9)"), None);
        assert_eq!(Storage::named("text(utf7)"), None);
    }

    #[test]
    fn what_is_stored_decides_what_it_can_be() {
        let can = |declared: &str, field: &str, lossy| {
            storage(declared).can_be(&field.parse().expect("a type"), lossy)
        };
        assert!(can("datetime2(7)", "timestamp(us)", false));
        assert!(!can("datetime2(7)", "timestamp(us,utc)", true));
        assert!(!can("money", "float64", false) && can("money", "float64", true));
        assert!(can("varbinary(16)", "uuid", false) && !can("varbinary(16)", "text", true));
        assert!(can("nvarchar(10)", "binary", false) && !can("sql_variant", "binary", false));
    }
}
