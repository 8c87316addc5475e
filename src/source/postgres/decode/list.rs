//! Arrays of one dimension as lists.
//!
//! On the wire a value is its number of dimensions, a flag, the element's type, for each dimension its
//! length and lower bound, and the elements, each with its own length. The elements of a whole block
//! go to their own decoder at once, as if they were a column of another table. Where the elements
//! begin to count is a property of the array that a list has not: it is not kept.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};

use super::{Cell, Decode, Malformed, Refused, Values};
use crate::model::FieldType;

const NESTED: &str = "a list has one dimension";

/// Lists whose elements `element` decodes into `item`.
pub(super) fn list(item: &FieldType, element: Box<dyn Decode>) -> Box<dyn Decode> {
    Box::new(List {
        field: item.element(),
        element,
        cells: Vec::new(),
        offsets: vec![0],
        valid: BooleanBufferBuilder::new(0),
        faults: Refused::default(),
    })
}

struct List {
    field: arrow::datatypes::FieldRef,
    element: Box<dyn Decode>,
    /// The elements of the values in hand.
    cells: Vec<Cell>,
    offsets: Vec<i32>,
    valid: BooleanBufferBuilder,
    /// What the element's decoder refused.
    faults: Refused,
}

impl Decode for List {
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed> {
        let before = self.valid.len();
        let elements = *self.offsets.last().unwrap_or(&0);
        self.cells.clear();
        for (row, cell) in values.placed().enumerate() {
            let mut held = cell.is_some();
            if let Some((start, bytes)) = cell {
                match elements_of(start, bytes, &mut self.cells)? {
                    Shape::List => {}
                    Shape::Nested(dimensions) => {
                        held = false;
                        refused.add(row, || {
                            (format!("an array of {dimensions} dimensions"), NESTED)
                        });
                    }
                }
            }
            self.valid.append(held);
            let end = i32::try_from(self.cells.len())
                .ok()
                .and_then(|count| elements.checked_add(count))
                .ok_or_else(|| Malformed("a batch holds more than 2^31 elements".to_owned()))?;
            self.offsets.push(end);
        }
        let cells = Values {
            cells: &self.cells,
            step: 1,
            ..values
        };
        self.element.append(cells, &mut self.faults)?;
        // The element's rows count from the first of these, a list's from the first of these too.
        self.blame(before, elements, refused);
        Ok(())
    }

    fn finish(&mut self, refused: &mut Refused) -> Result<ArrayRef, Malformed> {
        let elements = self.element.finish(&mut self.faults)?;
        self.blame(0, 0, refused);
        let mut fresh = Vec::with_capacity(self.offsets.len());
        fresh.push(0);
        let offsets = mem::replace(&mut self.offsets, fresh);
        // Ascending by construction.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = NullBuffer::new(self.valid.finish());
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        ListArray::try_new(Arc::clone(&self.field), offsets, elements, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Malformed(error.to_string()))
    }
}

impl List {
    /// A list with an element that cannot be held cannot be held. Element `first` is the one that
    /// the element's decoder counts from, list `before` the one that ours counts from.
    fn blame(&mut self, before: usize, first: i32, refused: &mut Refused) {
        let Some((rows, fault)) = self.faults.take_rows() else {
            return;
        };
        for row in rows {
            // Elements are counted by 32-bit offsets.
            let element = first + row as i32;
            let list = self.offsets.partition_point(|end| *end <= element) - 1;
            if self.valid.get_bit(list) {
                self.valid.set_bit(list, false);
                refused.add(list - before, || (fault.value.clone(), fault.why));
            }
        }
    }
}

enum Shape {
    /// One dimension, or none, which is the empty array.
    List,
    /// That many dimensions.
    Nested(u32),
}

/// Finds the elements of an array that begins at `start` of its block.
fn elements_of(start: u32, bytes: &[u8], cells: &mut Vec<Cell>) -> Result<Shape, Malformed> {
    let broken = || Malformed("an array is not as long as it says".to_owned());
    let number = |at: usize| {
        let raw = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
        raw.map(|raw| u32::from_be_bytes(*raw)).ok_or_else(broken)
    };
    let count = match number(0)? {
        0 => 0,
        1 => number(12)?,
        dimensions => return Ok(Shape::Nested(dimensions)),
    };
    let mut at = 20;
    for _ in 0..count {
        let len = number(at)?.cast_signed();
        at += 4;
        cells.push(Cell {
            // Within the block, whose length fits 32 bits.
            start: start + at as u32,
            len,
        });
        match usize::try_from(len) {
            Ok(len) => at += len,
            Err(_) if len == -1 => {}
            Err(_) => return Err(broken()),
        }
    }
    if at > bytes.len() && count > 0 {
        return Err(broken());
    }
    Ok(Shape::List)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, decode_all};
    use super::super::{temporal, text};
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    /// An array as it travels.
    fn wire(dimensions: &[u32], elements: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((dimensions.len() as u32).to_be_bytes());
        bytes.extend([0; 8]);
        for length in dimensions {
            bytes.extend(length.to_be_bytes());
            bytes.extend((-1i32).to_be_bytes());
        }
        for element in elements {
            bytes.extend(element.map_or(-1, |raw| raw.len() as i32).to_be_bytes());
            bytes.extend(element.unwrap_or_default());
        }
        bytes
    }

    fn texts() -> Box<dyn Decode> {
        list(&FieldType::Utf8, text::utf8(0))
    }

    fn shown(array: &ArrayRef) -> Vec<Option<Vec<Option<String>>>> {
        let lists = array.as_list::<i32>();
        lists
            .iter()
            .map(|list| {
                let list = list?;
                Some(
                    list.as_string::<i32>()
                        .iter()
                        .map(|text| text.map(str::to_owned))
                        .collect(),
                )
            })
            .collect()
    }

    #[test]
    fn empty_lists_null_lists_and_null_elements_differ() {
        let full = wire(&[2], &[Some(b"a"), None]);
        let empty = wire(&[], &[]);
        let array = decode(texts(), &[Some(&full), None, Some(&empty)]);
        let want = vec![Some(vec![Some("a".to_owned()), None]), None, Some(vec![])];
        assert_eq!(shown(&array), want);
    }

    #[test]
    fn more_dimensions_are_refused() {
        let full = wire(&[1], &[Some(b"a")]);
        let nested = wire(&[1, 1], &[Some(b"a")]);
        let (array, mut refused) =
            decode_all(texts(), &[Some(&full), Some(&nested), Some(&full)]).unwrap();
        assert!(array.is_null(1) && array.is_valid(2));
        let (count, first) = refused.take().unwrap();
        assert_eq!((count, first.row), (1, 1));
        assert_eq!(first.value, "an array of 2 dimensions");
    }

    #[test]
    fn an_element_that_cannot_be_held_takes_its_list_with_it() {
        let ends = [i32::MAX.to_be_bytes(), 0i32.to_be_bytes()];
        let bad = wire(&[3], &[Some(&ends[1]), Some(&ends[0]), Some(&ends[0])]);
        let good = wire(&[1], &[Some(&ends[1])]);
        let dates = list(&FieldType::Date, temporal::date());
        let (array, mut refused) =
            decode_all(dates, &[Some(&good), Some(&bad), Some(&good)]).unwrap();
        assert_eq!(array.null_count(), 1);
        let (count, first) = refused.take().unwrap();
        assert_eq!((count, first.row, first.value.as_str()), (1, 1, "infinity"));
        // Text is found out only at the end.
        let bad = wire(&[2], &[Some(b"x"), Some(b"\xff")]);
        let good = wire(&[1], &[Some(b"y")]);
        let (array, mut refused) = decode_all(texts(), &[Some(&good), None, Some(&bad)]).unwrap();
        assert!(array.is_valid(0) && array.is_null(2));
        assert_eq!(refused.take().unwrap().1.row, 2);
    }

    #[test]
    fn several_blocks_are_one_array() {
        let mut decoder = texts();
        let mut refused = Refused::default();
        let full = wire(&[2], &[Some(b"a"), Some(b"b")]);
        for _ in 0..2 {
            let block = super::super::testing::block(&[Some(&full), None]);
            decoder.append(block.column(0), &mut refused).unwrap();
        }
        let array = decoder.finish(&mut refused).unwrap();
        assert_eq!(array.len(), 4);
        assert_eq!(shown(&array)[2], shown(&array)[0]);
    }

    proptest! {
        #[test]
        fn any_list_comes_back(lists in prop::collection::vec(
            prop::option::of(prop::collection::vec(prop::option::of(".{0,5}"), 0..5)), 0..9)) {
            let raw: Vec<Option<Vec<u8>>> = lists.iter().map(|list| {
                let list = list.as_ref()?;
                let elements: Vec<Option<&[u8]>> = list.iter().map(|e| e.as_ref().map(|t| t.as_bytes())).collect();
                let dimensions = [elements.len() as u32];
                Some(wire(if elements.is_empty() { &[] } else { &dimensions }, &elements))
            }).collect();
            let cells: Vec<Option<&[u8]>> = raw.iter().map(|list| list.as_deref()).collect();
            prop_assert_eq!(shown(&decode(texts(), &cells)), lists);
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..60)) {
            let ints = list(&FieldType::Int32, super::super::fixed::int32());
            if let Ok((array, _)) = decode_all(ints, &[Some(&raw)]) {
                prop_assert_eq!(array.len(), 1);
                let _ = array.as_list::<i32>().values().as_primitive::<Int32Type>();
            }
        }
    }
}
