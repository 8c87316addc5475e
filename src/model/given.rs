//! Values given by name, in a file or by flags, and checked all at once: whoever made three mistakes
//! is told of three.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use super::nearest::nearest;

/// Most characters of a wrong value that a message repeats.
const SHOWN: usize = 40;

/// The largest [`Amount`]: more than anything costs or holds, and small enough that whatever is
/// reckoned with it stays finite.
const MOST: f64 = 1e15;

/// A number from 0 to 10¹⁵.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Amount(f64);

impl Amount {
    /// The number itself.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Amount {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if number > MOST {
            Err(format!("{number:e} is more than {MOST:e}"))
        } else if number >= 0.0 {
            // Not the negative zero.
            Ok(Self(number.abs()))
        } else {
            Err(format!("{number} is not a number of at least 0"))
        }
    }
}

impl From<Amount> for f64 {
    fn from(amount: Amount) -> f64 {
        amount.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Values by their keys, each with what a person calls it; taken one by one, and what is wrong is
/// gathered for [`Given::end`].
#[derive(Debug, Default)]
pub struct Given {
    values: BTreeMap<String, (String, Value)>,
    wrong: Vec<String>,
}

impl Given {
    /// The members of a JSON object. A null counts as not given; keys that are not among `known`, or
    /// come twice, are wrong.
    ///
    /// # Errors
    /// One line, where the text is no JSON object.
    pub fn of_json(text: &str, known: &[&str]) -> Result<Self, String> {
        let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut given = Self::default();
        let (mut unknown, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for (key, value) in members {
            if !known.contains(&key.as_str()) {
                unknown.insert(key);
            } else if given.values.contains_key(&key) {
                twice.insert(key);
            } else {
                given.values.insert(key.clone(), (key, value));
            }
        }
        given
            .wrong
            .extend(unknown.iter().map(|key| strange(key, known)));
        let twice = twice.into_iter().map(|key| format!("{key} is given twice"));
        given.wrong.extend(twice);
        Ok(given)
    }

    /// The values of flags: of each its key, its name and its text. A text that reads as a number is
    /// one.
    pub fn of_flags<'a>(
        flags: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>,
    ) -> Self {
        let mut given = Self::default();
        for (key, flag, text) in flags {
            let Some(text) = text else { continue };
            let value = match serde_json::from_str::<Number>(text) {
                Ok(number) => Value::Number(number),
                Err(_) => Value::String(text.to_owned()),
            };
            let entry = (flag.to_owned(), value);
            given.values.insert(key.to_owned(), entry);
        }
        given
    }

    /// A whole number from `least` on.
    pub fn whole<T: TryFrom<u64> + Into<u64> + Copy>(&mut self, key: &str, least: T) -> Option<T> {
        let what = format!("a whole number of at least {}", least.into());
        self.take(key, &what, |value| {
            let number = value.as_u64().filter(|number| *number >= least.into())?;
            T::try_from(number).ok()
        })
    }

    /// A number from 0 on.
    pub fn amount(&mut self, key: &str) -> Option<Amount> {
        self.take(key, "a number from 0 to 1e15", |value| {
            Amount::try_from(value.as_f64()?).ok()
        })
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let what = match names.split_last() {
            Some((last, others)) if !others.is_empty() => {
                format!("{} or {last}", others.join(", "))
            }
            _ => names.join(""),
        };
        self.take(key, &what, |value| {
            let word = value.as_str()?;
            words
                .iter()
                .find(|(name, _)| *name == word)
                .map(|found| found.1)
        })
    }

    /// true or false.
    pub fn truth(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", Value::as_bool)
    }

    /// A short text in one line.
    pub fn label(&mut self, key: &str) -> Option<String> {
        self.take(key, "a word of 1 to 16 characters", |value| {
            let text = value.as_str()?;
            let fits = (1..=16).contains(&text.chars().count());
            let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
            (fits && plain).then(|| text.to_owned())
        })
    }

    /// What was wrong, one line each: unknown keys first, sorted, then values in the order in which
    /// they were taken.
    ///
    /// # Errors
    /// Anything wrong at all.
    pub fn end(self) -> Result<(), Vec<String>> {
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(self.wrong)
        }
    }

    fn take<T>(
        &mut self,
        key: &str,
        what: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let (name, value) = self.values.remove(key)?;
        if value.is_null() {
            return None;
        }
        let read = read(&value);
        if read.is_none() {
            let shown = clip(&value.to_string());
            self.wrong
                .push(format!("{name} must be {what}, not {shown}"));
        }
        read
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A key that nobody knows, with the nearest that somebody does.
fn strange(key: &str, known: &[&str]) -> String {
    let shown = clip(&Value::from(key).to_string());
    match nearest(key, known.iter().map(|name| (*name, *name))).first() {
        Some(name) => format!("{shown} is unknown (did you mean {name}?)"),
        None => format!("{shown} is unknown"),
    }
}

/// An object's members as they are written; serde_json's own map would hide repeated keys.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;

        impl<'de> Visitor<'de> for AsWritten {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(AsWritten)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 3] = ["size", "share", "mood"];

    type Taken = (Option<u32>, Option<Amount>, Option<char>);

    fn taken(mut given: Given) -> Result<Taken, Vec<String>> {
        let values = (
            given.whole("size", 1),
            given.amount("share"),
            given.word("mood", &[("good", 'g'), ("bad", 'b'), ("mixed", 'm')]),
        );
        given.end().map(|()| values)
    }

    fn of_json(text: &str) -> Result<Taken, Vec<String>> {
        taken(Given::of_json(text, &KNOWN).expect("an object"))
    }

    #[test]
    fn values_are_taken_and_nulls_are_not_given() {
        let all = of_json(r#"{"mood": "bad", "share": 0.5, "size": 7}"#).expect("right");
        assert_eq!(all, (Some(7), Some(Amount(0.5)), Some('b')));
        assert_eq!(of_json(r#"{"size": null}"#), Ok((None, None, None)));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let text =
            r#"{"sise": 1, "mod": 2, "size": true, "share": -1, "mood": "awful", "xylophone": 0}"#;
        let told = of_json(text).expect_err("wrong");
        assert_eq!(
            told,
            [
                "\"mod\" is unknown (did you mean mood?)",
                "\"sise\" is unknown (did you mean size?)",
                "\"xylophone\" is unknown",
                "size must be a whole number of at least 1, not true",
                "share must be a number from 0 to 1e15, not -1",
                "mood must be good, bad or mixed, not \"awful\"",
            ]
        );
        let twice = of_json(r#"{"size": 1, "size": 2}"#).expect_err("wrong");
        assert_eq!(twice, ["size is given twice"]);
    }

    #[test]
    fn a_document_that_is_no_object_is_refused() {
        for text in ["", "[1]", "7", "{\"size\": }", "{} {}"] {
            let error = Given::of_json(text, &KNOWN).expect_err(text);
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn flags_are_called_by_their_names() {
        let flags = |size, share| {
            let flags = [("size", "--size", size), ("share", "--share", share)];
            taken(Given::of_flags(flags))
        };
        let amount = Amount::try_from(2.5).ok();
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e308, 1.1e15] {
            assert!(Amount::try_from(wrong).is_err(), "{wrong}");
        }
        assert_eq!(flags(Some("3"), Some("2.5")), Ok((Some(3), amount, None)));
        assert_eq!(flags(None, None), Ok((None, None, None)));
        for wrong in ["0", "-1", "1.5", "99999999999", "three", "", "1e3"] {
            let told = flags(Some(wrong), Some("NaN")).expect_err(wrong);
            assert!(
                told[0].starts_with("--size must be a whole number"),
                "{told:?}"
            );
            assert!(told[1].ends_with("not \"NaN\""), "{told:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in ".{0,60}") {
            if let Ok(given) = Given::of_json(&text, &KNOWN) {
                let _ = taken(given);
            }
        }
    }
}
