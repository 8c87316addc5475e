//! A checksum over the keys of rows that a server and a reader of files come to independently.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Hexadecimal digits of a row's digest that are summed: 60 bits, which every server's signed 64-bit
/// integer holds.
pub const DIGEST_DIGITS: u32 = 15;

/// Rows, and the sum of their keys' digests: the same in whatever order the rows come.
///
/// A row's digest is the first [`DIGEST_DIGITS`] digits of the SHA-256 of its key: for each column the
/// length of its text in bytes, a colon, and the text, in UTF-8. So no two keys are hashed alike, and
/// a row that is lost, doubled or changed shows with a probability of 1 − 2⁻⁶⁰.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySum {
    /// Rows.
    pub rows: u64,
    /// Sum of their digests; no number of rows makes it overflow.
    pub sum: u128,
}

impl KeySum {
    /// Takes a row in, given what [`KeySum::part`] made of its columns.
    pub fn add(&mut self, key: &[u8]) {
        let digest = Sha256::digest(key);
        let first = digest.iter().take(8);
        let word = first.fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        self.rows += 1;
        self.sum += u128::from(word >> (64 - 4 * DIGEST_DIGITS));
    }

    /// Appends a column's text to a row's key.
    pub fn part(key: &mut Vec<u8>, text: &[u8]) {
        key.extend_from_slice(text.len().to_string().as_bytes());
        key.push(b':');
        key.extend_from_slice(text);
    }

    /// Takes in the rows of another sum.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(parts: &[String]) -> Vec<u8> {
        let mut key = Vec::new();
        for part in parts {
            KeySum::part(&mut key, part.as_bytes());
        }
        key
    }

    fn sum(rows: &[Vec<String>]) -> KeySum {
        rows.iter().fold(KeySum::default(), |mut sum, row| {
            sum.add(&key(row));
            sum
        })
    }

    proptest! {
        #[test]
        fn no_two_keys_are_hashed_alike(
            one in proptest::collection::vec(".{0,4}", 0..4),
            other in proptest::collection::vec(".{0,4}", 0..4),
        ) {
            prop_assert_eq!(one == other, key(&one) == key(&other));
        }

        #[test]
        fn the_order_of_rows_does_not_matter_and_everything_else_does(
            rows in proptest::collection::vec(proptest::collection::vec(".{0,4}", 1..3), 1..8),
            at in any::<proptest::sample::Index>(),
        ) {
            let whole = sum(&rows);
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(sum(&turned), whole);
            let (one, rest) = rows.split_at(at.index(rows.len()));
            let mut merged = sum(one);
            merged.merge(sum(rest));
            prop_assert_eq!(merged, whole);
            let mut changed = rows.clone();
            changed[at.index(rows.len())].push("x".to_owned());
            prop_assert_ne!(sum(&changed).sum, whole.sum);
        }
    }

    #[test]
    fn the_sum_is_what_servers_compute() {
        // SELECT ('x' || substr(encode(sha256('2:42'), 'hex'), 1, 15))::bit(60)::int8
        let mut sum = KeySum::default();
        sum.add(b"2:42");
        assert_eq!(
            sum,
            KeySum {
                rows: 1,
                sum: 906_073_495_297_851_026
            }
        );
    }
}
