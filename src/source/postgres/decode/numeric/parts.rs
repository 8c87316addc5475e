//! A numeric as it travels: groups of four decimal digits.

use std::fmt::Write as _;

use arrow::datatypes::i256;

pub(super) const POSITIVE: u16 = 0x0000;
pub(super) const NEGATIVE: u16 = 0x4000;
pub(super) const NAN: u16 = 0xC000;
pub(super) const POSITIVE_INFINITY: u16 = 0xD000;
pub(super) const NEGATIVE_INFINITY: u16 = 0xF000;

/// A power of ten up to the 76th, which fits 256 bits.
pub(super) fn ten_to(power: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(power)
}

/// A numeric as it travels.
pub(super) struct Parts<'a> {
    weight: i32,
    sign: u16,
    shown_scale: u16,
    groups: &'a [[u8; 2]],
}

impl<'a> Parts<'a> {
    #[inline]
    /// `None` where the bytes are not as many as they say.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
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
    pub(super) fn scaled(&self, scale: i32) -> Option<i128> {
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
    pub(super) fn scaled_wide(&self, scale: i32, limit: i256) -> Option<i256> {
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

    /// The value times 10^scale, rounded half away from zero as the server rounds, when that is
    /// smaller than `limit` in magnitude.
    pub(super) fn rounded(&self, scale: i32, limit: i256) -> Option<i256> {
        if self.sign & !NEGATIVE != 0 {
            return None;
        }
        let mut magnitude = i256::ZERO;
        let powers = (0..).map(|index| 4 * (self.weight - index) + scale);
        for (group, power) in self.groups.iter().zip(powers) {
            let group = u32::from(u16::from_be_bytes(*group));
            // What stands before the point at this scale, and the first digit behind it.
            let (whole, half) = match power {
                0..=76 => (
                    i256::from_i128(i128::from(group)).checked_mul(ten_to(power.unsigned_abs()))?,
                    false,
                ),
                -4..0 => {
                    let cut = 10u32.pow(power.unsigned_abs());
                    let whole = i256::from_i128(i128::from(group / cut));
                    (whole, group % cut >= cut / 2)
                }
                // Less than a tenth of the last digit.
                ..-4 => break,
                _ if group == 0 => continue,
                _ => return None,
            };
            magnitude = magnitude.checked_add(whole)?;
            if power < 0 {
                if half {
                    magnitude = magnitude.checked_add(i256::ONE)?;
                }
                break;
            }
        }
        let fits = magnitude < limit;
        let value = if self.sign == NEGATIVE {
            magnitude.wrapping_neg()
        } else {
            magnitude
        };
        fits.then_some(value)
    }

    /// Whether it is a number.
    pub(super) fn is_finite(&self) -> bool {
        matches!(self.sign, POSITIVE | NEGATIVE)
    }

    /// Why no output type of numbers holds it.
    pub(super) fn why_not(&self) -> &'static str {
        match self.sign {
            POSITIVE | NEGATIVE => "it has more digits than the output type holds",
            _ => "no decimal or integer type of Arrow and Parquet has a NaN or an infinity",
        }
    }

    /// As the server prints it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Appends the value as the server prints it.
    pub(super) fn write(&self, text: &mut String) {
        match self.sign {
            POSITIVE => {}
            NEGATIVE => text.push('-'),
            NAN => return text.push_str("NaN"),
            POSITIVE_INFINITY => return text.push_str("Infinity"),
            NEGATIVE_INFINITY => return text.push_str("-Infinity"),
            other => {
                // Writing to a string cannot fail, here and below.
                let _ = write!(text, "numeric with sign {other:#06x}");
                return;
            }
        }
        let group = |power: i32| -> u16 {
            usize::try_from(self.weight - power)
                .ok()
                .and_then(|index| self.groups.get(index))
                .map_or(0, |raw| u16::from_be_bytes(*raw))
        };
        // Leading groups of zeros are not printed, but for a lone zero before the point.
        let first = (1..=self.weight)
            .rev()
            .find(|power| group(*power) != 0)
            .unwrap_or(0);
        let _ = write!(text, "{}", group(first));
        for power in (0..first).rev() {
            let _ = write!(text, "{:04}", group(power));
        }
        let shown = usize::from(self.shown_scale);
        if shown > 0 {
            text.push('.');
            let end = text.len() + shown;
            let mut power = -1;
            while text.len() < end {
                let _ = write!(text, "{:04}", group(power));
                power -= 1;
            }
            text.truncate(end);
        }
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
