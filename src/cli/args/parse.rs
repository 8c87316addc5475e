//! Parsers of single flag values. Their errors say what this version supports.

use std::convert::Infallible;
use std::time::Duration;

use crate::model::{Chunking, Consistency, FieldType, Format, Layout, OnUnrepresentable, TypeMode};
use crate::writer::store::Address;

/// `NAME=TEXT`, the name an identifier.
pub(super) fn param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=TEXT, such as day=2026-01-31")?;
    let starts_well = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if starts_well && goes_on_well {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err("a parameter's name has letters, digits and underscores".to_owned())
    }
}

/// One statement. A closing semicolon is what people are used to writing, and means nothing.
pub(super) fn query(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if text.trim().is_empty() {
        Err("write one SELECT statement".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// The name of a query.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        Err("a name has at least one character".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Names of one `--columns` or `--exclude-columns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnNames(pub Vec<String>);

/// `NAME,NAME,…`. A name in double quotes, doubled inside, may hold a comma; quotes that do not enclose
/// a whole name belong to it.
pub(super) fn names(text: &str) -> Result<ColumnNames, Infallible> {
    let mut names = Vec::new();
    let mut rest = Some(text);
    while let Some(list) = rest {
        let (name, after) = quoted_name(list).unwrap_or_else(|| match list.split_once(',') {
            Some((name, after)) => (name.to_owned(), Some(after)),
            None => (list.to_owned(), None),
        });
        names.push(name);
        rest = after;
    }
    Ok(ColumnNames(names))
}

/// The name in quotes that a list begins with, and the list behind its comma.
fn quoted_name(list: &str) -> Option<(String, Option<&str>)> {
    let mut rest = list.strip_prefix('"')?;
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.as_bytes().first() {
            None => return Some((name, None)),
            Some(b',') => return Some((name, Some(&after[1..]))),
            Some(b'"') => {
                name.push('"');
                rest = &after[1..];
            }
            Some(_) => return None,
        }
    }
}

/// `COLUMN=TYPE`. The type has no `=`, a column's name may: the last one parts them.
pub(super) fn column_type(text: &str) -> Result<(String, FieldType), String> {
    let (column, name) = text
        .rsplit_once('=')
        .ok_or("write COLUMN=TYPE, such as amount=decimal(38,9)")?;
    Ok((column.to_owned(), name.parse()?))
}

/// `fail` or `null`, for all columns or with `COLUMN=` for one.
pub(super) fn on_unrepresentable(
    text: &str,
) -> Result<(Option<String>, OnUnrepresentable), String> {
    let (column, rule) = match text.rsplit_once('=') {
        Some((column, rule)) => (Some(column.to_owned()), rule),
        None => (None, text),
    };
    match rule {
        "fail" => Ok((column, OnUnrepresentable::Fail)),
        "null" => Ok((column, OnUnrepresentable::Null)),
        _ => Err("write fail, null, COLUMN=fail or COLUMN=null".to_owned()),
    }
}

/// A time of whole seconds, minutes or hours: `90s`, `15m`, `2h`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = number.parse().ok().zip(unit);
    seconds
        .and_then(|(number, unit): (u64, u64)| number.checked_mul(unit))
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number with s, m or h, such as 90s, 15m or 2h".to_owned())
}

/// A span of time in seconds: a number with `h`, `d` or `w`.
pub(super) fn age(text: &str) -> Result<i64, String> {
    let wrong = || "write a number of hours, days or weeks, such as 12h, 90d or 26w".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    // A thousand years are more than any history has, and no overflow.
    let span = i64::from(number).saturating_mul(seconds);
    if span > 1_000 * 365 * 86_400 {
        return Err("that is more than a thousand years".to_owned());
    }
    Ok(span)
}

/// The URL of a service.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    if text.starts_with("https://") || text.starts_with("http://") {
        Ok(text.to_owned())
    } else {
        Err("write a URL that begins with https:// or http://".to_owned())
    }
}

/// A place on an object store, or a local directory, `file:` before it or not.
pub(super) fn output(text: &str) -> Result<String, String> {
    if Address::service_of(text).is_some() {
        return Ok(text.to_owned());
    }
    if let Some(path) = text.strip_prefix("file:") {
        // `file:///a` has an empty host between the second and third slash.
        let path = path.strip_prefix("//").unwrap_or(path);
        return nonempty(path);
    }
    match text.split_once("://") {
        Some((scheme, _)) => Err(format!(
            "'{scheme}://' is not supported; known are s3://, gs://, az:// and a local directory"
        )),
        // With one slash it would be a directory of that name, which nobody wants.
        None if ["s3:/", "gs:/", "az:/"]
            .iter()
            .any(|slip| text.starts_with(slip)) =>
        {
            Err("write two slashes after the colon".to_owned())
        }
        None => nonempty(text),
    }
}

fn nonempty(path: &str) -> Result<String, String> {
    if path.is_empty() {
        Err("name a local directory".to_owned())
    } else {
        Ok(path.to_owned())
    }
}

/// `parquet` or `csv`.
pub(super) fn format(text: &str) -> Result<Format, String> {
    [Format::Parquet, Format::Csv]
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| "formats are parquet and csv".to_owned())
}

/// One ASCII character, or `\t`, which shells do not turn into a tab.
pub(super) fn delimiter(text: &str) -> Result<char, String> {
    if text == "\\t" {
        return Ok('\t');
    }
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if one.is_ascii() => Ok(one),
        _ => Err("write one ASCII character, such as ';', or \\t for a tab".to_owned()),
    }
}

/// `replace` or `runs`.
pub(super) fn layout(text: &str) -> Result<Layout, String> {
    match text {
        "replace" => Ok(Layout::Replace),
        "runs" => Ok(Layout::Runs),
        _ => Err("layouts are replace and runs".to_owned()),
    }
}

/// `portable` or `native`.
pub(super) fn type_mode(text: &str) -> Result<TypeMode, String> {
    match text {
        "portable" => Ok(TypeMode::Portable),
        "native" => Ok(TypeMode::Native),
        _ => Err("modes are portable and native".to_owned()),
    }
}

/// `auto`, `key`, `ctid` or `none`.
pub(super) fn chunking(text: &str) -> Result<Chunking, String> {
    match text {
        "auto" => Ok(Chunking::Auto),
        "key" => Ok(Chunking::Key),
        "ctid" => Ok(Chunking::Ctid),
        "none" => Ok(Chunking::None),
        _ => Err("chunkings are auto, key, ctid and none".to_owned()),
    }
}

/// `snapshot`, `auto` or `per-chunk`.
pub(super) fn consistency(text: &str) -> Result<Consistency, String> {
    [
        Consistency::Snapshot,
        Consistency::Auto,
        Consistency::PerChunk,
    ]
    .into_iter()
    .find(|level| level.name() == text)
    .ok_or_else(|| "levels are snapshot, auto and per-chunk".to_owned())
}

/// A number of bytes, with a decimal (KB, MB, GB) or binary (KiB, MiB, GiB) unit or none.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let wrong = || format!("'{text}' is no size; write 64MB, 128MiB or a number of bytes");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    let factor = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(wrong)?
        .1;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(factor) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        assert_eq!(bytes("64MB"), Ok(64_000_000));
        assert_eq!(bytes("64 mib"), Ok(67_108_864));
        assert_eq!(bytes("4096"), Ok(4096));
        for wrong in ["", "MB", "0", "-1", "1.5MB", "5 bananas", "99999999999GB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_for_all_columns_or_for_one() {
        use OnUnrepresentable::{Fail, Null};
        assert_eq!(on_unrepresentable("null"), Ok((None, Null)));
        assert_eq!(
            on_unrepresentable("a=b=fail"),
            Ok((Some("a=b".to_owned()), Fail))
        );
        assert!(on_unrepresentable("skip").is_err() && on_unrepresentable("a=").is_err());
    }

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(delimiter(";"), Ok(';'));
        assert_eq!(delimiter("\\t"), Ok('\t'));
        assert_eq!(delimiter("\\"), Ok('\\'));
        for wrong in ["", ";;", "é", "\\n"] {
            assert!(delimiter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        for (text, want) in [("90s", 90), ("15m", 900), ("2h", 7200), ("7", 7), ("0", 0)] {
            assert_eq!(seconds(text), Ok(want));
        }
        for wrong in [
            "",
            "s",
            "1d",
            "-1s",
            "1.5h",
            "1 m",
            "99999999999999999999",
            "9999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_output_is_a_local_directory_or_a_place_in_a_store() {
        assert_eq!(output("file:///srv/x"), Ok("/srv/x".to_owned()));
        assert_eq!(output("file:x"), Ok("x".to_owned()));
        assert_eq!(output("a:b/c"), Ok("a:b/c".to_owned()));
        assert_eq!(output("gs://bucket/x"), Ok("gs://bucket/x".to_owned()));
        assert!(output("ftp://host/x").is_err());
        assert!(output("").is_err());
        assert!(output("s3:/bucket/x").is_err());
    }

    #[test]
    fn parameters_have_identifiers_for_names() {
        assert_eq!(param("a_1=x=y"), Ok(("a_1".to_owned(), "x=y".to_owned())));
        for wrong in ["a", "=x", "1a=x", "a b=x"] {
            assert!(param(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_with_a_comma_is_written_in_quotes() {
        let list = |text| names(text).map(|names| names.0);
        let is = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(list("a,b c,Ü"), is(&["a", "b c", "Ü"]));
        assert_eq!(list("\"a,b\",c"), is(&["a,b", "c"]));
        assert_eq!(list("c,\"a \"\"b\"\",\""), is(&["c", "a \"b\","]));
        assert_eq!(list("\"open,b"), is(&["\"open", "b"]));
        assert_eq!(list("\"a\"b,c"), is(&["\"a\"b", "c"]));
        // That there is no such column the source says.
        assert_eq!(list("a,"), is(&["a", ""]));
    }

    #[test]
    fn a_columns_name_may_hold_an_equals_sign() {
        let (column, field) = column_type("a=b=decimal(10,2)").expect("parses");
        assert_eq!(
            (column.as_str(), field.to_string().as_str()),
            ("a=b", "decimal(10,2)")
        );
    }
}
