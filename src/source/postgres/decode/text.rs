//! Values of any length: text, JSON, bytes; and uuid, which is text or sixteen bytes.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, NullBufferBuilder, StringArray, StringBuilder,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::fixed::wrong_width;
use super::{Decode, Malformed, Refused, Values};

/// Bytes of a column, end to end.
struct Bytes {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Ends a value, NULL or not.
    #[inline]
    fn end_value(&mut self) -> Result<(), Malformed> {
        let end = i32::try_from(self.values.len())
            .map_err(|_| Malformed("a batch holds more than 2 GiB of one column".into()))?;
        self.offsets.push(end);
        Ok(())
    }

    /// Appends a column's values without their first `skip` bytes.
    fn append(&mut self, values: Values<'_>, skip: usize) -> Result<(), Malformed> {
        self.offsets.reserve(values.len());
        for cell in values.iter() {
            match cell {
                Some(bytes) => {
                    let value = bytes.get(skip..).ok_or_else(|| wrong_width(0, skip))?;
                    self.values.extend_from_slice(value);
                    self.nulls.append_non_null();
                }
                None => self.nulls.append_null(),
            }
            self.end_value()?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(OffsetBuffer<i32>, Buffer, Option<NullBuffer>), Malformed> {
        // The next batch is about as large as this one: one allocation instead of a doubling.
        let room = self.values.len() + self.values.len() / 8;
        let values = mem::replace(&mut self.values, Vec::with_capacity(room));
        let mut fresh = Vec::with_capacity(self.offsets.len());
        fresh.push(0);
        let offsets = mem::replace(&mut self.offsets, fresh);
        // Ascending by construction: each is the length of `values` at its time.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok((offsets, Buffer::from_vec(values), self.nulls.finish()))
    }
}

/// Text; `skip` bytes before each value are not part of it.
pub(super) fn utf8(skip: usize) -> Box<dyn Decode> {
    Box::new(Utf8 {
        bytes: Bytes::new(),
        skip,
    })
}

struct Utf8 {
    bytes: Bytes,
    skip: usize,
}

impl Decode for Utf8 {
    fn append(&mut self, values: Values<'_>, _: &mut Refused) -> Result<(), Malformed> {
        self.bytes.append(values, self.skip)
    }

    /// Validates the whole column at once, and looks for the culprits only if there are any.
    fn finish(&mut self, refused: &mut Refused) -> Result<ArrayRef, Malformed> {
        let (offsets, values, nulls) = self.bytes.take()?;
        let array = StringArray::try_new(offsets.clone(), values.clone(), nulls.clone())
            .unwrap_or_else(|_| without_culprits(&offsets, &values, nulls.as_ref(), refused));
        Ok(Arc::new(array))
    }
}

/// The same values, NULL where one is not UTF-8.
#[cold]
fn without_culprits(
    offsets: &OffsetBuffer<i32>,
    values: &[u8],
    nulls: Option<&NullBuffer>,
    refused: &mut Refused,
) -> StringArray {
    let mut clean = StringBuilder::with_capacity(offsets.len(), values.len());
    for (row, ends) in offsets.windows(2).enumerate() {
        // Offsets are never negative: they are lengths.
        let value = values.get(ends[0] as usize..ends[1] as usize);
        match value.map(std::str::from_utf8) {
            Some(Ok(_)) if nulls.is_some_and(|nulls| nulls.is_null(row)) => clean.append_null(),
            Some(Ok(text)) => clean.append_value(text),
            _ => {
                let bytes = value.unwrap_or_default();
                refused.add(row, || (not_utf8(bytes), NOT_UTF8));
                clean.append_null();
            }
        }
    }
    clean.finish()
}

/// What is wrong with bytes that are no text.
pub(in super::super) const NOT_UTF8: &str = "its bytes are not UTF-8";

/// Bytes that are no text, for a message.
pub(super) fn not_utf8(bytes: &[u8]) -> String {
    format!("'{}'", bytes.escape_ascii())
}

/// Bytes as they are; `skip` bytes before each value are not part of it.
pub(super) fn binary(skip: usize) -> Box<dyn Decode> {
    Box::new(Binary {
        bytes: Bytes::new(),
        skip,
    })
}

struct Binary {
    bytes: Bytes,
    skip: usize,
}

impl Decode for Binary {
    fn append(&mut self, values: Values<'_>, _: &mut Refused) -> Result<(), Malformed> {
        self.bytes.append(values, self.skip)
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        let (offsets, values, nulls) = self.bytes.take()?;
        BinaryArray::try_new(offsets, values, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Malformed(error.to_string()))
    }
}

/// uuid as sixteen bytes.
pub(super) fn uuid() -> Box<dyn Decode> {
    Box::new(Uuid {
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
        any_length: false,
    })
}

/// Bytes that should be sixteen.
pub(super) fn uuid_of_bytes() -> Box<dyn Decode> {
    Box::new(Uuid {
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
        any_length: true,
    })
}

struct Uuid {
    values: Vec<u8>,
    nulls: NullBufferBuilder,
    /// Another length than sixteen is a value that does not fit, not a broken stream.
    any_length: bool,
}

impl Decode for Uuid {
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        self.values.reserve(values.len() * 16);
        for (row, cell) in values.iter().enumerate() {
            let value = match cell {
                Some(bytes) if self.any_length && bytes.len() != 16 => {
                    refused.add(row, || {
                        (
                            format!("\\x{}", crate::model::hex(bytes)),
                            "a UUID has sixteen bytes",
                        )
                    });
                    None
                }
                Some(bytes) => Some(uuid_bytes(bytes)?),
                None => None,
            };
            self.values.extend_from_slice(&value.unwrap_or_default());
            self.nulls.append(value.is_some());
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        let fresh = Vec::with_capacity(self.values.len());
        let values = Buffer::from_vec(mem::replace(&mut self.values, fresh));
        FixedSizeBinaryArray::try_new(16, values, self.nulls.finish())
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Malformed(error.to_string()))
    }
}

/// uuid as its 36 characters, as the server prints it.
pub(super) fn uuid_text() -> Box<dyn Decode> {
    Box::new(UuidText(Bytes::new()))
}

struct UuidText(Bytes);

impl Decode for UuidText {
    fn append(&mut self, values: Values<'_>, _: &mut Refused) -> Result<(), Malformed> {
        let bytes = &mut self.0;
        bytes.values.reserve(values.len() * 36);
        for cell in values.iter() {
            match cell {
                Some(value) => {
                    bytes
                        .values
                        .extend_from_slice(&hyphenated(uuid_bytes(value)?));
                    bytes.nulls.append_non_null();
                }
                None => bytes.nulls.append_null(),
            }
            bytes.end_value()?;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        let (offsets, values, nulls) = self.0.take()?;
        StringArray::try_new(offsets, values, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Malformed(error.to_string()))
    }
}

fn uuid_bytes(bytes: &[u8]) -> Result<[u8; 16], Malformed> {
    bytes.try_into().map_err(|_| wrong_width(bytes.len(), 16))
}

fn hyphenated(bytes: [u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, decode_all};
    use super::*;
    use arrow::array::{Array, AsArray};
    use proptest::prelude::*;

    #[test]
    fn text_keeps_empty_apart_from_null() {
        let array = decode(utf8(0), &[Some(b"a\xc3\xa9"), None, Some(b"")]);
        let array = array.as_string::<i32>();
        assert_eq!(
            array.iter().collect::<Vec<_>>(),
            [Some("aé"), None, Some("")]
        );
    }

    #[test]
    fn the_version_byte_of_jsonb_is_taken_off() {
        let array = decode(utf8(1), &[Some(b"\x01{}")]);
        assert_eq!(array.as_string::<i32>().value(0), "{}");
        assert!(decode_all(utf8(1), &[Some(b"")]).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_row() {
        // The second and third are UTF-8 together, not each by itself.
        let cells: [Option<&[u8]>; 3] = [Some(b"ok"), Some(b"\xc3"), Some(b"\xa9")];
        let (array, mut refused) = decode_all(utf8(0), &cells).expect("well formed");
        let array = array.as_string::<i32>();
        assert_eq!(array.iter().collect::<Vec<_>>(), [Some("ok"), None, None]);
        let (count, first) = refused.take().expect("refusals");
        assert_eq!((count, first.row, first.value.as_str()), (2, 1, "'\\xc3'"));
    }

    #[test]
    fn uuids_are_text_or_bytes() {
        let raw: Vec<u8> = (0..16).map(|byte| byte * 17).collect();
        let array = decode(uuid_text(), &[Some(&raw), None]);
        assert_eq!(
            array.as_string::<i32>().value(0),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        let array = decode(uuid(), &[Some(&raw), None]);
        assert_eq!(array.as_fixed_size_binary().value(0), raw);
        assert!(array.is_null(1));
    }

    proptest! {
        #[test]
        fn any_text_and_bytes_come_back(values in prop::collection::vec(prop::option::of(".*"), 0..20)) {
            let cells: Vec<Option<&[u8]>> = values.iter().map(|v| v.as_ref().map(|t| t.as_bytes())).collect();
            let array = decode(utf8(0), &cells);
            let text: Vec<Option<&str>> = array.as_string::<i32>().iter().collect();
            prop_assert_eq!(text, values.iter().map(Option::as_deref).collect::<Vec<_>>());
            let array = decode(binary(0), &cells);
            prop_assert_eq!(array.as_binary::<i32>().iter().collect::<Vec<_>>(), cells);
        }
    }
}
