//! Text out of the bytes that are stored. The driver would turn them into text itself, but ends the
//! whole answer at the first that is none, and no word of which row it was.

use super::types::Charset;

/// What Windows-1252 has where ISO 8859-1 has control characters; those without a meaning stay what they
/// are, as the server has it.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Appends the text that the bytes are; `None` where they are none.
#[inline]
pub(super) fn read(charset: Charset, bytes: &[u8], to: &mut String) -> Option<()> {
    match charset {
        Charset::Utf8 => to.push_str(std::str::from_utf8(bytes).ok()?),
        Charset::Latin => match bytes.is_ascii().then(|| std::str::from_utf8(bytes)) {
            Some(Ok(text)) => to.push_str(text),
            _ => to.extend(bytes.iter().map(|byte| latin(*byte))),
        },
        Charset::Utf16 | Charset::Converted => {
            let (pairs, []) = bytes.as_chunks::<2>() else {
                return None;
            };
            to.reserve(pairs.len());
            let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
            for char in char::decode_utf16(units) {
                to.push(char.ok()?);
            }
        }
    }
    Some(())
}

fn latin(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(charset: Charset, bytes: &[u8]) -> Option<String> {
        let mut to = String::new();
        read(charset, bytes, &mut to).map(|()| to)
    }

    #[test]
    fn bytes_are_text_or_they_are_not() {
        assert_eq!(
            text(Charset::Latin, b"a\x80\xe9\x81").as_deref(),
            Some("a€é\u{81}")
        );
        assert_eq!(text(Charset::Latin, b"").as_deref(), Some(""));
        assert_eq!(text(Charset::Utf8, "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(text(Charset::Utf8, b"\xff"), None);
        assert_eq!(text(Charset::Utf16, &[0x00, 0xd8, 0x41, 0]), None);
        assert_eq!(text(Charset::Utf16, &[0x41]), None);
    }

    proptest! {
        #[test]
        fn every_text_survives(written in "\\PC{0,40}") {
            let bytes: Vec<u8> = written.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(text(Charset::Utf16, &bytes), Some(written));
        }
    }
}
