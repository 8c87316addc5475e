//! Values of one width: booleans, integers, floats, and what other modules build on them.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    UInt32Type, UInt64Type,
};

use super::{Decode, Malformed, Refused, Values};

/// The text of a value that was declined, and the reason.
pub(super) type Reject<const N: usize> = fn([u8; N]) -> (String, &'static str);

/// Values of `N` bytes that become an Arrow primitive. `read` is inlined into the loop; only when it
/// declines a value does `reject` say why.
struct Fixed<P: ArrowPrimitiveType, const N: usize, R> {
    data_type: DataType,
    values: Vec<P::Native>,
    nulls: NullBufferBuilder,
    read: R,
    reject: Reject<N>,
}

/// A decoder of `N`-byte values: `read` turns one into Arrow's or declines it, and then `reject`
/// gives its text and the reason.
pub(super) fn fixed<P, const N: usize>(
    data_type: DataType,
    read: impl Fn([u8; N]) -> Option<P::Native> + Send + 'static,
    reject: Reject<N>,
) -> Box<dyn Decode>
where
    P: ArrowPrimitiveType,
{
    Box::new(Fixed::<P, N, _> {
        data_type,
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
        read,
        reject,
    })
}

impl<P, const N: usize, R> Decode for Fixed<P, N, R>
where
    P: ArrowPrimitiveType,
    R: Fn([u8; N]) -> Option<P::Native> + Send,
{
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        self.values.reserve(values.len());
        for (row, cell) in values.iter().enumerate() {
            let Some(bytes) = cell else {
                self.values.push(P::Native::default());
                self.nulls.append_null();
                continue;
            };
            let raw = <[u8; N]>::try_from(bytes).map_err(|_| wrong_width(bytes.len(), N))?;
            if let Some(value) = (self.read)(raw) {
                self.values.push(value);
                self.nulls.append_non_null();
            } else {
                refused.add(row, || (self.reject)(raw));
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

/// Hands over a column's values as an array, and leaves room for as many.
pub(super) fn primitive<P: ArrowPrimitiveType>(
    values: &mut Vec<P::Native>,
    nulls: &mut NullBufferBuilder,
    data_type: &DataType,
) -> Result<ArrayRef, Malformed> {
    let fresh = Vec::with_capacity(values.len());
    let values = ScalarBuffer::from(mem::replace(values, fresh));
    let array = PrimitiveArray::<P>::try_new(values, nulls.finish())
        .map_err(|error| Malformed(error.to_string()))?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

pub(super) fn wrong_width(got: usize, want: usize) -> Malformed {
    Malformed(format!("a value of {want} bytes came with {got}"))
}

/// A type all of whose values are representable. `read` is a type of its own, not a pointer, so that
/// it is inlined into the loop.
fn total<P, const N: usize>(read: impl Fn([u8; N]) -> P::Native + Send + 'static) -> Box<dyn Decode>
where
    P: ArrowPrimitiveType,
{
    fixed::<P, N>(
        P::DATA_TYPE,
        move |raw| Some(read(raw)),
        |_| (String::new(), "it is always representable"),
    )
}

/// int2
pub(super) fn int16() -> Box<dyn Decode> {
    total::<Int16Type, 2>(i16::from_be_bytes)
}

/// int4
pub(super) fn int32() -> Box<dyn Decode> {
    total::<Int32Type, 4>(i32::from_be_bytes)
}

/// int8
pub(super) fn int64() -> Box<dyn Decode> {
    total::<Int64Type, 8>(i64::from_be_bytes)
}

/// oid, xid, cid
pub(super) fn uint32() -> Box<dyn Decode> {
    total::<UInt32Type, 4>(u32::from_be_bytes)
}

/// xid8
pub(super) fn uint64() -> Box<dyn Decode> {
    total::<UInt64Type, 8>(u64::from_be_bytes)
}

/// float4
pub(super) fn float32() -> Box<dyn Decode> {
    total::<Float32Type, 4>(f32::from_be_bytes)
}

/// float8
pub(super) fn float64() -> Box<dyn Decode> {
    total::<Float64Type, 8>(f64::from_be_bytes)
}

/// bool
pub(super) fn boolean() -> Box<dyn Decode> {
    flags(
        |raw: [u8; 1]| Some(raw[0] != 0),
        |_| (String::new(), "it is always representable"),
    )
}

/// Values of `N` bytes that become booleans, or are declined.
pub(super) fn flags<const N: usize>(
    read: impl Fn([u8; N]) -> Option<bool> + Send + 'static,
    reject: Reject<N>,
) -> Box<dyn Decode> {
    Box::new(Flags {
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
        read,
        reject,
    })
}

struct Flags<const N: usize, R> {
    values: Vec<bool>,
    nulls: NullBufferBuilder,
    read: R,
    reject: Reject<N>,
}

impl<const N: usize, R> Decode for Flags<N, R>
where
    R: Fn([u8; N]) -> Option<bool> + Send,
{
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        self.values.reserve(values.len());
        for (row, cell) in values.iter().enumerate() {
            let value = match cell {
                None => None,
                Some(bytes) => {
                    let raw =
                        <[u8; N]>::try_from(bytes).map_err(|_| wrong_width(bytes.len(), N))?;
                    let value = (self.read)(raw);
                    if value.is_none() {
                        refused.add(row, || (self.reject)(raw));
                    }
                    value
                }
            };
            self.values.push(value.unwrap_or_default());
            self.nulls.append(value.is_some());
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Refused) -> Result<ArrayRef, Malformed> {
        let array = BooleanArray::new(self.values.as_slice().into(), self.nulls.finish());
        self.values.clear();
        Ok(Arc::new(array))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, decode_all};
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn integers_keep_their_edges_and_nulls() {
        let min = i64::MIN.to_be_bytes();
        let max = i64::MAX.to_be_bytes();
        let array = decode(int64(), &[Some(&min), None, Some(&max)]);
        let array = array.as_primitive::<Int64Type>();
        assert_eq!(
            array.iter().collect::<Vec<_>>(),
            [Some(i64::MIN), None, Some(i64::MAX)]
        );
    }

    #[test]
    fn a_column_without_nulls_has_no_bitmap() {
        let array = decode(int16(), &[Some(&[0, 7])]);
        assert!(array.nulls().is_none());
    }

    #[test]
    fn floats_keep_every_bit() {
        let bits = [f64::NAN, -0.0, f64::INFINITY].map(f64::to_be_bytes);
        let cells: Vec<Option<&[u8]>> = bits.iter().map(|raw| Some(raw.as_slice())).collect();
        let array = decode(float64(), &cells);
        let array = array.as_primitive::<Float64Type>();
        for (value, raw) in array.values().iter().zip(bits) {
            assert_eq!(value.to_be_bytes(), raw);
        }
    }

    #[test]
    fn booleans_are_packed() {
        let array = decode(boolean(), &[Some(&[1]), None, Some(&[0])]);
        assert_eq!(
            array.as_boolean().iter().collect::<Vec<_>>(),
            [Some(true), None, Some(false)]
        );
    }

    #[test]
    fn a_wrong_width_is_malformed() {
        assert!(decode_all(int32(), &[Some(&[1, 2])]).is_err());
    }
}
