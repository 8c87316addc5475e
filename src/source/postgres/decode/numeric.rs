//! numeric: groups of four decimal digits, straight to a scaled integer.
//!
//! On the wire a value is its number of groups, the power of 10 000 of the first, a sign, the number
//! of digits to show after the point, and the groups. The value is
//! `Σ group[i] · 10000^(weight − i)`; at a scale `s` the last group stands at the power of ten
//! `4·(weight − groups + 1) + s`, and everything before it is Horner's rule.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array, NullBufferBuilder};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, i256};

use super::{Block, Decode, Fault};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// numeric into Decimal128(precision, scale), 1 ≤ precision ≤ 38.
pub(super) fn decimal128(precision: u8, scale: u8) -> Box<dyn Decode> {
    Box::new(Decimal {
        precision,
        scale,
        // 10^38 fits 128 bits.
        limit: 10i128.pow(u32::from(precision.min(38))),
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
    })
}

struct Decimal {
    precision: u8,
    scale: u8,
    /// 10^precision: the first magnitude that does not fit.
    limit: i128,
    values: Vec<i128>,
    nulls: NullBufferBuilder,
}

impl Decode for Decimal {
    fn append(&mut self, block: &Block, column: usize) -> Result<(), Fault> {
        self.values.reserve(block.rows);
        let scale = i32::from(self.scale);
        for (row, cell) in block.column(column).enumerate() {
            let Some(bytes) = cell else {
                self.values.push(0);
                self.nulls.append_null();
                continue;
            };
            let parts = Parts::read(bytes).ok_or_else(|| {
                Fault::Malformed("a numeric is not as long as it says".to_owned())
            })?;
            match parts.scaled(scale) {
                Some(value) if value > -self.limit && value < self.limit => self.values.push(value),
                _ => {
                    return Err(Fault::Unrepresentable {
                        row,
                        value: parts.text(),
                        why: parts.why_not(),
                    });
                }
            }
            self.nulls.append_non_null();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let fresh = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(mem::replace(&mut self.values, fresh));
        let array = Decimal128Array::try_new(values, self.nulls.finish())
            .map_err(|error| Fault::Malformed(error.to_string()))?;
        // Scales are at most 38 here.
        let data_type = DataType::Decimal128(self.precision, self.scale as i8);
        Ok(Arc::new(array.with_data_type(data_type)))
    }
}

/// numeric into Decimal256(precision, scale), 39 ≤ precision ≤ 76.
pub(super) fn decimal256(precision: u8, scale: u8) -> Box<dyn Decode> {
    Box::new(Wide {
        precision,
        scale,
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
    })
}

/// Rare, so that it needs no short cuts.
struct Wide {
    precision: u8,
    scale: u8,
    values: Vec<i256>,
    nulls: NullBufferBuilder,
}

impl Decode for Wide {
    fn append(&mut self, block: &Block, column: usize) -> Result<(), Fault> {
        // 10^76 fits 256 bits.
        let limit = ten_to(u32::from(self.precision.min(76)));
        for (row, cell) in block.column(column).enumerate() {
            let Some(bytes) = cell else {
                self.values.push(i256::ZERO);
                self.nulls.append_null();
                continue;
            };
            let parts = Parts::read(bytes).ok_or_else(|| {
                Fault::Malformed("a numeric is not as long as it says".to_owned())
            })?;
            match parts.scaled_wide(i32::from(self.scale), limit) {
                Some(value) => self.values.push(value),
                None => {
                    return Err(Fault::Unrepresentable {
                        row,
                        value: parts.text(),
                        why: parts.why_not(),
                    });
                }
            }
            self.nulls.append_non_null();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let values = ScalarBuffer::from(mem::take(&mut self.values));
        let array = Decimal256Array::try_new(values, self.nulls.finish())
            .map_err(|error| Fault::Malformed(error.to_string()))?;
        // Scales are at most 76 here.
        let data_type = DataType::Decimal256(self.precision, self.scale as i8);
        Ok(Arc::new(array.with_data_type(data_type)))
    }
}

fn ten_to(power: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(power)
}

/// A numeric as it travels.
struct Parts<'a> {
    weight: i32,
    sign: u16,
    shown_scale: u16,
    groups: &'a [[u8; 2]],
}

impl<'a> Parts<'a> {
    #[inline]
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let [n0, n1, w0, w1, s0, s1, d0, d1] = *head;
        let (groups, odd) = rest.as_chunks::<2>();
        if !odd.is_empty() || groups.len() != usize::from(u16::from_be_bytes([n0, n1])) {
            return None;
        }
        Some(Self {
            weight: i32::from(i16::from_be_bytes([w0, w1])),
            sign: u16::from_be_bytes([s0, s1]),
            shown_scale: u16::from_be_bytes([d0, d1]),
            groups,
        })
    }

    /// The value times 10^scale, when that is a whole number within 128 bits.
    #[inline]
    fn scaled(&self, scale: i32) -> Option<i128> {
        if self.sign & !NEGATIVE != 0 {
            return None;
        }
        let Some((last, before)) = self.groups.split_last() else {
            return Some(0);
        };
        // The power of ten at which the last group's ones digit stands, at this scale.
        let power = 4 * (self.weight + 1 - self.groups.len() as i32) + scale;
        let last = i64::from(u16::from_be_bytes(*last));
        // Three groups and the last make at most 10^16, and shifted by less than 10^2 still fit.
        let magnitude = if before.len() <= 3 && (-3..=2).contains(&power) {
            let head = before.iter().fold(0, |sum, group| {
                sum * 10_000 + i64::from(u16::from_be_bytes(*group))
            });
            i128::from(small(head, last, power)?)
        } else {
            self.large(power)?
        };
        Some(if self.sign == NEGATIVE {
            -magnitude
        } else {
            magnitude
        })
    }

    /// Any size: groups beyond the scale must be zero, and overflow is `None`.
    #[cold]
    fn large(&self, mut power: i32) -> Option<i128> {
        let mut groups = self.groups;
        while power <= -4 {
            let (last, before) = groups.split_last()?;
            if *last != [0, 0] {
                return None;
            }
            groups = before;
            power += 4;
            if groups.is_empty() {
                return Some(0);
            }
        }
        let (last, before) = groups.split_last()?;
        let head = before.iter().try_fold(0i128, |sum, group| {
            sum.checked_mul(10_000)?
                .checked_add(i128::from(u16::from_be_bytes(*group)))
        })?;
        let last = i128::from(u16::from_be_bytes(*last));
        if power < 0 {
            let cut = 10i128.pow(power.unsigned_abs());
            if last % cut != 0 {
                return None;
            }
            head.checked_mul(10_000 / cut)?.checked_add(last / cut)
        } else {
            let whole = head.checked_mul(10_000)?.checked_add(last)?;
            match u32::try_from(power) {
                Ok(power) if whole != 0 => whole.checked_mul(10i128.checked_pow(power)?),
                _ => Some(whole),
            }
        }
    }

    /// The value times 10^scale, when that is a whole number smaller than `limit` in magnitude.
    fn scaled_wide(&self, scale: i32, limit: i256) -> Option<i256> {
        if self.sign & !NEGATIVE != 0 {
            return None;
        }
        let mut magnitude = i256::ZERO;
        // The power of ten of each group's ones digit, at this scale.
        let powers = (0..).map(|index| 4 * (self.weight - index) + scale);
        for (group, power) in self.groups.iter().zip(powers) {
            let group = i256::from_i128(i128::from(u16::from_be_bytes(*group)));
            let part = match power {
                _ if group == i256::ZERO => continue,
                0..=76 => group.checked_mul(ten_to(power.unsigned_abs()))?,
                -3..0 => {
                    let cut = ten_to(power.unsigned_abs());
                    Some(group.wrapping_div(cut))
                        .filter(|_| group.wrapping_rem(cut) == i256::ZERO)?
                }
                _ => return None,
            };
            magnitude = magnitude.checked_add(part).filter(|sum| *sum < limit)?;
        }
        Some(if self.sign == NEGATIVE {
            magnitude.wrapping_neg()
        } else {
            magnitude
        })
    }

    fn why_not(&self) -> &'static str {
        match self.sign {
            POSITIVE | NEGATIVE => "it has more digits than the decimal type holds",
            _ => "no decimal type of Arrow and Parquet has a NaN or an infinity",
        }
    }

    /// As the server prints it.
    fn text(&self) -> String {
        match self.sign {
            POSITIVE | NEGATIVE => {}
            NAN => return "NaN".to_owned(),
            POSITIVE_INFINITY => return "Infinity".to_owned(),
            NEGATIVE_INFINITY => return "-Infinity".to_owned(),
            other => return format!("numeric with sign {other:#06x}"),
        }
        let group = |power: i32| -> u16 {
            usize::try_from(self.weight - power)
                .ok()
                .and_then(|index| self.groups.get(index))
                .map_or(0, |raw| u16::from_be_bytes(*raw))
        };
        let mut text = String::new();
        for power in (0..=self.weight.max(0)).rev() {
            if text.is_empty() {
                if group(power) != 0 || power == 0 {
                    text = group(power).to_string();
                }
            } else {
                text.push_str(&format!("{:04}", group(power)));
            }
        }
        let shown = usize::from(self.shown_scale);
        if shown > 0 {
            let mut digits = String::with_capacity(shown + 4);
            let mut power = -1;
            while digits.len() < shown {
                digits.push_str(&format!("{:04}", group(power)));
                power -= 1;
            }
            digits.truncate(shown);
            text = format!("{text}.{digits}");
        }
        if self.sign == NEGATIVE {
            text.insert(0, '-');
        }
        text
    }
}

/// `(head·10⁴ + last) · 10^power` in 64 bits, for head < 10¹² and −3 ≤ power ≤ 2. Each power has its
/// own constants, so that the compiler divides by multiplying.
#[inline]
fn small(head: i64, last: i64, power: i32) -> Option<i64> {
    let exact = |cut: i64| (last % cut == 0).then_some(());
    Some(match power {
        -3 => {
            exact(1000)?;
            head * 10 + last / 1000
        }
        -2 => {
            exact(100)?;
            head * 100 + last / 100
        }
        -1 => {
            exact(10)?;
            head * 1000 + last / 10
        }
        0 => head * 10_000 + last,
        1 => (head * 10_000 + last) * 10,
        2 => (head * 10_000 + last) * 100,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::decode;
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;
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

    fn value(text: &str, precision: u8, scale: u8) -> Result<i128, Fault> {
        let array = decode(decimal128(precision, scale), &[Some(&wire(text))])?;
        Ok(array.as_primitive::<Decimal128Type>().value(0))
    }

    fn refused(raw: &[u8], precision: u8, scale: u8) -> String {
        match decode(decimal128(precision, scale), &[Some(raw)]) {
            Err(Fault::Unrepresentable { value, .. }) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ordinary_values() {
        assert_eq!(value("12345.67", 15, 2), Ok(1_234_567));
        assert_eq!(value("-0.05", 15, 2), Ok(-5));
        assert_eq!(value("0", 15, 2), Ok(0));
        assert_eq!(value("100000000", 15, 2), Ok(10_000_000_000));
        assert_eq!(value("0.00000001", 38, 8), Ok(1));
    }

    #[test]
    fn the_edges_of_38_digits() {
        let nines = "9".repeat(38);
        assert_eq!(value(&nines, 38, 0), Ok(10i128.pow(38) - 1));
        assert_eq!(
            value(&format!("-0.{nines}"), 38, 38),
            Ok(1 - 10i128.pow(38))
        );
        assert_eq!(refused(&wire(&"9".repeat(39)), 38, 0), "9".repeat(39));
        assert_eq!(refused(&wire("1.5"), 38, 38), "1.5");
    }

    #[test]
    fn wide_decimals_hold_76_digits_and_no_more() {
        let value = |text: &str, scale| -> Result<String, Fault> {
            let array = decode(decimal256(76, scale), &[Some(&wire(text)), None])?;
            let array = array.as_primitive::<arrow::datatypes::Decimal256Type>();
            Ok(array.value(0).to_string())
        };
        let nines = "9".repeat(76);
        assert_eq!(value(&nines, 0), Ok(nines.clone()));
        assert_eq!(value(&format!("-0.{nines}"), 76), Ok(format!("-{nines}")));
        assert_eq!(value("12345.6", 3), Ok("12345600".to_owned()));
        assert_eq!(value("0", 38), Ok("0".to_owned()));
        for refused in ["1.2345".to_owned(), format!("1{nines}")] {
            let found = value(&refused, 3);
            assert!(
                matches!(found, Err(Fault::Unrepresentable { .. })),
                "{found:?}"
            );
        }
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
        assert!(matches!(
            decode(decimal128(9, 2), &[Some(&raw)]),
            Err(Fault::Malformed(_))
        ));
        assert!(matches!(
            decode(decimal128(9, 2), &[Some(&[0])]),
            Err(Fault::Malformed(_))
        ));
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
            prop_assert_eq!(value(&text, 38, scale), Ok(unscaled));
            let wide = Parts::read(&wire(&text)).unwrap().scaled_wide(i32::from(scale), ten_to(76));
            prop_assert_eq!(wide, Some(i256::from_i128(unscaled)));
            let raw = wire(&text);
            prop_assert_eq!(Parts::read(&raw).unwrap().text(), text);
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..40), scale in 0u8..=38) {
            let outcome = decode(decimal128(38, scale), &[Some(&raw)]);
            prop_assert!(outcome.is_ok() || outcome.is_err());
        }
    }
}
