//! Random test data that comes again: everything follows from one seed.
//!
//! The seed is the same in every run, so that a failure is there again; `IXTRACT_TEST_SEED=N`
//! chooses another, to search further.

use crate::setting_or;

/// The seed of this run of the tests. To be named by whatever fails.
pub(crate) fn seed() -> u64 {
    setting_or("IXTRACT_TEST_SEED", "20261124")
        .parse()
        .expect("a number")
}

/// SplitMix64: small, and good enough to make data.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator of its own for each `purpose`, so that adding one changes no other.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mixed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// A number of the range, both ends included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = (i128::from(high) - i128::from(low) + 1).unsigned_abs();
        let offset = u128::from(self.bits()) % width;
        let value = i128::from(low) + i128::try_from(offset).expect("below 2^64");
        i64::try_from(value).expect("between two i64")
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Decimal digits, zeros in front included.
    pub(crate) fn digits(&mut self, count: u64) -> String {
        (0..count)
            .map(|_| char::from(b'0' + self.below(10) as u8))
            .collect()
    }

    /// Lower-case hexadecimal digits of that many bytes.
    pub(crate) fn hex(&mut self, bytes: u64) -> String {
        (0..bytes)
            .map(|_| format!("{:02x}", self.below(256)))
            .collect()
    }

    /// Up to `longest` characters from all over Unicode, those that upset parsers more often.
    pub(crate) fn text(&mut self, longest: u64) -> String {
        let length = self.below(longest + 1);
        (0..length).map(|_| self.character()).collect()
    }

    fn character(&mut self) -> char {
        const AWKWARD: [char; 16] = [
            '\'', '"', '\\', '\n', '\r', '\t', ' ', ',', ';', '{', '}', '\u{1}', '\u{7f}', 'é',
            '\u{202e}', '\u{feff}',
        ];
        match self.below(4) {
            0 => AWKWARD[self.below(16) as usize],
            1 => char::from_u32(self.between(1, 0x10_ffff) as u32).unwrap_or('\u{fffd}'),
            _ => char::from(self.between(0x20, 0x7e) as u8),
        }
    }

    /// A finite double of any magnitude, as its shortest text.
    pub(crate) fn float64(&mut self) -> String {
        let value = f64::from_bits(self.bits());
        if value.is_finite() {
            format!("{value:e}")
        } else {
            self.float64()
        }
    }

    /// A finite float of any magnitude, as its shortest text.
    pub(crate) fn float32(&mut self) -> String {
        let value = f32::from_bits(self.bits() as u32);
        if value.is_finite() {
            format!("{value:e}")
        } else {
            self.float32()
        }
    }

    /// A time of day with microseconds.
    pub(crate) fn time(&mut self) -> String {
        let [hour, minute, second] = [self.below(24), self.below(60), self.below(60)];
        let micros = self.below(1_000_000);
        format!("{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_and_another_seed_does_not() {
        let draw = |seed, purpose| Random::new(seed, purpose).bits();
        assert_eq!(draw(7, "keys"), draw(7, "keys"));
        assert_ne!(draw(7, "keys"), draw(8, "keys"));
        assert_ne!(draw(7, "keys"), draw(7, "values"));
    }

    #[test]
    fn ranges_hold_to_both_ends() {
        let mut random = Random::new(1, "ranges");
        let drawn: Vec<i64> = (0..200).map(|_| random.between(-1, 1)).collect();
        assert!([-1, 0, 1].iter().all(|value| drawn.contains(value)));
        assert!(drawn.iter().all(|value| (-1..=1).contains(value)));
        let extremes: Vec<i64> = (0..100)
            .map(|_| random.between(i64::MIN, i64::MAX))
            .collect();
        assert!(extremes.iter().any(|value| *value < 0) && extremes.iter().any(|value| *value > 0));
    }
}
