//! numeric: groups of four decimal digits, straight to a scaled integer.
//!
//! On the wire a value is its number of groups, the power of 10 000 of the first, a sign, the number
//! of digits to show after the point, and the groups. The value is
//! `Σ group[i] · 10000^(weight − i)`; at a scale `s` the last group stands at the power of ten
//! `4·(weight − groups + 1) + s`, and everything before it is Horner's rule.

mod parts;

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Float64Type};

use super::fixed::primitive;
use super::{Decode, Malformed, Refused, Values};
use crate::model::FieldType;
use crate::source::for_integer;
use parts::{Parts, ten_to};

/// The decoder of numeric into an output type. Integers and decimals hold a value exactly or refuse
/// it, or round it with `lossy`; the nearest double is always a loss.
pub(super) fn decoder(field: &FieldType, lossy: bool) -> Option<Box<dyn Decode>> {
    if let Some(integer) = for_integer!(field, integer(lossy)) {
        return Some(integer);
    }
    Some(match field {
        FieldType::Decimal { precision, scale } => decimal(*precision, *scale, lossy),
        FieldType::Float64 if lossy => nearest(),
        _ => return None,
    })
}

/// numeric into decimal(precision, scale), 1 ≤ precision ≤ 76.
fn decimal(precision: u8, scale: u8, lossy: bool) -> Box<dyn Decode> {
    let data_type = FieldType::Decimal { precision, scale }.arrow();
    let power = i32::from(scale);
    // 10^76 fits 256 bits, and 10^38 fits 128.
    let wide_limit = ten_to(u32::from(precision.min(76)));
    let limit = 10i128.pow(u32::from(precision.min(38)));
    match (precision <= 38, lossy) {
        (true, false) => numeric::<Decimal128Type>(data_type, move |parts| {
            parts
                .scaled(power)
                .filter(|value| *value > -limit && *value < limit)
        }),
        (true, true) => numeric::<Decimal128Type>(data_type, move |parts| {
            parts.rounded(power, wide_limit)?.to_i128()
        }),
        (false, false) => {
            numeric::<Decimal256Type>(data_type, move |parts| parts.scaled_wide(power, wide_limit))
        }
        (false, true) => {
            numeric::<Decimal256Type>(data_type, move |parts| parts.rounded(power, wide_limit))
        }
    }
}

fn integer<P: ArrowPrimitiveType>(lossy: bool) -> Box<dyn Decode>
where
    P::Native: TryFrom<i128>,
{
    if lossy {
        numeric::<P>(P::DATA_TYPE, |parts| {
            let rounded = parts.rounded(0, ten_to(38))?.to_i128()?;
            P::Native::try_from(rounded).ok()
        })
    } else {
        numeric::<P>(P::DATA_TYPE, |parts| {
            P::Native::try_from(parts.scaled(0)?).ok()
        })
    }
}

/// The nearest double. NaN and the infinities are themselves; a number that would become infinite
/// is refused.
fn nearest() -> Box<dyn Decode> {
    let mut text = String::new();
    numeric::<Float64Type>(DataType::Float64, move |parts| {
        text.clear();
        parts.write(&mut text);
        let value: f64 = text.parse().ok()?;
        (value.is_finite() || !parts.is_finite()).then_some(value)
    })
}

/// A decoder whose `read` turns a numeric into Arrow's or declines it.
fn numeric<P: ArrowPrimitiveType>(
    data_type: DataType,
    read: impl FnMut(&Parts<'_>) -> Option<P::Native> + Send + 'static,
) -> Box<dyn Decode> {
    Box::new(Numeric::<P, _> {
        data_type,
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
        read,
    })
}

struct Numeric<P: ArrowPrimitiveType, R> {
    data_type: DataType,
    values: Vec<P::Native>,
    nulls: NullBufferBuilder,
    read: R,
}

impl<P, R> Decode for Numeric<P, R>
where
    P: ArrowPrimitiveType,
    R: FnMut(&Parts<'_>) -> Option<P::Native> + Send,
{
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        self.values.reserve(values.len());
        for (row, cell) in values.iter().enumerate() {
            let Some(bytes) = cell else {
                self.values.push(P::Native::default());
                self.nulls.append_null();
                continue;
            };
            let parts = Parts::read(bytes)
                .ok_or_else(|| Malformed("a numeric is not as long as it says".to_owned()))?;
            if let Some(value) = (self.read)(&parts) {
                self.values.push(value);
                self.nulls.append_non_null();
            } else {
                refused.add(row, || (parts.text(), parts.why_not()));
                self.values.push(P::Native::default());
                self.nulls.append_null();
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        primitive::<P>(&mut self.values, &mut self.nulls, &self.data_type)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, decode_all, refusal};
    use super::parts::{NAN, NEGATIVE, NEGATIVE_INFINITY, POSITIVE, POSITIVE_INFINITY};
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int8Type, UInt64Type, i256};
    use proptest::prelude::*;

    /// The wire form of a plain decimal text, as the server makes it: no zero groups at the ends.
    fn wire(text: &str) -> Vec<u8> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
        let padded = format!(
            "{fraction:0<width$}",
            width = fraction.len().div_ceil(4) * 4
        );
        let all = format!("{whole}{padded}");
        let mut groups: Vec<u16> = all
            .as_bytes()
            .chunks(4)
            .map(|chunk| std::str::from_utf8(chunk).unwrap().parse().unwrap())
            .collect();
        let mut weight = whole.len() as i16 / 4 - 1;
        while groups.first() == Some(&0) {
            groups.remove(0);
            weight -= 1;
        }
        while groups.last() == Some(&0) {
            groups.pop();
        }
        if groups.is_empty() {
            weight = 0;
        }
        let sign = if negative && !groups.is_empty() {
            NEGATIVE
        } else {
            POSITIVE
        };
        let mut bytes = Vec::new();
        bytes.extend((groups.len() as u16).to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend((fraction.len() as u16).to_be_bytes());
        for group in groups {
            bytes.extend(group.to_be_bytes());
        }
        bytes
    }

    fn value(text: &str, precision: u8, scale: u8) -> i128 {
        let array = decode(decimal(precision, scale, false), &[Some(&wire(text))]);
        array.as_primitive::<Decimal128Type>().value(0)
    }

    fn refused(raw: &[u8], precision: u8, scale: u8) -> String {
        refusal(decimal(precision, scale, false), raw).value
    }

    #[test]
    fn ordinary_values() {
        assert_eq!(value("12345.67", 15, 2), 1_234_567);
        assert_eq!(value("-0.05", 15, 2), -5);
        assert_eq!(value("0", 15, 2), 0);
        assert_eq!(value("100000000", 15, 2), 10_000_000_000);
        assert_eq!(value("0.00000001", 38, 8), 1);
    }

    #[test]
    fn the_edges_of_38_digits() {
        let nines = "9".repeat(38);
        assert_eq!(value(&nines, 38, 0), 10i128.pow(38) - 1);
        assert_eq!(value(&format!("-0.{nines}"), 38, 38), 1 - 10i128.pow(38));
        assert_eq!(refused(&wire(&"9".repeat(39)), 38, 0), "9".repeat(39));
        assert_eq!(refused(&wire("1.5"), 38, 38), "1.5");
    }

    #[test]
    fn wide_decimals_hold_76_digits_and_no_more() {
        let value = |text: &str, scale| {
            let array = decode(decimal(76, scale, false), &[Some(&wire(text)), None]);
            array.as_primitive::<Decimal256Type>().value(0).to_string()
        };
        let nines = "9".repeat(76);
        assert_eq!(value(&nines, 0), nines);
        assert_eq!(value(&format!("-0.{nines}"), 76), format!("-{nines}"));
        assert_eq!(value("12345.6", 3), "12345600");
        assert_eq!(value("0", 38), "0");
        for text in ["1.2345".to_owned(), format!("1{nines}")] {
            assert_eq!(refused(&wire(&text), 76, 3), text);
        }
    }

    #[test]
    fn what_may_be_lost_is_rounded_as_the_server_rounds() {
        let value = |text: &str, precision, scale| {
            let array = decode(decimal(precision, scale, true), &[Some(&wire(text))]);
            array.as_primitive::<Decimal128Type>().value(0)
        };
        for (text, rounded) in [
            ("1.234", 123),
            ("1.235", 124),
            ("-1.235", -124),
            ("0.0049999", 0),
            ("0.005", 1),
            ("0.00005", 0),
            ("9.995", 1000),
            ("12345678", 1_234_567_800),
        ] {
            assert_eq!(value(text, 10, 2), rounded, "{text}");
        }
        assert_eq!(value("0.5", 10, 0), 1);
        assert_eq!(value("0.00049", 10, 0), 0);
        // Rounding may make one digit too many.
        assert_eq!(refusal(decimal(3, 2, true), &wire("9.995")).value, "9.995");
    }

    #[test]
    fn integers_are_whole_and_doubles_are_near() {
        let whole = decode(
            integer::<UInt64Type>(false),
            &[Some(&wire("18446744073709551615"))],
        );
        assert_eq!(whole.as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert_eq!(
            refusal(integer::<Int8Type>(false), &wire("1.5")).value,
            "1.5"
        );
        assert_eq!(
            refusal(integer::<Int8Type>(false), &wire("128")).value,
            "128"
        );
        let rounded = decode(integer::<Int8Type>(true), &[Some(&wire("127.4"))]);
        assert_eq!(rounded.as_primitive::<Int8Type>().value(0), 127);
        let near = decode(nearest(), &[Some(&wire("0.1"))]);
        assert_eq!(near.as_primitive::<Float64Type>().value(0), 0.1);
        let huge = format!("1{}", "0".repeat(400));
        assert_eq!(refusal(nearest(), &wire(&huge)).value, huge);
        assert!(decoder(&FieldType::Float64, false).is_none());
    }

    #[test]
    fn more_digits_than_declared_are_refused_not_rounded() {
        assert_eq!(refused(&wire("1.234"), 10, 2), "1.234");
        assert_eq!(refused(&wire("0.000000001"), 10, 2), "0.000000001");
        assert_eq!(refused(&wire("100"), 2, 0), "100");
    }

    #[test]
    fn nan_and_infinities_are_refused_by_name() {
        for (sign, name) in [
            (NAN, "NaN"),
            (POSITIVE_INFINITY, "Infinity"),
            (NEGATIVE_INFINITY, "-Infinity"),
        ] {
            let mut raw = vec![0; 8];
            raw[4..6].copy_from_slice(&sign.to_be_bytes());
            assert_eq!(refused(&raw, 38, 10), name);
        }
    }

    #[test]
    fn a_numeric_that_lies_about_its_length_is_malformed() {
        let mut raw = wire("12345.67");
        raw.pop();
        assert!(decode_all(decimal(9, 2, false), &[Some(&raw)]).is_err());
        assert!(decode_all(decimal(9, 2, false), &[Some(&[0])]).is_err());
    }

    proptest! {
        #[test]
        fn every_decimal_comes_back_exactly(
            unscaled in prop_oneof![
                -(10i128.pow(38) - 1)..10i128.pow(38),
                -1_000_000_000_000i128..1_000_000_000_000,
            ],
            scale in 0u8..=38,
        ) {
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let sign = if unscaled < 0 { "-" } else { "" };
            let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(value(&text, 38, scale), unscaled);
            let wide = Parts::read(&wire(&text)).unwrap().scaled_wide(i32::from(scale), ten_to(76));
            prop_assert_eq!(wide, Some(i256::from_i128(unscaled)));
            let rounded = Parts::read(&wire(&text)).unwrap().rounded(i32::from(scale), ten_to(76));
            prop_assert_eq!(rounded, wide);
            let raw = wire(&text);
            prop_assert_eq!(Parts::read(&raw).unwrap().text(), text);
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..40), scale in 0u8..=38) {
            for lossy in [false, true] {
                let outcome = decode_all(decimal(38, scale, lossy), &[Some(&raw)]);
                prop_assert!(outcome.is_err() || outcome.is_ok_and(|(array, _)| array.len() == 1));
            }
        }
    }
}
