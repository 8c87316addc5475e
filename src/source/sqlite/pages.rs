//! Keys at about equal distances, from the inner pages of a b-tree.
//!
//! Between two texts there is nothing to count, and SQLite has no way to say how many keys lie
//! between them short of walking them all. But its b-trees do: an inner page holds one key for every
//! page below it (SQLite's file format, section 1.6), and pages are about equally full. Some hundred
//! pages tell of millions of rows.
//!
//! The pages are read from the file beside SQLite, which may be writing to it, and what is still in
//! the WAL is not seen. So nothing here is believed beyond where a good place to cut may be: every
//! length is checked, and what does not look like a b-tree gives no keys.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rusqlite::types::Value;

/// Inner pages that are read of one tree at most.
const PAGES: usize = 1024;
/// Keys that are taken from them at most, at equal distances.
const KEYS: usize = 16_384;
/// Pages of the next level that are listed at most.
const LISTED: usize = 1 << 20;
/// Pages of each lower level that are looked at for how full they are.
const LOOKED_AT: usize = 32;
/// No tree is deeper: each level multiplies the pages by three at the least.
const DEEPEST: usize = 24;

const INNER: u8 = 2;
const LEAF: u8 = 10;

/// An index's tree, or that of a table without a rowid, in a database file.
#[derive(Debug)]
pub(super) struct Tree<'f> {
    file: &'f File,
    root: u32,
    /// Bytes of a page, and those of them that a b-tree may use.
    page: usize,
    usable: usize,
    encoding: Encoding,
    /// Leading columns of its records that make the key.
    columns: usize,
}

/// How a database file holds text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// What a tree's inner pages tell.
#[derive(Debug, PartialEq)]
pub(super) struct Marks {
    /// Keys in the tree's order, about equally many rows apart.
    pub(super) keys: Vec<Vec<Value>>,
    /// Estimated rows of the tree.
    pub(super) rows: u64,
}

/// A page as far as it is of use here.
struct Page {
    bytes: Vec<u8>,
    inner: bool,
    cells: usize,
}

impl<'f> Tree<'f> {
    /// The tree at page `root`, whose records begin with a key of `columns` columns; `None` where the
    /// file's header is none of SQLite's.
    pub(super) fn new(file: &'f File, root: u32, columns: usize) -> Option<Self> {
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0).ok()?;
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.checked_sub(usize::from(header[20]))?;
        let encoding = match header[56..60] {
            [0, 0, 0, 1] => Encoding::Utf8,
            [0, 0, 0, 2] => Encoding::Utf16Le,
            [0, 0, 0, 3] => Encoding::Utf16Be,
            _ => return None,
        };
        (page.is_power_of_two() && usable >= 480).then_some(Self {
            file,
            root,
            page,
            usable,
            encoding,
            columns,
        })
    }

    /// Reads level after level until there are pages enough to tell keys apart; `None` where the
    /// tree is one page, or none that can be read.
    pub(super) fn marks(&self) -> Option<Marks> {
        let mut level = vec![self.root];
        // The keys between each two neighbours of the level.
        let mut keys: Vec<Option<Vec<Value>>> = Vec::new();
        for _ in 0..DEEPEST {
            let first = self.read(*level.first()?)?;
            if !first.inner || level.len() > PAGES || first.cells * level.len() > LISTED {
                break;
            }
            (level, keys) = self.descend(&level, &keys)?;
        }
        let keys: Vec<Vec<Value>> = keys.into_iter().flatten().collect();
        let rows = self.rows_below(&level)?;
        (!keys.is_empty()).then_some(Marks { keys, rows })
    }

    /// The next level's pages, and the keys between them.
    #[expect(clippy::type_complexity, reason = "two lists that are built together")]
    fn descend(
        &self,
        level: &[u32],
        above: &[Option<Vec<Value>>],
    ) -> Option<(Vec<u32>, Vec<Option<Vec<Value>>>)> {
        let (mut next, mut keys) = (Vec::new(), Vec::new());
        let mut step = 1;
        for (at, number) in level.iter().enumerate() {
            let page = self.read(*number).filter(|page| page.inner)?;
            if at == 0 {
                step = (page.cells * level.len()).div_ceil(KEYS).max(1);
            }
            for cell in 0..page.cells {
                let (child, payload) = page.cell(cell)?;
                next.push(child);
                let wanted = keys.len() % step == 0;
                keys.push(wanted.then(|| self.key(payload)).flatten());
            }
            next.push(page.number_at(8)?);
            keys.extend(above.get(at).cloned());
        }
        Some((next, keys))
    }

    /// Estimated rows of all trees below a level, its own pages' keys included, from some pages of
    /// each level down to the leaves.
    fn rows_below(&self, level: &[u32]) -> Option<u64> {
        let step = level.len().div_ceil(LOOKED_AT).max(1);
        let mut sample: Vec<u32> = level.iter().step_by(step).copied().collect();
        let mut pages = level.len() as u128;
        for _ in 0..DEEPEST {
            let read: Vec<Page> = sample
                .iter()
                .map(|number| self.read(*number))
                .collect::<Option<_>>()?;
            let cells: usize = read.iter().map(|page| page.cells + 1).sum();
            // Each page has a key above it and one child more than cells.
            pages = pages.checked_mul(cells as u128)? / (read.len() as u128);
            if read.iter().all(|page| !page.inner) {
                return u64::try_from(pages).ok();
            }
            sample = read
                .iter()
                .map(|page| page.cell(page.cells / 2).map(|(child, _)| child))
                .collect::<Option<_>>()?;
        }
        None
    }

    fn read(&self, number: u32) -> Option<Page> {
        let mut bytes = vec![0; self.page];
        let at = u64::from(number.checked_sub(1)?) * self.page as u64;
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let inner = match bytes[0] {
            INNER => true,
            LEAF => false,
            _ => return None,
        };
        let cells = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        Some(Page {
            bytes,
            inner,
            cells,
        })
    }

    /// The key that a cell's record begins with; `None` where it continues on another page.
    fn key(&self, cell: &[u8]) -> Option<Vec<Value>> {
        let (length, cell) = varint(cell)?;
        let record = cell.get(..self.local(usize::try_from(length).ok()?))?;
        let (header, mut types) = varint(record)?;
        let header = usize::try_from(header).ok()?;
        let types_end = record.len().checked_sub(header)?;
        let mut body = record.get(header..)?;
        let mut key = Vec::with_capacity(self.columns);
        for _ in 0..self.columns {
            if types.len() <= types_end {
                return None;
            }
            let kind;
            (kind, types) = varint(types)?;
            let value;
            (value, body) = self.value(kind, body)?;
            key.push(value);
        }
        Some(key)
    }

    /// How many bytes of a record of this length lie on the page itself (file format, section 1.6).
    fn local(&self, length: usize) -> usize {
        let most = (self.usable - 12) * 64 / 255 - 23;
        let least = (self.usable - 12) * 32 / 255 - 23;
        if length <= most {
            return length;
        }
        let kept = least + (length - least) % (self.usable - 4);
        if kept <= most { kept } else { least }
    }

    /// A value by its serial type (file format, section 2.1), and what follows it.
    fn value<'b>(&self, kind: u64, body: &'b [u8]) -> Option<(Value, &'b [u8])> {
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            more => (more - 12) / 2,
        };
        let (bytes, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
        let value = match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                let shifted = |value: i64, byte: &u8| (value << 8) | i64::from(*byte);
                Value::Integer(bytes.iter().fold(sign, shifted))
            }
            blob if blob % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(self.encoding.text(bytes)?),
        };
        Some((value, rest))
    }
}

impl Page {
    fn number_at(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// The child before an inner page's cell, and the cell's record with its length before it.
    fn cell(&self, index: usize) -> Option<(u32, &[u8])> {
        let pointer = self.bytes.get(12 + 2 * index..)?.first_chunk::<2>()?;
        let at = usize::from(u16::from_be_bytes(*pointer));
        Some((self.number_at(at)?, self.bytes.get(at + 4..)?))
    }
}

impl Encoding {
    fn text(self, bytes: &[u8]) -> Option<String> {
        let unit = match self {
            Self::Utf8 => return String::from_utf8(bytes.to_vec()).ok(),
            Self::Utf16Le => u16::from_le_bytes,
            Self::Utf16Be => u16::from_be_bytes,
        };
        let (units, []) = bytes.as_chunks::<2>() else {
            return None;
        };
        let units: Vec<u16> = units.iter().map(|bytes| unit(*bytes)).collect();
        String::from_utf16(&units).ok()
    }
}

/// A variable-length integer (file format, section 1.6), and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some(((value << 8) | u64::from(*byte), &bytes[9..]));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    const ROWS: usize = 30_000;

    /// The marks of `k` in a table without a rowid, in a file of its own.
    fn marks(pragmas: &str, key: &str) -> Option<Marks> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "{pragmas}; CREATE TABLE t (k PRIMARY KEY, x) WITHOUT ROWID;
                 WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {ROWS})
                     INSERT INTO t SELECT {key}, i FROM s;"
            ))
            .unwrap();
        let root: u32 = connection
            .query_row("SELECT rootpage FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        let file = File::open(&path).unwrap();
        Tree::new(&file, root, 1).unwrap().marks()
    }

    #[track_caller]
    fn expect_even(found: Option<Marks>, number: impl Fn(&Value) -> Option<i64>) {
        let Marks { keys, rows } = found.expect("marks");
        assert!(rows.abs_diff(ROWS as u64) < ROWS as u64 / 10, "{rows}");
        let places: Vec<i64> = keys.iter().map(|key| number(&key[0]).unwrap()).collect();
        assert!(places.is_sorted() && places.len() > 20, "{places:?}");
        for quarter in 1..4 {
            let place = places[places.len() * quarter / 4];
            let wanted = (ROWS * quarter / 4) as i64;
            assert!(place.abs_diff(wanted) < ROWS as u64 / 20, "{places:?}");
        }
    }

    #[test]
    fn text_in_every_encoding_is_marked_evenly() {
        let number = |value: &Value| match value {
            Value::Text(text) => text.strip_prefix("ключ ")?.parse().ok(),
            _ => None,
        };
        for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
            let pragma = format!("PRAGMA encoding = '{encoding}'");
            expect_even(marks(&pragma, "printf('ключ %06d', i)"), number);
        }
        for size in [512, 65_536] {
            let pragma = format!("PRAGMA page_size = {size}");
            let found = marks(&pragma, "printf('ключ %06d', i)");
            assert!(found.is_some_and(|found| !found.keys.is_empty()), "{size}");
        }
    }

    #[test]
    fn every_storage_class_is_read() {
        expect_even(marks("", "i"), |value| match value {
            Value::Integer(value) => Some(*value),
            _ => None,
        });
        expect_even(marks("", "(i - 1e9) * 1e9 + 0.5"), |value| match value {
            Value::Integer(value) => Some(value / 1_000_000_000 + 1_000_000_000),
            Value::Real(value) => Some((value / 1e9 + 1e9).round() as i64),
            _ => None,
        });
        expect_even(
            marks("", "(i - 1000000) * 4000000000000"),
            |value| match value {
                Value::Integer(value) => Some(value / 4_000_000_000_000 + 1_000_000),
                _ => None,
            },
        );
        let blob = |value: &Value| match value {
            Value::Blob(bytes) => std::str::from_utf8(bytes.get(..6)?).ok()?.parse().ok(),
            _ => None,
        };
        expect_even(marks("", "CAST(printf('%06d', i) AS BLOB)"), blob);
    }

    #[test]
    fn keys_that_go_on_elsewhere_are_none() {
        let found = marks(
            "PRAGMA page_size = 512",
            "printf('%06d', i) || hex(zeroblob(100))",
        );
        assert_eq!(found, None);
    }

    proptest! {
        #[test]
        fn no_page_is_believed(bytes in proptest::collection::vec(any::<u8>(), 512..2048), inner in any::<bool>()) {
            let mut bytes = bytes;
            bytes[16..21].copy_from_slice(&[2, 0, 0, 0, 0]);
            bytes[56..60].copy_from_slice(&[0, 0, 0, 1]);
            for page in (512..bytes.len()).step_by(512) {
                bytes[page] = if inner { INNER } else { LEAF };
            }
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            let tree = Tree::new(&file, 2, 1).unwrap();
            let found = tree.marks();
            prop_assert!(found.is_none_or(|found| found.keys.len() <= KEYS + PAGES));
        }

        #[test]
        fn a_cell_of_any_bytes_is_a_key_or_none(cell in proptest::collection::vec(any::<u8>(), 0..40)) {
            let file = tempfile::tempfile().unwrap();
            let tree = Tree { file: &file, root: 2, page: 512, usable: 512, encoding: Encoding::Utf16Le, columns: 2 };
            prop_assert!(tree.key(&cell).is_none_or(|key| key.len() == 2));
        }
    }
}
