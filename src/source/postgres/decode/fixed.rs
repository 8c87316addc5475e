//! Values of one width: booleans, integers, floats, and what other modules build on them.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, UInt32Type, UInt64Type,
};

use super::{Block, Decode, Fault};

/// Values of `N` bytes that become an Arrow primitive. `read` is inlined into the loop; only when it
/// declines a value does `reject` say why.
struct Fixed<P: ArrowPrimitiveType, const N: usize, R> {
    data_type: DataType,
    values: Vec<P::Native>,
    nulls: NullBufferBuilder,
    read: R,
    reject: fn([u8; N]) -> (String, &'static str),
}

/// A decoder of `N`-byte values: `read` turns one into Arrow's or declines it, and then `reject`
/// gives its text and the reason.
pub(super) fn fixed<P, const N: usize>(
    data_type: DataType,
    read: impl Fn([u8; N]) -> Option<P::Native> + Send + 'static,
    reject: fn([u8; N]) -> (String, &'static str),
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
    fn append(&mut self, block: &Block, column: usize) -> Result<(), Fault> {
        self.values.reserve(block.rows);
        for (row, cell) in block.column(column).enumerate() {
            let Some(bytes) = cell else {
                self.values.push(P::Native::default());
                self.nulls.append_null();
                continue;
            };
            let raw = <[u8; N]>::try_from(bytes).map_err(|_| wrong_width(bytes.len(), N))?;
            let Some(value) = (self.read)(raw) else {
                let (value, why) = (self.reject)(raw);
                return Err(Fault::Unrepresentable { row, value, why });
            };
            self.values.push(value);
            self.nulls.append_non_null();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let fresh = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(mem::replace(&mut self.values, fresh));
        let array = PrimitiveArray::<P>::try_new(values, self.nulls.finish())
            .map_err(|error| Fault::Malformed(error.to_string()))?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

pub(super) fn wrong_width(got: usize, want: usize) -> Fault {
    Fault::Malformed(format!("a value of {want} bytes came with {got}"))
}

/// A type all of whose values are representable.
fn total<P, const N: usize>(read: fn([u8; N]) -> P::Native) -> Box<dyn Decode>
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

/// int2 as a wider integer
pub(super) fn int16_as_int32() -> Box<dyn Decode> {
    total::<Int32Type, 2>(|raw| i32::from(i16::from_be_bytes(raw)))
}

/// int2 as a wider integer
pub(super) fn int16_as_int64() -> Box<dyn Decode> {
    total::<Int64Type, 2>(|raw| i64::from(i16::from_be_bytes(raw)))
}

/// int4 as a wider integer
pub(super) fn int32_as_int64() -> Box<dyn Decode> {
    total::<Int64Type, 4>(|raw| i64::from(i32::from_be_bytes(raw)))
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

/// oid, xid, cid, for readers that know no unsigned integers
pub(super) fn uint32_as_int64() -> Box<dyn Decode> {
    total::<Int64Type, 4>(|raw| i64::from(u32::from_be_bytes(raw)))
}

/// xid8, for the same readers: a decimal of twenty digits holds every 64-bit number
pub(super) fn uint64_as_decimal() -> Box<dyn Decode> {
    fixed::<Decimal128Type, 8>(
        DataType::Decimal128(20, 0),
        |raw| Some(i128::from(u64::from_be_bytes(raw))),
        |_| (String::new(), "it is always representable"),
    )
}

/// xid8
pub(super) fn uint64() -> Box<dyn Decode> {
    total::<UInt64Type, 8>(u64::from_be_bytes)
}

/// float4 as a double, exactly
pub(super) fn float32_as_float64() -> Box<dyn Decode> {
    total::<Float64Type, 4>(|raw| f64::from(f32::from_be_bytes(raw)))
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
    Box::new(Boolean {
        values: Vec::new(),
        nulls: NullBufferBuilder::new(0),
    })
}

struct Boolean {
    values: Vec<bool>,
    nulls: NullBufferBuilder,
}

impl Decode for Boolean {
    fn append(&mut self, block: &Block, column: usize) -> Result<(), Fault> {
        self.values.reserve(block.rows);
        for cell in block.column(column) {
            match cell {
                None => {
                    self.values.push(false);
                    self.nulls.append_null();
                }
                Some([byte]) => {
                    self.values.push(*byte != 0);
                    self.nulls.append_non_null();
                }
                Some(bytes) => return Err(wrong_width(bytes.len(), 1)),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let array = BooleanArray::new(self.values.as_slice().into(), self.nulls.finish());
        self.values.clear();
        Ok(Arc::new(array))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::decode;
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn integers_keep_their_edges_and_nulls() {
        let min = i64::MIN.to_be_bytes();
        let max = i64::MAX.to_be_bytes();
        let array = decode(int64(), &[Some(&min), None, Some(&max)]).unwrap();
        let array = array.as_primitive::<Int64Type>();
        assert_eq!(
            array.iter().collect::<Vec<_>>(),
            [Some(i64::MIN), None, Some(i64::MAX)]
        );
    }

    #[test]
    fn a_column_without_nulls_has_no_bitmap() {
        let array = decode(int16(), &[Some(&[0, 7])]).unwrap();
        assert!(array.nulls().is_none());
    }

    #[test]
    fn floats_keep_every_bit() {
        let bits = [f64::NAN, -0.0, f64::INFINITY].map(f64::to_be_bytes);
        let cells: Vec<Option<&[u8]>> = bits.iter().map(|raw| Some(raw.as_slice())).collect();
        let array = decode(float64(), &cells).unwrap();
        let array = array.as_primitive::<Float64Type>();
        for (value, raw) in array.values().iter().zip(bits) {
            assert_eq!(value.to_be_bytes(), raw);
        }
    }

    #[test]
    fn booleans_are_packed() {
        let array = decode(boolean(), &[Some(&[1]), None, Some(&[0])]).unwrap();
        assert_eq!(
            array.as_boolean().iter().collect::<Vec<_>>(),
            [Some(true), None, Some(false)]
        );
    }

    #[test]
    fn a_wrong_width_is_malformed() {
        assert!(matches!(
            decode(int32(), &[Some(&[1, 2])]),
            Err(Fault::Malformed(_))
        ));
    }
}
