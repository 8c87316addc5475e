//! A server's text of a value, and the text that `tests/read.py` writes for the same value.

use crate::readers::Row;

/// How a server's text becomes a reader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The same text.
    Exact,
    /// The same text, as the server casts the value to text: for some types another than it prints.
    Cast,
    /// The same text, as the server casts the value to numeric first.
    Money,
    /// An array whose elements are of that kind; a list of theirs.
    List(&'static Kind),
    /// `t`, `f`
    Bool,
    /// Any spelling of the same single-precision number, NaNs all alike.
    Float32,
    /// Any spelling of the same double-precision number, NaNs all alike.
    Float64,
    /// `YYYY-MM-DD[ BC]`
    Date,
    /// `hh:mm:ss[.ffffff]`
    Time,
    /// `YYYY-MM-DD hh:mm:ss[.ffffff][+00][ BC]`
    Timestamp,
    /// The same, an instant.
    Instant,
    /// `\x` and hexadecimal digits.
    Bytes,
}

impl Kind {
    /// What to ask the server for to have its text of a column.
    pub(super) fn query(self, column: &str) -> String {
        match self {
            Self::Cast => format!("{column}::text"),
            Self::Money => format!("{column}::numeric::text"),
            Self::List(_) => format!("array_to_json({column}::text[])::text"),
            _ => column.to_owned(),
        }
    }

    /// The reader's text for a value that the server writes as `text`.
    pub(crate) fn canonical(self, text: &str) -> String {
        match self {
            Self::Exact | Self::Cast | Self::Money => text.to_owned(),
            Self::List(kind) => each(text, |element| kind.canonical(element)),
            Self::Bool => (if text == "t" { "true" } else { "false" }).to_owned(),
            Self::Float32 => float32(text),
            Self::Float64 => float64(text),
            Self::Date => date(text),
            Self::Time => time(text),
            Self::Timestamp => timestamp(text),
            Self::Instant => {
                let (local, era) = split_era(text);
                let local = local.strip_suffix("+00").expect("a text in UTC");
                format!("{}Z", timestamp(&format!("{local}{era}")))
            }
            Self::Bytes => text.strip_prefix("\\x").expect("hex").to_owned(),
        }
    }

    /// A reader's text in the same spelling.
    fn read(self, text: &str) -> String {
        match self {
            Self::Float32 => float32(text),
            Self::Float64 => float64(text),
            Self::List(kind) => each(text, |element| kind.read(element)),
            _ => text.to_owned(),
        }
    }
}

/// A JSON array of texts with each text changed, NULLs kept.
fn each(list: &str, change: impl Fn(&str) -> String) -> String {
    let texts: Vec<Option<String>> = serde_json::from_str(list).expect("a list of texts");
    let changed = texts.into_iter().map(|text| text.map(|text| change(&text)));
    serde_json::to_string(&changed.collect::<Vec<_>>()).expect("JSON")
}

/// The bits, so that -0 and the last digit count.
fn float64(text: &str) -> String {
    let value: f64 = text.parse().expect("a number");
    if value.is_nan() {
        "nan".to_owned()
    } else {
        format!("{value:e} {:016x}", value.to_bits())
    }
}

fn float32(text: &str) -> String {
    let value: f32 = text.parse().expect("a number");
    if value.is_nan() {
        "nan".to_owned()
    } else {
        format!("{value:e} {:08x}", value.to_bits())
    }
}

fn split_era(text: &str) -> (&str, &'static str) {
    text.strip_suffix(" BC")
        .map_or((text, ""), |local| (local, " BC"))
}

/// Astronomical years: 1 BC is 0.
fn date(text: &str) -> String {
    let (date, era) = split_era(text);
    let (year, rest) = date.split_once('-').expect("a date");
    let year: i64 = year.parse().expect("a year");
    let year = if era.is_empty() { year } else { 1 - year };
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{rest}", year.abs())
}

fn time(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}.{fraction:0<6}")
}

fn timestamp(text: &str) -> String {
    let (local, era) = split_era(text);
    let (day, clock) = local.split_once(' ').expect("a date and a time");
    format!("{}T{}", date(&format!("{day}{era}")), time(clock))
}

/// Fails the test at the first value that differs, saying where. `expected` are the server's texts
/// in the order of the reader's rows; `kinds` and `names` go with the columns.
#[track_caller]
pub(super) fn expect_same(
    what: &str,
    names: &[&str],
    kinds: &[Kind],
    expected: &[Row],
    read: &[Row],
) {
    assert_eq!(read.len(), expected.len(), "{what}: number of rows");
    for (number, (expected, read)) in expected.iter().zip(read).enumerate() {
        assert_eq!(read.len(), names.len(), "{what}: number of columns");
        for (column, kind) in kinds.iter().enumerate() {
            let server = expected[column].as_deref().map(|text| kind.canonical(text));
            let reader = read[column].as_deref().map(|text| kind.read(text));
            assert!(
                server == reader,
                "{what}: row {number}, {}: the server has {}, the reader {}; IXTRACT_TEST_SEED={}",
                names[column],
                shown(expected[column].as_deref()),
                shown(read[column].as_deref()),
                crate::random::seed(),
            );
        }
    }
}

fn shown(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some(text) if text.len() <= 400 => format!("{text:?}"),
        Some(text) => {
            let begin: String = text.chars().take(100).collect();
            format!("{begin:?}… of {} bytes", text.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_becomes_the_readers() {
        let cases = [
            (Kind::Bool, "t", "true"),
            (Kind::Date, "2024-02-29", "2024-02-29"),
            (Kind::Date, "0044-03-15 BC", "-0043-03-15"),
            (Kind::Date, "0001-01-01 BC", "0000-01-01"),
            (Kind::Time, "12:00:00.5", "12:00:00.500000"),
            (
                Kind::Timestamp,
                "2024-02-29 01:02:03",
                "2024-02-29T01:02:03.000000",
            ),
            (
                Kind::Instant,
                "0044-03-15 01:02:03.5+00 BC",
                "-0043-03-15T01:02:03.500000Z",
            ),
            (Kind::Bytes, "\\x00ff", "00ff"),
        ];
        for (kind, server, reader) in cases {
            assert_eq!(kind.canonical(server), reader, "{kind:?}");
        }
    }

    #[test]
    fn floats_are_the_same_when_their_bits_are() {
        assert_eq!(Kind::Float64.canonical("1e+20"), Kind::Float64.read("1e20"));
        assert_eq!(Kind::Float64.canonical("NaN"), Kind::Float64.read("nan"));
        assert_eq!(
            Kind::Float64.canonical("-Infinity"),
            Kind::Float64.read("-inf")
        );
        assert_ne!(Kind::Float64.canonical("-0"), Kind::Float64.read("0.0"));
        assert_ne!(
            Kind::Float64.canonical("0.1"),
            Kind::Float64.read("0.10000000000000002")
        );
    }

    #[test]
    #[should_panic(expected = "row 0, b: the server has \"1\", the reader NULL")]
    fn a_difference_is_found_and_named() {
        let row = |b: Option<&str>| vec![Some("1".to_owned()), b.map(str::to_owned)];
        let kinds = [Kind::Exact, Kind::Exact];
        expect_same("t", &["a", "b"], &kinds, &[row(Some("1"))], &[row(None)]);
    }
}
