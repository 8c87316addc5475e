//! Output types: what a column is in Arrow and Parquet, spelled as `--type COLUMN=TYPE` spells it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit as ArrowUnit};
use serde::{Deserialize, Serialize};

use super::relation::Column;

/// The unit of a time or timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeUnit {
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl TimeUnit {
    fn name(self) -> &'static str {
        match self {
            Self::Micro => "us",
            Self::Nano => "ns",
        }
    }

    fn arrow(self) -> ArrowUnit {
        match self {
            Self::Micro => ArrowUnit::Microsecond,
            Self::Nano => ArrowUnit::Nanosecond,
        }
    }
}

/// The type of an output column. `Display` and `FromStr` agree, and serde uses that text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FieldType {
    /// `bool`
    Bool,
    /// `int8`, one byte
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint8`
    UInt8,
    /// `uint16`
    UInt16,
    /// `uint32`
    UInt32,
    /// `uint64`
    UInt64,
    /// `float32`
    Float32,
    /// `float64`
    Float64,
    /// `decimal(p,s)`: 1 ≤ p ≤ 76, 0 ≤ s ≤ p; Decimal128 up to 38 digits, Decimal256 above.
    Decimal {
        /// Total number of digits.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `text`
    Utf8,
    /// `binary`
    Binary,
    /// `date`, days since 1970-01-01
    Date,
    /// `time(us)` or `time(ns)`
    Time(TimeUnit),
    /// `timestamp(us)`, `timestamp(us,utc)`, …
    Timestamp {
        /// Unit of the stored integer.
        unit: TimeUnit,
        /// Whether the value is an instant (adjusted to UTC) rather than a local date and time.
        utc: bool,
    },
    /// `uuid`: sixteen bytes with Parquet's UUID annotation
    Uuid,
    /// `json`: text with Parquet's JSON annotation
    Json,
    /// `list(T)`
    List(Box<FieldType>),
}

impl FieldType {
    /// Whether its values are numbers, truth values included.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Int8
                | Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::UInt8
                | Self::UInt16
                | Self::UInt32
                | Self::UInt64
                | Self::Float32
                | Self::Float64
                | Self::Decimal { .. }
        )
    }

    /// The Arrow type that batches of this column carry.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            // Scales are at most 76 by construction, so the narrowing cannot lose anything.
            Self::Decimal { precision, scale } if *precision <= 38 => {
                DataType::Decimal128(*precision, *scale as i8)
            }
            Self::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
            Self::Utf8 | Self::Json => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(unit) => DataType::Time64(unit.arrow()),
            Self::Timestamp { unit, utc } => {
                DataType::Timestamp(unit.arrow(), utc.then(|| Arc::from("UTC")))
            }
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::List(item) => DataType::List(item.element()),
        }
    }

    /// The field of a list's elements of this type; any of them may be null.
    pub fn element(&self) -> FieldRef {
        let metadata = self.annotation().into_iter();
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Arc::new(
            Field::new("item", self.arrow(), true)
                .with_metadata(metadata.collect::<BTreeMap<_, _>>()),
        )
    }

    /// Arrow's canonical extension name, where the type has one: the Parquet writer turns it into
    /// the format's own annotation.
    fn annotation(&self) -> BTreeMap<&'static str, &'static str> {
        const NAME: &str = "ARROW:extension:name";
        match self {
            Self::Uuid => BTreeMap::from([(NAME, "arrow.uuid")]),
            Self::Json => BTreeMap::from([(NAME, "arrow.json"), ("ARROW:extension:metadata", "")]),
            _ => BTreeMap::new(),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int8 => f.write_str("int8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::UInt8 => f.write_str("uint8"),
            Self::UInt16 => f.write_str("uint16"),
            Self::UInt32 => f.write_str("uint32"),
            Self::UInt64 => f.write_str("uint64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Utf8 => f.write_str("text"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Time(unit) => write!(f, "time({})", unit.name()),
            Self::Timestamp { unit, utc: false } => write!(f, "timestamp({})", unit.name()),
            Self::Timestamp { unit, utc: true } => write!(f, "timestamp({},utc)", unit.name()),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "list({item})"),
        }
    }
}

impl FromStr for FieldType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "'{text}' is no output type; known are bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), text, binary, date, time(us), timestamp(us), timestamp(us,utc), uuid, json"
            )
        };
        let (name, args) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(unknown)?),
            None => (text, ""),
        };
        let unit = |text: &str| match text.trim() {
            "us" => Ok(TimeUnit::Micro),
            "ns" => Ok(TimeUnit::Nano),
            _ => Err(unknown()),
        };
        let found = match name {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint8" => Self::UInt8,
            "uint16" => Self::UInt16,
            "uint32" => Self::UInt32,
            "uint64" => Self::UInt64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "text" => Self::Utf8,
            "binary" => Self::Binary,
            "date" => Self::Date,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "time" => return unit(args).map(Self::Time),
            "timestamp" => {
                let (text, utc) = match args.split_once(',') {
                    Some((text, zone)) if zone.trim() == "utc" => (text, true),
                    Some(_) => return Err(unknown()),
                    None => (args, false),
                };
                return Ok(Self::Timestamp {
                    unit: unit(text)?,
                    utc,
                });
            }
            "decimal" => {
                let (p, s) = args.split_once(',').ok_or_else(unknown)?;
                let precision: u8 = p.trim().parse().map_err(|_| unknown())?;
                let scale: u8 = s.trim().parse().map_err(|_| unknown())?;
                if !(1..=76).contains(&precision) || scale > precision {
                    return Err(format!(
                        "'{text}': a decimal has 1 to 76 digits and no more of them after the point than in all"
                    ));
                }
                return Ok(Self::Decimal { precision, scale });
            }
            "list" => return Ok(Self::List(Box::new(args.parse()?))),
            _ => return Err(unknown()),
        };
        if args.is_empty() {
            Ok(found)
        } else {
            Err(unknown())
        }
    }
}

impl TryFrom<String> for FieldType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FieldType> for String {
    fn from(field: FieldType) -> String {
        field.to_string()
    }
}

/// The Arrow schema of a set of columns, the same for every file of a run.
///
/// Each field's metadata says where it comes from; UUID and JSON carry Arrow's canonical extension
/// names, which the Parquet writer turns into the format's own annotations.
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let mut metadata = BTreeMap::new();
            metadata.insert("ixtract.source_type".to_owned(), column.source_type.clone());
            if let Some(comment) = &column.comment {
                metadata.insert("ixtract.comment".to_owned(), comment.clone());
            }
            if let Some(generated) = &column.generated {
                metadata.insert("ixtract.generated".to_owned(), generated.clone());
            }
            for (key, value) in column.field.annotation() {
                metadata.insert(key.to_owned(), value.to_owned());
            }
            if let Some(loss) = column.loss() {
                metadata.insert("ixtract.lossy".to_owned(), loss.to_owned());
            }
            Field::new(&column.name, column.field.arrow(), column.nullable).with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}
