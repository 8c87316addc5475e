//! A value of TOML as the words that its flag would have been given.

use std::path::Path;

use toml::de::DeValue;

use super::keys::{Key, Takes};
use crate::writer::store::Address;

/// What a flag would have been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The flag is there, or is said not to be.
    Switch(bool),
    /// The flag's text, once for each time that it is there.
    Words(Vec<Word>),
}

/// The text of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it is about: the first part of `NAME=TEXT`.
    pub(super) of: Option<String>,
    /// All of it.
    pub(super) text: String,
}

impl Value {
    /// The text, where there is exactly one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Words(words) if words.len() == 1 => Some(&words[0].text),
            _ => None,
        }
    }
}

/// Takes a value of TOML for a flag. Relative paths begin at `base`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn take(key: &Key, value: &DeValue<'_>, base: &Path) -> Result<Value, String> {
    let wrong = || {
        Err(format!(
            "it takes {}, not {}",
            key.takes.words(),
            kind(value)
        ))
    };
    let words = match (key.takes, value) {
        (Takes::Switch, DeValue::Boolean(on)) => return Ok(Value::Switch(*on)),
        (Takes::Whole | Takes::Size, DeValue::Integer(_))
        | (Takes::Number, DeValue::Integer(_) | DeValue::Float(_)) => {
            vec![whole(scalar(value)?)]
        }
        (Takes::Text | Takes::Size, DeValue::String(text)) => vec![whole(text.to_string())],
        (Takes::Path, DeValue::String(text)) => vec![whole(joined(base, text)?)],
        (Takes::List | Takes::Names | Takes::Map, DeValue::String(text)) => {
            vec![pair(key.takes, text.to_string())]
        }
        (Takes::List | Takes::Names | Takes::Map, DeValue::Array(list)) => {
            let texts = list.iter().map(|item| match item.get_ref() {
                DeValue::String(text) if key.takes == Takes::Names => Ok(whole(quoted(text))),
                DeValue::String(text) => Ok(pair(key.takes, text.to_string())),
                other => Err(format!(
                    "it takes {}, not one with {}",
                    key.takes.words(),
                    kind(other)
                )),
            });
            texts.collect::<Result<_, _>>()?
        }
        (Takes::Map, DeValue::Table(map)) => {
            let pairs = map.iter().map(|(name, value)| {
                let name = name.get_ref();
                Ok(Word {
                    of: Some(name.to_string()),
                    text: format!("{name}={}", scalar(value.get_ref())?),
                })
            });
            pairs.collect::<Result<_, String>>()?
        }
        _ => return wrong(),
    };
    let words = match key.id.as_str() {
        "output" => words.into_iter().map(|word| place(base, word)).collect(),
        "source" => words.into_iter().map(|word| address(base, word)).collect(),
        _ => Ok(words),
    }?;
    for word in &words {
        if word.text.contains('\0') {
            return Err("it holds a byte of zero".to_owned());
        }
        key.check(&word.text)?;
    }
    Ok(Value::Words(words))
}

fn whole(text: String) -> Word {
    Word { of: None, text }
}

/// A text of a map is about what stands before its sign.
fn pair(takes: Takes, text: String) -> Word {
    let of = match takes {
        Takes::Map => text.rsplit_once('=').map(|(name, _)| name.to_owned()),
        _ => None,
    };
    Word { of, text }
}

/// The text of a value that is one thing.
fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "it is larger than any number here may be".to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        other => Err(format!("it takes texts, not {}", kind(other))),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A name as `--columns` takes it literally.
fn quoted(name: &str) -> String {
    if name.contains(',') || name.starts_with('"') {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// A path of a value that is text elsewhere, in place: the file of SQLite that `database` names.
pub(super) fn rebase(base: &Path, value: &mut Value) -> Result<(), String> {
    if let Value::Words(words) = value {
        for word in words {
            word.text = joined(base, &word.text)?;
        }
    }
    Ok(())
}

/// A path that begins where the configuration is. `-` stays: it is standard input or output.
fn joined(base: &Path, text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text == "-" {
        return Ok(text.to_owned());
    }
    let path = base.join(text);
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| "the configuration's own folder has no name in UTF-8".to_owned())
}

/// A dataset's place: a URL stays, a directory is a path.
fn place(base: &Path, word: Word) -> Result<Word, String> {
    if Address::service_of(&word.text).is_some() || word.text.contains("://") {
        return Ok(word);
    }
    let path = word.text.strip_prefix("file:").unwrap_or(&word.text);
    joined(base, path).map(whole)
}

/// A source's address: the file of SQLite is a path.
fn address(base: &Path, word: Word) -> Result<Word, String> {
    let Some(path) = word.text.strip_prefix("sqlite:") else {
        return Ok(word);
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Ok(word);
    }
    joined(base, path).map(|path| whole(format!("sqlite:{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_where_the_file_is() {
        let base = Path::new("conf");
        assert_eq!(joined(base, "a").as_deref(), Ok("conf/a"));
        assert_eq!(joined(base, "/a").as_deref(), Ok("/a"));
        assert_eq!(joined(base, "-").as_deref(), Ok("-"));
        assert_eq!(joined(Path::new(""), "a").as_deref(), Ok("a"));
        let at = |text: &str| place(base, whole(text.to_owned())).map(|word| word.text);
        assert_eq!(at("s3://b/x").as_deref(), Ok("s3://b/x"));
        assert_eq!(at("lake/{table}").as_deref(), Ok("conf/lake/{table}"));
        assert_eq!(at("file:///lake").as_deref(), Ok("file:///lake"));
        assert_eq!(at("file:lake").as_deref(), Ok("conf/lake"));
        let at = |text: &str| address(base, whole(text.to_owned())).map(|word| word.text);
        assert_eq!(at("sqlite:a.db").as_deref(), Ok("sqlite:conf/a.db"));
        assert_eq!(at("mysql://h/d").as_deref(), Ok("mysql://h/d"));
    }

    #[test]
    fn names_are_literal() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("\"a"), "\"\"\"a\"");
    }
}
