//! A small generator of numbers that are the same on every machine: splitmix64, whose whole state
//! is one counter. For demo data, and for nothing that anybody must not guess.

/// The generator.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        // The golden ratio's digits as the step, then the finaliser of Steele, Lea and Flood.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to below `limit`, which is above 0. The bias of the remainder is far below
    /// what demo data shows.
    pub(super) fn below(&mut self, limit: i64) -> i64 {
        let limit = limit.unsigned_abs().max(1);
        // Below an i64's absolute value, so it fits.
        (self.next() % limit) as i64
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    /// One of the texts.
    pub(super) fn pick<'a, const N: usize>(&mut self, texts: &[&'a str; N]) -> &'a str {
        texts[self.below(N as i64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_algorithm() {
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, published);
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut random = Random::new(7);
        assert!((0..1_000).all(|_| (0..10).contains(&random.below(10))));
        assert!((0..100).all(|_| !random.chance(0) && random.chance(100)));
    }
}
