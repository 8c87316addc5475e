//! Numbers of a fixed width as another number than their own: each value exactly or not at all,
//! unless the user allows the nearest.

use arrow::datatypes::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::Decode;
use super::fixed::{Reject, fixed, flags};
use crate::model::FieldType;
use crate::source::convert::whole;

const BEYOND: &str = "it does not fit the output type exactly";

/// Signed whole numbers of `N` bytes as another type of numbers.
pub(super) fn integer<const N: usize>(
    field: &FieldType,
    read: impl Fn([u8; N]) -> i128 + Copy + Send + 'static,
) -> Option<Box<dyn Decode>> {
    checked(field, read, |raw| (signed_text(raw), BEYOND))
}

/// Unsigned ones.
pub(super) fn unsigned<const N: usize>(
    field: &FieldType,
    read: impl Fn([u8; N]) -> i128 + Copy + Send + 'static,
) -> Option<Box<dyn Decode>> {
    checked(field, read, |raw| (unsigned_value(raw).to_string(), BEYOND))
}

fn checked<const N: usize>(
    field: &FieldType,
    read: impl Fn([u8; N]) -> i128 + Copy + Send + 'static,
    reject: Reject<N>,
) -> Option<Box<dyn Decode>> {
    Some(match field {
        FieldType::Bool => flags(
            move |raw| match read(raw) {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            reject,
        ),
        FieldType::Float32 => {
            fixed::<Float32Type, N>(field.arrow(), move |raw| exact_float32(read(raw)), reject)
        }
        FieldType::Float64 => {
            fixed::<Float64Type, N>(field.arrow(), move |raw| exact_float64(read(raw)), reject)
        }
        FieldType::Decimal { .. } => return scaled(field, 0, read, reject),
        _ => return narrowed(field, move |raw| Some(read(raw)), reject),
    })
}

/// int8, whose nearest double may be another number.
pub(super) fn integer_or_near(field: &FieldType, lossy: bool) -> Option<Box<dyn Decode>> {
    match field {
        FieldType::Float64 if lossy => Some(fixed::<Float64Type, 8>(
            field.arrow(),
            |raw| Some(i64::from_be_bytes(raw) as f64),
            |raw| (signed_text(raw), BEYOND),
        )),
        _ => integer(field, |raw| i128::from(i64::from_be_bytes(raw))),
    }
}

/// money: 64 bits that count the smallest unit of the server's currency.
pub(super) fn money(field: &FieldType, scale: u8) -> Option<Box<dyn Decode>> {
    let read = |raw| i128::from(i64::from_be_bytes(raw));
    let reject: Reject<8> = |raw| {
        let units = i64::from_be_bytes(raw);
        (format!("{units} of the smallest unit"), BEYOND)
    };
    scaled(field, scale, read, reject)
}

/// Doubles as another type of numbers: whole ones as integers; single precision where nothing is
/// lost, or the nearest with `lossy`.
pub(super) fn real<const N: usize>(
    field: &FieldType,
    lossy: bool,
    read: impl Fn([u8; N]) -> f64 + Copy + Send + 'static,
) -> Option<Box<dyn Decode>> {
    let reject = |raw: [u8; N]| (float_text(raw), BEYOND);
    match field {
        FieldType::Float64 => Some(fixed::<Float64Type, N>(
            field.arrow(),
            move |raw| Some(read(raw)),
            reject,
        )),
        FieldType::Float32 => Some(fixed::<Float32Type, N>(
            field.arrow(),
            move |raw| narrow_float(read(raw), lossy),
            reject,
        )),
        _ => narrowed(field, move |raw| whole(read(raw), lossy), reject),
    }
}

/// A double as single precision.
fn narrow_float(value: f64, lossy: bool) -> Option<f32> {
    let near = value as f32;
    let exact = f64::from(near) == value || value.is_nan();
    // What becomes infinite is no neighbour.
    (exact || lossy && near.is_finite()).then_some(near)
}

/// The double that an integer is.
fn exact_float64(value: i128) -> Option<f64> {
    let real = value as f64;
    (real as i128 == value).then_some(real)
}

fn exact_float32(value: i128) -> Option<f32> {
    let real = value as f32;
    (real as i128 == value).then_some(real)
}

/// Integers of any width, each value checked.
fn narrowed<const N: usize>(
    field: &FieldType,
    read: impl Fn([u8; N]) -> Option<i128> + Copy + Send + 'static,
    reject: Reject<N>,
) -> Option<Box<dyn Decode>> {
    fn to<P, const N: usize>(
        read: impl Fn([u8; N]) -> Option<i128> + Send + 'static,
        reject: Reject<N>,
    ) -> Box<dyn Decode>
    where
        P: ArrowPrimitiveType,
        P::Native: TryFrom<i128>,
    {
        fixed::<P, N>(
            P::DATA_TYPE,
            move |raw| P::Native::try_from(read(raw)?).ok(),
            reject,
        )
    }
    Some(match field {
        FieldType::Int8 => to::<Int8Type, N>(read, reject),
        FieldType::Int16 => to::<Int16Type, N>(read, reject),
        FieldType::Int32 => to::<Int32Type, N>(read, reject),
        FieldType::Int64 => to::<Int64Type, N>(read, reject),
        FieldType::UInt8 => to::<UInt8Type, N>(read, reject),
        FieldType::UInt16 => to::<UInt16Type, N>(read, reject),
        FieldType::UInt32 => to::<UInt32Type, N>(read, reject),
        FieldType::UInt64 => to::<UInt64Type, N>(read, reject),
        _ => return None,
    })
}

/// Decimals out of whole numbers that count units of 10^−from.
fn scaled<const N: usize>(
    field: &FieldType,
    from: u8,
    read: impl Fn([u8; N]) -> i128 + Send + 'static,
    reject: Reject<N>,
) -> Option<Box<dyn Decode>> {
    let FieldType::Decimal { precision, scale } = *field else {
        return None;
    };
    let shift = i32::from(scale) - i32::from(from);
    // Neither factor has more than 76 digits, which fit 256 bits.
    let ten = |power: u32| i256::from_i128(10).wrapping_pow(power);
    let limit = ten(u32::from(precision));
    let factor = ten(shift.unsigned_abs());
    let value = move |units: i128| {
        let units = i256::from_i128(units);
        let value = if shift >= 0 {
            units.checked_mul(factor)?
        } else if units.wrapping_rem(factor) == i256::ZERO {
            units.wrapping_div(factor)
        } else {
            return None;
        };
        (value < limit && value > limit.wrapping_neg()).then_some(value)
    };
    if precision > 38 {
        let read = move |raw| value(read(raw));
        return Some(fixed::<Decimal256Type, N>(field.arrow(), read, reject));
    }
    // The usual case, in half the width.
    if shift == 0 {
        let limit = 10i128.pow(u32::from(precision));
        let read = move |raw| Some(read(raw)).filter(|units| units.abs() < limit);
        return Some(fixed::<Decimal128Type, N>(field.arrow(), read, reject));
    }
    let read = move |raw| value(read(raw))?.to_i128();
    Some(fixed::<Decimal128Type, N>(field.arrow(), read, reject))
}

/// A big-endian number of at most eight bytes.
fn unsigned_value<const N: usize>(raw: [u8; N]) -> u64 {
    let next = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    raw.iter().fold(0, next)
}

/// A big-endian signed number as the server prints it.
fn signed_text<const N: usize>(raw: [u8; N]) -> String {
    // Shifted up and down again, its first bit is its sign.
    let shift = 64 - 8 * N.min(8) as u32;
    ((unsigned_value(raw) << shift).cast_signed() >> shift).to_string()
}

/// A big-endian float as the server prints it.
fn float_text<const N: usize>(raw: [u8; N]) -> String {
    let text = match raw.as_slice().try_into() {
        Ok(raw) => format!("{}", f64::from_be_bytes(raw)),
        Err(_) => raw
            .as_slice()
            .try_into()
            .map_or_else(|_| String::new(), |raw| f32::from_be_bytes(raw).to_string()),
    };
    text.replace("inf", "Infinity")
}

#[cfg(test)]
mod tests {
    use super::super::can_read;
    use super::super::testing::{decode, refusal};
    use super::*;
    use arrow::array::AsArray;
    use proptest::prelude::*;

    fn of(text: &str) -> FieldType {
        text.parse().expect("a type")
    }

    fn int8(field: &str) -> Box<dyn Decode> {
        integer_or_near(&of(field), false).expect("a decoder")
    }

    #[test]
    fn integers_become_narrower_only_where_they_fit() {
        let (fits, not) = (127i64.to_be_bytes(), (-129i64).to_be_bytes());
        let array = decode(int8("int8"), &[Some(&fits), None]);
        assert_eq!(array.as_primitive::<Int8Type>().value(0), 127);
        assert_eq!(refusal(int8("int8"), &not).value, "-129");
        assert_eq!(refusal(int8("uint64"), &not).value, "-129");
        assert_eq!(refusal(int8("bool"), &2i64.to_be_bytes()).value, "2");
        let odd = ((1i64 << 53) + 1).to_be_bytes();
        assert_eq!(refusal(int8("float64"), &odd).value, "9007199254740993");
        let near = integer_or_near(&of("float64"), true).expect("a decoder");
        let near = decode(near, &[Some(&odd)]);
        assert_eq!(
            near.as_primitive::<Float64Type>().value(0),
            9_007_199_254_740_992.0
        );
        assert_eq!(
            refusal(int8("decimal(3,1)"), &100i64.to_be_bytes()).value,
            "100"
        );
        let array = decode(int8("decimal(4,1)"), &[Some(&100i64.to_be_bytes())]);
        assert_eq!(array.as_primitive::<Decimal128Type>().value(0), 1000);
    }

    #[test]
    fn unsigned_numbers_are_named_as_they_are() {
        let oid = |field: &str| {
            unsigned(&of(field), |raw| i128::from(u32::from_be_bytes(raw))).expect("a decoder")
        };
        let raw = u32::MAX.to_be_bytes();
        assert_eq!(refusal(oid("int32"), &raw).value, "4294967295");
        let array = decode(oid("int64"), &[Some(&raw)]);
        assert_eq!(array.as_primitive::<Int64Type>().value(0), 4_294_967_295);
    }

    #[test]
    fn money_keeps_its_units_and_changes_its_scale_only_exactly() {
        let raw = (-12345i64).to_be_bytes();
        let value = |field: &str| decode(money(&of(field), 2).expect("a decoder"), &[Some(&raw)]);
        let same = value("decimal(19,2)");
        assert_eq!(same.as_primitive::<Decimal128Type>().value(0), -12345);
        let wider = value("decimal(19,4)");
        assert_eq!(wider.as_primitive::<Decimal128Type>().value(0), -1_234_500);
        let whole = money(&of("decimal(19,0)"), 2).expect("a decoder");
        assert!(refusal(whole, &raw).value.contains("-12345"));
        assert!(can_read("money(2)", &of("decimal(40,2)"), false));
        assert!(!can_read("money(2)", &of("float64"), false));
    }

    #[test]
    fn doubles_become_integers_only_where_they_are_whole() {
        let to =
            |field: &str, lossy| real(&of(field), lossy, f64::from_be_bytes).expect("a decoder");
        let array = decode(to("int64", false), &[Some(&(-3f64).to_be_bytes())]);
        assert_eq!(array.as_primitive::<Int64Type>().value(0), -3);
        for (value, text) in [
            (0.5, "0.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (-0.0, "-0"),
        ] {
            assert_eq!(
                refusal(to("int64", false), &f64::to_be_bytes(value)).value,
                text
            );
        }
        assert_eq!(
            refusal(to("float32", false), &0.1f64.to_be_bytes()).value,
            "0.1"
        );
        let near = decode(to("float32", true), &[Some(&0.1f64.to_be_bytes())]);
        assert_eq!(near.as_primitive::<Float32Type>().value(0), 0.1);
        refusal(to("float32", true), &1e300f64.to_be_bytes());
    }

    proptest! {
        #[test]
        fn what_is_not_refused_is_the_same_number(value: i64) {
            for field in ["int8", "int16", "int32", "uint8", "uint16", "uint32"] {
                let (array, mut refused) =
                    super::super::testing::decode_all(int8(field), &[Some(&value.to_be_bytes())]).unwrap();
                let text = arrow::util::display::array_value_to_string(&array, 0).unwrap();
                prop_assert_eq!(refused.take().is_none(), text == value.to_string());
            }
        }
    }
}
