//! Values of whatever kind into one output type, each checked: it is held exactly or declined. What
//! `--type` and `--lossy` ask for where a source's own form says nothing, such as text.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder,
    StringBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampNanosecondType, i256,
};

use super::{for_integer, moment};
use crate::model::{FieldType, TimeUnit};

/// A value as a source may have it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    /// A whole number.
    Integer(i64),
    /// A double; its shortest text counts where the output type is no float.
    Real(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A column under construction, out of values of any kind.
pub(super) trait Convert: Send {
    /// Appends a value; false when it cannot be held, and then nothing was appended.
    fn append(&mut self, value: Raw<'_>) -> bool;

    /// Appends NULL.
    fn append_null(&mut self);

    /// Hands over what was appended and begins anew.
    fn finish(&mut self) -> ArrayRef;
}

/// A converter into an output type; `None` where there is none.
pub(super) fn converter(field: &FieldType, lossy: bool) -> Option<Box<dyn Convert>> {
    let to = field.arrow();
    if let Some(integer) = for_integer!(field, integer(lossy)) {
        return Some(integer);
    }
    Some(match *field {
        FieldType::Bool => Box::new(Flags(BooleanBuilder::new())),
        FieldType::Float32 => primitive::<Float32Type>(to, move |raw| {
            let near = float(raw, lossy)?;
            let narrow = near as f32;
            let same = f64::from(narrow) == near || near.is_nan();
            (same || lossy && narrow.is_finite()).then_some(narrow)
        }),
        FieldType::Float64 => primitive::<Float64Type>(to, move |raw| float(raw, lossy)),
        FieldType::Decimal { precision, scale } if precision <= 38 => {
            let mut read = decimal(precision, scale, lossy);
            primitive::<Decimal128Type>(to, move |raw| read(raw)?.to_i128())
        }
        FieldType::Decimal { precision, scale } => {
            primitive::<Decimal256Type>(to, decimal(precision, scale, lossy))
        }
        FieldType::Date => primitive::<Date32Type>(to, text(move |text| moment::day(text, lossy))),
        FieldType::Time(TimeUnit::Micro) => primitive::<Time64MicrosecondType>(
            to,
            text(move |text| moment::time(text, TimeUnit::Micro, lossy)),
        ),
        FieldType::Time(TimeUnit::Nano) => primitive::<Time64NanosecondType>(
            to,
            text(move |text| moment::time(text, TimeUnit::Nano, lossy)),
        ),
        FieldType::Timestamp { unit, utc } => {
            let read = text(move |text| moment::timestamp(text, unit, utc, lossy));
            match unit {
                TimeUnit::Micro => primitive::<TimestampMicrosecondType>(to, read),
                TimeUnit::Nano => primitive::<TimestampNanosecondType>(to, read),
            }
        }
        FieldType::Uuid => Box::new(Uuids(FixedSizeBinaryBuilder::new(16))),
        FieldType::Json => Box::new(Json(StringBuilder::new())),
        FieldType::Binary => Box::new(Binary(BinaryBuilder::new())),
        _ => return None,
    })
}

fn primitive<P: ArrowPrimitiveType>(
    to: DataType,
    read: impl FnMut(Raw<'_>) -> Option<P::Native> + Send + 'static,
) -> Box<dyn Convert> {
    Box::new(Primitive::<P, _> {
        to: PrimitiveBuilder::new().with_data_type(to),
        read,
    })
}

struct Primitive<P: ArrowPrimitiveType, R> {
    to: PrimitiveBuilder<P>,
    read: R,
}

impl<P, R> Convert for Primitive<P, R>
where
    P: ArrowPrimitiveType,
    R: FnMut(Raw<'_>) -> Option<P::Native> + Send,
{
    fn append(&mut self, value: Raw<'_>) -> bool {
        let value = (self.read)(value);
        if let Some(value) = value {
            self.to.append_value(value);
        }
        value.is_some()
    }

    fn append_null(&mut self) {
        self.to.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.to.finish())
    }
}

fn text<T>(read: impl Fn(&str) -> Option<T>) -> impl FnMut(Raw<'_>) -> Option<T> {
    move |raw| match raw {
        Raw::Text(text) => read(text),
        _ => None,
    }
}

fn integer<P: ArrowPrimitiveType>(lossy: bool) -> Box<dyn Convert>
where
    P::Native: TryFrom<i128>,
{
    primitive::<P>(P::DATA_TYPE, move |raw| {
        let value = match raw {
            Raw::Integer(value) => i128::from(value),
            Raw::Real(value) => whole(value, lossy)?,
            Raw::Text(text) => unscaled(text, 0, lossy)?.to_i128()?,
            Raw::Bytes(_) => return None,
        };
        P::Native::try_from(value).ok()
    })
}

/// The integer that a double is, or with `lossy` the nearest one.
pub(super) fn whole(value: f64, lossy: bool) -> Option<i128> {
    let rounded = if lossy { value.round() } else { value };
    // Nothing so large fits 64 bits, and the conversion would saturate. Minus zero is no integer.
    let minus_zero = value == 0.0 && value.is_sign_negative() && !lossy;
    (rounded.abs() < 1e37 && rounded.fract() == 0.0 && !minus_zero).then_some(rounded as i128)
}

fn float(raw: Raw<'_>, lossy: bool) -> Option<f64> {
    match raw {
        Raw::Real(value) => Some(value),
        Raw::Integer(value) => {
            let near = value as f64;
            // Through 128 bits, because 2^63 would saturate and seem equal.
            (lossy || near as i128 == i128::from(value)).then_some(near)
        }
        // Few decimals are doubles, and none can be told from its neighbours any more.
        Raw::Text(text) if lossy => text.parse().ok(),
        Raw::Text(_) | Raw::Bytes(_) => None,
    }
}

fn decimal(
    precision: u8,
    scale: u8,
    lossy: bool,
) -> impl FnMut(Raw<'_>) -> Option<i256> + Send + 'static {
    // 10^76 fits 256 bits.
    let limit = ten(u32::from(precision.min(76)));
    let mut shortest = String::new();
    move |raw| {
        let value = match raw {
            Raw::Integer(value) => {
                i256::from_i128(i128::from(value)).checked_mul(ten(u32::from(scale)))
            }
            Raw::Real(value) => {
                shortest.clear();
                // Writing to a string cannot fail.
                let _ = write!(shortest, "{value}");
                unscaled(&shortest, scale, lossy)
            }
            Raw::Text(text) => unscaled(text, scale, lossy),
            Raw::Bytes(_) => None,
        }?;
        (value < limit && value > limit.wrapping_neg()).then_some(value)
    }
}

fn ten(power: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(power)
}

/// The number that a text is, times 10^scale: digits with a sign, a point and an exponent or without.
/// What stands behind the last digit has to be zero, or is rounded half away from zero with `lossy`.
fn unscaled(text: &str, scale: u8, lossy: bool) -> Option<i256> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !digits.clone().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The power of ten of the first digit, at this scale.
    let length = i32::try_from(whole.len()).ok()?;
    let mut power = length.checked_sub(1)?.checked_add(exponent)?;
    power = power.checked_add(i32::from(scale))?;
    let mut value = i256::ZERO;
    let mut first_lost = 0;
    for digit in digits.map(|byte| byte - b'0') {
        if power >= 0 {
            value = value
                .checked_mul(ten(1))?
                .checked_add(i256::from_i128(digit.into()))?;
        } else if power == -1 {
            first_lost = digit;
        }
        if power < 0 && digit != 0 && !lossy {
            return None;
        }
        power = power.checked_sub(1)?;
    }
    // Digits that were not written are zeros.
    if power >= 0 && value != i256::ZERO {
        let zeros = u32::try_from(power).ok()?.checked_add(1)?;
        value = value.checked_mul((zeros <= 76).then(|| ten(zeros))?)?;
    }
    if first_lost >= 5 {
        value = value.checked_add(i256::ONE)?;
    }
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

struct Flags(BooleanBuilder);

impl Convert for Flags {
    fn append(&mut self, value: Raw<'_>) -> bool {
        let value = match value {
            Raw::Integer(0) => Some(false),
            Raw::Integer(1) => Some(true),
            Raw::Real(0.0) => Some(false),
            Raw::Real(1.0) => Some(true),
            Raw::Text(text) => boolean(text),
            _ => None,
        };
        if let Some(value) = value {
            self.0.append_value(value);
        }
        value.is_some()
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "yes", "on", "1"]) {
        Some(true)
    } else if is(["false", "f", "no", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

struct Uuids(FixedSizeBinaryBuilder);

impl Convert for Uuids {
    fn append(&mut self, value: Raw<'_>) -> bool {
        let value = match value {
            Raw::Bytes(bytes) => bytes.try_into().ok(),
            Raw::Text(text) => uuid(text),
            Raw::Integer(_) | Raw::Real(_) => None,
        };
        value.is_some_and(|value: [u8; 16]| self.0.append_value(value).is_ok())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// 32 hexadecimal digits, with the four hyphens at their places or without any.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let raw = text.as_bytes();
    let hyphens = raw.len() == 36 && [8, 13, 18, 23].iter().all(|at| raw[*at] == b'-');
    if raw.len() != 32 && !hyphens {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = raw
        .iter()
        .enumerate()
        .filter(|(at, _)| !(hyphens && matches!(at, 8 | 13 | 18 | 23)))
        .map(|(_, digit)| char::from(*digit).to_digit(16));
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(16 * high + low).ok()?;
    }
    Some(bytes)
}

struct Json(StringBuilder);

impl Convert for Json {
    fn append(&mut self, value: Raw<'_>) -> bool {
        let Raw::Text(text) = value else {
            return false;
        };
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if valid {
            self.0.append_value(text);
        }
        valid
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Binary(BinaryBuilder);

impl Convert for Binary {
    fn append(&mut self, value: Raw<'_>) -> bool {
        match value {
            Raw::Bytes(bytes) => self.0.append_value(bytes),
            Raw::Text(text) => self.0.append_value(text),
            Raw::Integer(_) | Raw::Real(_) => return false,
        }
        true
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::util::display::array_value_to_string;
    use proptest::prelude::*;

    /// What becomes of a value; `None` where it is declined.
    fn converted(field: &str, lossy: bool, value: Raw<'_>) -> Option<String> {
        let field = field.parse().expect("a type");
        let mut to = converter(&field, lossy).expect("a converter");
        to.append_null();
        let taken = to.append(value);
        let array = to.finish();
        assert_eq!(array.len(), 1 + usize::from(taken));
        assert_eq!(array.data_type(), &field.arrow());
        taken.then(|| array_value_to_string(&array, 1).expect("a text"))
    }

    #[track_caller]
    fn expect(field: &str, value: Raw<'_>, exact: Option<&str>, near: Option<&str>) {
        assert_eq!(
            converted(field, false, value).as_deref(),
            exact,
            "{field} of {value:?}"
        );
        assert_eq!(
            converted(field, true, value).as_deref(),
            near,
            "lossy {field} of {value:?}"
        );
    }

    #[test]
    fn numbers_are_held_exactly_or_not_at_all() {
        use Raw::{Integer, Real, Text};
        let same = |field, value, text| expect(field, value, Some(text), Some(text));
        same(
            "int64",
            Text("-9223372036854775808"),
            "-9223372036854775808",
        );
        same("int64", Text("1.50e2"), "150");
        same(
            "uint64",
            Text("18446744073709551615"),
            "18446744073709551615",
        );
        same("decimal(10,2)", Real(19.99), "19.99");
        same("decimal(10,2)", Text("1e3"), "1000.00");
        same("decimal(10,2)", Integer(-7), "-7.00");
        same("decimal(50,2)", Text("-0.10"), "-0.10");
        same("float64", Integer(3), "3.0");
        expect("int8", Integer(128), None, None);
        expect("int64", Real(2.5), None, Some("3"));
        expect("decimal(4,2)", Text("1.005"), None, Some("1.01"));
        expect("decimal(3,2)", Text("9.995"), None, None);
        expect("float64", Text("0.1"), None, Some("0.1"));
        expect("float32", Real(0.1), None, Some("0.1"));
        for wrong in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1_0",
            "0x1",
            " 1",
            "NaN",
            "1.2.3",
            "1e99999999999",
        ] {
            expect("decimal(38,2)", Text(wrong), None, None);
        }
        expect("decimal(38,2)", Real(f64::INFINITY), None, None);
    }

    #[test]
    fn words_days_and_identifiers_are_understood() {
        use Raw::{Bytes, Integer, Text};
        let same = |field, value, text| expect(field, value, Some(text), Some(text));
        same("bool", Integer(1), "true");
        same("bool", Text("FALSE"), "false");
        expect("bool", Integer(2), None, None);
        same("date", Text("2024-02-29"), "2024-02-29");
        expect("date", Text("2024-02-29 12:00"), None, Some("2024-02-29"));
        same(
            "timestamp(us)",
            Text("2024-02-29 12:00"),
            "2024-02-29T12:00:00",
        );
        same(
            "timestamp(ns)",
            Text("2024-02-29 12:00:00.000000001"),
            "2024-02-29T12:00:00.000000001",
        );
        same(
            "uuid",
            Text("00112233-4455-6677-8899-AABBccddeeff"),
            "00112233445566778899aabbccddeeff",
        );
        same("uuid", Bytes(&[0; 16]), "00000000000000000000000000000000");
        expect(
            "uuid",
            Text("0011223344-55-6677-8899-aabbccddee"),
            None,
            None,
        );
        same("json", Text("{\"a\": [1e400]}"), "{\"a\": [1e400]}");
        expect("json", Text("{"), None, None);
        same("binary", Text("a"), "61");
    }

    proptest! {
        #[test]
        fn decimals_come_back(value: i64, scale in 0u8..18) {
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}");
            prop_assert_eq!(unscaled(&text, scale, false), Some(i256::from_i128(value.into())));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,20}") {
            let exact = unscaled(&text, 3, false);
            prop_assert!(exact.is_none() || unscaled(&text, 3, true) == exact);
        }
    }
}
