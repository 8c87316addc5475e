//! Counts the rows of a CSV file, knowing nothing of how it was written but the delimiter.

/// A count under way.
pub(super) struct Scan {
    /// Which bytes mean something: the delimiter, quotes and ends of lines.
    special: [bool; 256],
    /// Fields that each row has; a row without columns is an empty line, as is one empty field.
    columns: usize,
    /// Inside quotes. A doubled quote leaves and enters again.
    quoted: bool,
    fields: usize,
    rows: u64,
    last: u8,
}

impl Scan {
    /// A count of rows of so many columns.
    pub(super) fn new(delimiter: u8, columns: usize) -> Self {
        let mut special = [false; 256];
        for byte in [delimiter, b'"', b'\n'] {
            special[usize::from(byte)] = true;
        }
        Self {
            special,
            columns: columns.max(1),
            quoted: false,
            fields: 1,
            rows: 0,
            last: b'\n',
        }
    }

    /// Goes on with the file's next bytes.
    ///
    /// # Errors
    /// One line, when a row has too few or too many fields.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if !self.special[usize::from(*byte)] {
                continue;
            }
            match *byte {
                b'"' => self.quoted = !self.quoted,
                _ if self.quoted => {}
                b'\n' => {
                    self.rows += 1;
                    if self.fields != self.columns {
                        return Err(format!(
                            "its row {} has {} fields and not {}",
                            self.rows, self.fields, self.columns
                        ));
                    }
                    self.fields = 1;
                }
                _ => self.fields += 1,
            }
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(())
    }

    /// The number of rows.
    ///
    /// # Errors
    /// One line, when the file ends within a row.
    pub(super) fn end(self) -> Result<u64, String> {
        if self.quoted || self.last != b'\n' {
            Err("it ends in the middle of a row".to_owned())
        } else {
            Ok(self.rows)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, columns: usize) -> Result<u64, String> {
        let mut scan = Scan::new(b',', columns);
        // Byte by byte: where pieces end must not matter.
        for byte in text.as_bytes() {
            scan.feed(std::slice::from_ref(byte))?;
        }
        scan.end()
    }

    #[test]
    fn rows_are_counted_outside_quotes() {
        assert_eq!(count("", 2), Ok(0));
        assert_eq!(count("a,b\n,\n", 2), Ok(2));
        assert_eq!(count("\"a,\"\"\n\",b\n", 2), Ok(1));
        assert_eq!(count("\n\n\"\"\n", 1), Ok(3));
        assert_eq!(count("\n\n", 0), Ok(2));
    }

    #[test]
    fn what_is_cut_or_torn_is_found() {
        for (text, says) in [
            ("a,b\nc\n", "its row 2 has 1 fields"),
            ("a,b,c\n", "its row 1 has 3 fields"),
            ("a,b\nc,d", "middle of a row"),
            ("a,\"b\n", "middle of a row"),
        ] {
            let found = count(text, 2).unwrap_err();
            assert!(found.contains(says), "{text:?}: {found}");
        }
    }
}
