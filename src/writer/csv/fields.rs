//! Reads some of the fields of a CSV file, knowing nothing of how it was written but the delimiter.

/// A reading under way.
pub(super) struct Fields<'a> {
    delimiter: u8,
    /// Positions of the fields that are wanted.
    wanted: &'a [usize],
    /// The fields of the row in hand that are wanted, as far as they have come.
    row: Vec<Vec<u8>>,
    /// Position of the field in hand.
    at: usize,
    quoted: bool,
    /// The byte before was a quote that may have ended the field, or be the first of two.
    closing: bool,
}

impl<'a> Fields<'a> {
    /// A reading of the fields at these positions; rows have them in this order.
    pub(super) fn new(delimiter: u8, wanted: &'a [usize]) -> Self {
        Self {
            delimiter,
            wanted,
            row: vec![Vec::new(); wanted.len()],
            at: 0,
            quoted: false,
            closing: false,
        }
    }

    /// Goes on with the file's next bytes; gives every row that they end.
    pub(super) fn feed(&mut self, bytes: &[u8], row: &mut dyn FnMut(&[Vec<u8>])) {
        for &byte in bytes {
            if self.quoted && !self.closing {
                if byte == b'"' {
                    self.closing = true;
                } else {
                    self.keep(byte);
                }
                continue;
            }
            match byte {
                b'"' if self.closing => {
                    self.closing = false;
                    self.keep(b'"');
                }
                b'"' => self.quoted = true,
                b'\n' => {
                    row(&self.row);
                    self.row.iter_mut().for_each(Vec::clear);
                    self.at = 0;
                    (self.quoted, self.closing) = (false, false);
                }
                _ if byte == self.delimiter => {
                    self.at += 1;
                    (self.quoted, self.closing) = (false, false);
                }
                _ => self.keep(byte),
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        // A key has few columns: a search would be slower.
        if let Some(place) = self.wanted.iter().position(|at| *at == self.at) {
            self.row[place].push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], wanted: &[usize], pieces: usize) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut fields = Fields::new(b',', wanted);
        for piece in text.chunks(pieces.max(1)) {
            fields.feed(piece, &mut |row| {
                let texts = row
                    .iter()
                    .map(|field| String::from_utf8_lossy(field).into_owned());
                rows.push(texts.collect());
            });
        }
        rows
    }

    proptest! {
        #[test]
        fn fields_are_those_of_another_reader(
            rows in proptest::collection::vec(
                proptest::collection::vec("[a,\"\n\r é]{0,5}", 3), 0..6),
            pieces in 1usize..9,
            always in any::<bool>(),
        ) {
            let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
            let mut writer = csv::WriterBuilder::new()
                .quote_style(style)
                .terminator(csv::Terminator::Any(b'\n'))
                .from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("memory");
            }
            let text = writer.into_inner().expect("memory");
            let wanted: Vec<Vec<String>> = rows
                .iter()
                .map(|row| vec![row[2].clone(), row[0].clone()])
                .collect();
            prop_assert_eq!(read(&text, &[2, 0], pieces), wanted);
        }
    }
}
