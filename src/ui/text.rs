//! How wide text is on a terminal, and where it may be broken.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes: two for a wide character, none for one that joins the one before.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text with blanks up to so many columns.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{:blanks$}", "")
}

/// `text` behind `label`, its further lines below its beginning; none wider than `columns`, unless a
/// character has no room at all.
pub(super) fn hanging(label: &str, text: &str, columns: usize) -> String {
    let indent = width(label);
    let room = columns.saturating_sub(indent).max(1);
    let lines = broken(&wrapped(text, room), room);
    format!("{label}{}", lines.join(&format!("\n{:indent$}", "")))
        .trim_end()
        .to_owned()
}

/// `text` in lines of at most `columns`, broken at blanks alone: a longer word is a line of its own, so
/// that a path or an address can still be copied.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut taken = 0;
    for word in text.split(' ') {
        let wide = width(word);
        match lines.last_mut() {
            Some(line) if taken + 1 + wide <= columns => {
                line.push(' ');
                line.push_str(word);
                taken += 1 + wide;
            }
            _ => {
                lines.push(word.to_owned());
                taken = wide;
            }
        }
    }
    lines
}

/// Lines of at most `columns`, broken anywhere but within a character and what joins it.
fn broken(lines: &[String], columns: usize) -> Vec<String> {
    let mut out = Vec::new();
    for line in lines {
        let mut part = String::new();
        for c in line.chars() {
            let joins = c.width().unwrap_or(0) == 0;
            let longer = format!("{part}{c}");
            if width(&longer) > columns && !joins && !part.is_empty() {
                out.push(std::mem::take(&mut part));
                part.push(c);
            } else {
                part = longer;
            }
        }
        out.push(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_and_joining_characters_are_counted_as_they_are_seen() {
        assert_eq!(width("e\u{301}名"), 3);
        assert_eq!(padded("名", 4), "名  ");
        assert_eq!(hanging("  a  ", "名前 名前", 9), "  a  名前\n     名前");
        assert_eq!(hanging("a ", "abcdef", 5), "a abc\n  def");
    }

    #[test]
    fn a_word_is_not_broken() {
        assert_eq!(
            wrapped("see /a/long/path now", 8),
            ["see", "/a/long/path", "now"]
        );
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("a  b", 8), ["a  b"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_too_wide(text in "[a-z名\u{301}👍 ]{0,60}", columns in 2usize..40) {
            let lines = wrapped(&text, columns);
            prop_assert_eq!(lines.join(" "), text.clone());
            for line in &lines {
                prop_assert!(width(line) <= columns || !line.contains(' '));
            }
            for line in hanging("", &text, columns).lines() {
                prop_assert!(width(line) <= columns, "{line:?}");
            }
        }
    }
}
