//! Text as what it says: a number, a date, a UUID.

use arrow::array::ArrayRef;

use super::text::{NOT_UTF8, binary, not_utf8};
use super::{Decode, Malformed, Refused, Values};
use crate::model::FieldType;
use crate::source::convert::{Convert, Raw, converter};

/// Text into an output type; with `padded` the blanks at its end are no part of it.
pub(super) fn parsed(field: &FieldType, lossy: bool, padded: bool) -> Option<Box<dyn Decode>> {
    match field {
        // The bytes that are not text in a SQL_ASCII database.
        FieldType::Binary => Some(binary(0)),
        // Hardly a decimal is a double: that is for the user to allow.
        FieldType::Float32 | FieldType::Float64 if !lossy => None,
        _ => Some(Box::new(Parsed {
            to: converter(field, lossy)?,
            padded,
        })),
    }
}

struct Parsed {
    to: Box<dyn Convert>,
    padded: bool,
}

impl Decode for Parsed {
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        for (row, cell) in values.iter().enumerate() {
            let Some(bytes) = cell else {
                self.to.append_null();
                continue;
            };
            let fault = match std::str::from_utf8(bytes) {
                Ok(text) => {
                    let blank = |c| self.padded && c == ' ';
                    let taken = self.to.append(Raw::Text(text.trim_end_matches(blank)));
                    (!taken).then_some((text, "it cannot be read as the output type exactly"))
                }
                Err(_) => Some(("", NOT_UTF8)),
            };
            if let Some((text, why)) = fault {
                self.to.append_null();
                refused.add(row, || match text {
                    "" => (not_utf8(bytes), why),
                    text => (format!("'{text}'"), why),
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        Ok(self.to.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, refusal};
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Int64Type};

    fn of(field: &str, padded: bool) -> Box<dyn Decode> {
        parsed(&field.parse().expect("a type"), false, padded).expect("a decoder")
    }

    #[test]
    fn text_is_read_as_what_it_says() {
        let array = decode(of("int64", false), &[Some(b"-12"), None]);
        assert_eq!(array.as_primitive::<Int64Type>().value(0), -12);
        let array = decode(of("date", true), &[Some(b"1970-01-02  ")]);
        assert_eq!(array.as_primitive::<Date32Type>().value(0), 1);
        assert_eq!(
            refusal(of("date", false), b"1970-01-02 ").value,
            "'1970-01-02 '"
        );
        assert_eq!(refusal(of("int64", false), b"\xff").why, NOT_UTF8);
        assert_eq!(refusal(of("int64", false), b"").value, "''");
    }
}
