//! What is shown in place of characters that could change how the text around them looks.

/// The character to show for one that may come from a database: itself, or U+FFFD for those that a
/// terminal obeys, and for those that turn the direction of the text around them, so that one name
/// could look like another.
pub fn visible(c: char) -> char {
    match c {
        c if c.is_control() => '\u{fffd}',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '\u{fffd}'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obeyed_is_not_shown() {
        let shown: String = "a\u{1b}[1m\u{202e}名\u{200d}é"
            .chars()
            .map(visible)
            .collect();
        assert_eq!(shown, "a\u{fffd}[1m\u{fffd}名\u{200d}é");
    }
}
