//! The frame of `COPY … (FORMAT binary)`: header, rows, trailer.

use super::decode::{Block, Cell};

/// What every binary COPY stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Signature, flags, and the length of the header's extension.
const HEADER: usize = 19;

/// Flags above bit 15 are critical: a reader that does not know one must stop.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;

/// Splits a stream into rows and fields. Messages may end anywhere; a server sends a row a message,
/// a proxy need not.
#[derive(Debug)]
pub(super) struct Framer {
    block: Block,
    /// How many of the block's bytes belong to what was understood.
    parsed: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    /// The trailer was seen: nothing may follow.
    Ended,
}

impl Framer {
    /// A framer for rows of `columns` fields.
    pub(super) fn new(columns: usize) -> Self {
        Self {
            block: Block::new(columns),
            parsed: 0,
            state: State::Header,
        }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// One line that says how the stream differs from the format.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), String> {
        self.block.bytes.extend_from_slice(data);
        if self.block.bytes.len() > u32::MAX as usize {
            return Err("a row is longer than 4 GiB".to_owned());
        }
        if self.state == State::Header && !self.header()? {
            return Ok(());
        }
        while self.state == State::Rows && self.row()? {}
        if self.state == State::Ended && self.parsed != self.block.bytes.len() {
            return Err("data follows the end of the COPY stream".to_owned());
        }
        Ok(())
    }

    /// Reads the header; false when more data is needed.
    fn header(&mut self) -> Result<bool, String> {
        let bytes = &self.block.bytes;
        let Some(head) = bytes.first_chunk::<HEADER>() else {
            return Ok(false);
        };
        let (signature, rest) = head.split_at(SIGNATURE.len());
        if signature != SIGNATURE {
            return Err("the COPY stream does not begin with the binary format's signature".into());
        }
        let (flags, extension) = rest.split_at(4);
        let flags = be_u32(flags);
        if flags & CRITICAL_FLAGS != 0 {
            return Err(format!("the COPY stream has unknown flags {flags:#010x}"));
        }
        let end = HEADER + be_u32(extension) as usize;
        if bytes.len() < end {
            return Ok(false);
        }
        self.parsed = end;
        self.state = State::Rows;
        Ok(true)
    }

    /// Reads one row or the trailer; false when more data is needed.
    #[inline]
    fn row(&mut self) -> Result<bool, String> {
        let Block {
            bytes,
            cells,
            columns,
            rows,
        } = &mut self.block;
        let Some(count) = bytes.get(self.parsed..).and_then(<[u8]>::first_chunk::<2>) else {
            return Ok(false);
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.parsed += 2;
            self.state = State::Ended;
            return Ok(true);
        }
        if usize::try_from(count) != Ok(*columns) {
            return Err(format!("a row has {count} fields instead of {columns}"));
        }
        let complete = cells.len();
        let mut at = self.parsed + 2;
        for _ in 0..*columns {
            let Some(len) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                cells.truncate(complete);
                return Ok(false);
            };
            let len = i32::from_be_bytes(*len);
            at += 4;
            // The block's length was checked to fit 32 bits, and `at` is within it.
            cells.push(Cell {
                start: at as u32,
                len,
            });
            match usize::try_from(len) {
                Ok(len) => at += len,
                Err(_) if len == -1 => {}
                Err(_) => return Err(format!("a field has the length {len}")),
            }
            if at > bytes.len() {
                cells.truncate(complete);
                return Ok(false);
            }
        }
        self.parsed = at;
        *rows += 1;
        Ok(true)
    }

    /// The complete rows so far.
    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    /// Forgets the complete rows, keeping the beginning of an incomplete one and all memory.
    pub(super) fn clear(&mut self) {
        self.block.bytes.drain(..self.parsed);
        self.parsed = 0;
        self.block.cells.clear();
        self.block.rows = 0;
    }

    /// Makes ready for another stream.
    pub(super) fn reset(&mut self) {
        self.parsed = self.block.bytes.len();
        self.clear();
        self.state = State::Header;
    }

    /// Whether the stream's own trailer was seen.
    pub(super) fn ended(&self) -> bool {
        self.state == State::Ended
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |value, byte| (value << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(rows: &[Vec<Option<Vec<u8>>>], trailer: bool) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        for row in rows {
            bytes.extend((row.len() as i16).to_be_bytes());
            for field in row {
                match field {
                    None => bytes.extend((-1i32).to_be_bytes()),
                    Some(value) => {
                        bytes.extend((value.len() as i32).to_be_bytes());
                        bytes.extend(value);
                    }
                }
            }
        }
        if trailer {
            bytes.extend((-1i16).to_be_bytes());
        }
        bytes
    }

    fn rows_of(framer: &Framer) -> Vec<Vec<Option<Vec<u8>>>> {
        let block = framer.block();
        (0..block.rows)
            .map(|row| {
                (0..block.columns)
                    .map(|column| block.value(row, column).map(<[u8]>::to_vec))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn a_stream_without_its_trailer_has_not_ended() {
        let mut framer = Framer::new(1);
        framer.push(&stream(&[vec![Some(vec![1])]], false)).unwrap();
        assert_eq!((framer.block().rows, framer.ended()), (1, false));
        framer.push(&[0xff, 0xff]).unwrap();
        assert!(framer.ended());
        assert!(framer.push(&[0]).is_err());
    }

    #[test]
    fn strange_streams_are_refused() {
        assert!(
            Framer::new(1)
                .push(b"PGCOPY\n\xff\r\n\x01\0\0\0\0\0\0\0\0")
                .is_err()
        );
        let mut critical = stream(&[], true);
        critical[12] = 1;
        assert!(Framer::new(1).push(&critical).is_err());
        let two = stream(&[vec![None, None]], true);
        assert!(Framer::new(1).push(&two).unwrap_err().contains("2 fields"));
        let mut negative = stream(&[vec![None]], false);
        let last = negative.len() - 1;
        negative[last] = 0xfe;
        assert!(Framer::new(1).push(&negative).is_err());
    }

    #[test]
    fn a_framer_is_used_again() {
        let bytes = stream(&[vec![Some(b"abc".to_vec())]], true);
        let mut framer = Framer::new(1);
        for _ in 0..2 {
            framer.push(&bytes).unwrap();
            assert!(framer.ended());
            assert_eq!(rows_of(&framer), vec![vec![Some(b"abc".to_vec())]]);
            framer.reset();
        }
    }

    proptest! {
        #[test]
        fn rows_come_back_however_the_stream_is_cut(
            rows in prop::collection::vec(
                prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 3),
                0..12,
            ),
            cut in 1usize..64,
        ) {
            let mut framer = Framer::new(3);
            let mut seen = Vec::new();
            for piece in stream(&rows, true).chunks(cut) {
                framer.push(piece).unwrap();
                seen.extend(rows_of(&framer));
                framer.clear();
            }
            prop_assert!(framer.ended());
            prop_assert_eq!(seen, rows);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::new(2);
            let mut data = stream(&[], false);
            data.extend(bytes);
            let outcome = framer.push(&data);
            prop_assert!(outcome.is_err() || framer.parsed <= data.len());
        }
    }
}
