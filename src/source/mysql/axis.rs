//! Keys as whole numbers, in their own order: what lets a range be cut anywhere between its ends.

use super::sql::hex;
use crate::model::{Key, KeyOrder, KeyValue, TimeUnit};
use crate::source::moment;

/// Distances that can be multiplied by a share of the way without leaving 128 bits.
const WIDEST: i128 = 1 << 90;

/// Bytes of a binary key that count.
const BYTES: usize = 8;

/// How the values of a key of one column are numbers. Text has no such way: its order is the
/// collation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Integer,
    /// In steps of 10^-scale.
    Decimal {
        scale: u32,
    },
    /// In days.
    Date,
    /// In microseconds, of `datetime` or `timestamp`.
    Moment(String),
    /// In microseconds.
    Time,
    /// By the bytes behind those that both ends share.
    Binary {
        shared: Vec<u8>,
    },
}

impl Axis {
    /// The axis between two ends of a key; `None` where there is none.
    pub(super) fn of(key: &Key, low: &KeyValue, high: &KeyValue) -> Option<Self> {
        if key.is_integer() {
            return Some(Self::Integer);
        }
        let KeyOrder::Server {
            cast: Some(cast), ..
        } = &key.order
        else {
            return None;
        };
        key.rest.is_empty().then_some(())?;
        let (low, high) = (text(low)?, text(high)?);
        Some(match cast.as_str() {
            "decimal" => Self::Decimal {
                scale: decimal_scale(low, high)?,
            },
            "date" => Self::Date,
            "datetime" | "timestamp" => Self::Moment(cast.clone()),
            "time" => Self::Time,
            "binary" => {
                let (low, high) = (unhex(low)?, unhex(high)?);
                let alike = low
                    .iter()
                    .zip(&high)
                    .take_while(|(one, other)| one == other);
                Self::Binary {
                    shared: low[..alike.count()].to_vec(),
                }
            }
            _ => return None,
        })
    }

    /// A value's place.
    pub(super) fn place(&self, value: &KeyValue) -> Option<i128> {
        match self {
            Self::Integer => value.as_int(),
            Self::Decimal { scale } => scaled(text(value)?, *scale),
            Self::Date => moment::date(text(value)?).map(i128::from),
            Self::Moment(_) => {
                moment::timestamp(text(value)?, TimeUnit::Micro, false, false).map(i128::from)
            }
            Self::Time => micros(text(value)?),
            Self::Binary { shared } => {
                let bytes = unhex(text(value)?)?;
                let rest = bytes.get(shared.len()..).unwrap_or_default();
                let mut window = [0; BYTES];
                let count = rest.len().min(BYTES);
                window[..count].copy_from_slice(&rest[..count]);
                Some(u64::from_be_bytes(window).into())
            }
        }
    }

    /// The value at a place.
    pub(super) fn value(&self, place: i128) -> Option<KeyValue> {
        Some(match self {
            Self::Integer => KeyValue::Int(place),
            Self::Decimal { scale } => KeyValue::typed("decimal", unscaled(place, *scale)),
            Self::Date => {
                let days = i64::try_from(place).ok()?;
                KeyValue::typed("date", moment::calendar(days)?)
            }
            Self::Moment(kind) => {
                let (days, micros) = (place.div_euclid(DAY), place.rem_euclid(DAY));
                let date = moment::calendar(i64::try_from(days).ok()?)?;
                KeyValue::typed(kind, format!("{date} {}", clock(micros)))
            }
            Self::Time => {
                let sign = if place < 0 { "-" } else { "" };
                KeyValue::typed("time", format!("{sign}{}", clock(place.abs())))
            }
            Self::Binary { shared } => {
                let window = u64::try_from(place).ok()?.to_be_bytes();
                KeyValue::typed("binary", format!("{}{}", hex(shared), hex(&window)))
            }
        })
    }
}

/// Microseconds of a day.
const DAY: i128 = 86_400_000_000;

fn text(value: &KeyValue) -> Option<&str> {
    match value {
        KeyValue::Typed { text, .. } => Some(text),
        KeyValue::Int(_) | KeyValue::Tuple(_) => None,
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The most digits behind the point that leave a range narrow enough.
fn decimal_scale(low: &str, high: &str) -> Option<u32> {
    let behind = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let most = u32::try_from(behind(low).max(behind(high))).ok()?;
    (0..=most).rev().find(|scale| {
        let ends = scaled(low, *scale).zip(scaled(high, *scale));
        ends.and_then(|(low, high)| high.checked_sub(low))
            .is_some_and(|width| width < WIDEST)
    })
}

/// A decimal in steps of 10^-scale, towards zero.
fn scaled(text: &str, scale: u32) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let wanted = usize::try_from(scale).ok()?;
    let fraction = fraction.chars().chain(std::iter::repeat('0')).take(wanted);
    let digits: String = whole.chars().chain(fraction).collect();
    let value: i128 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

fn unscaled(value: i128, scale: u32) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let width = scale + 1;
    let digits = format!("{:0width$}", value.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// `[-]hhh:mm:ss[.ffffff]` in microseconds.
fn micros(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut parts = whole.split(':').map(str::parse::<i128>);
    let mut part = || parts.next()?.ok();
    let seconds = part()? * 3600 + part()? * 60 + part()?;
    let fraction: i128 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let micros = seconds * 1_000_000 + fraction;
    Some(if negative { -micros } else { micros })
}

fn clock(micros: i128) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{hours:02}:{minutes:02}:{seconds:02}.{:06}",
        micros % 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(cast: &str) -> Key {
        Key {
            column: "k".to_owned(),
            source_type: cast.to_owned(),
            order: KeyOrder::Server {
                cast: Some(cast.to_owned()),
                collation: None,
                operators: None,
            },
            primary: true,
            unique: true,
            nullable: false,
            rest: Vec::new(),
        }
    }

    fn axis(cast: &str, low: &str, high: &str) -> Option<Axis> {
        let value = |text: &str| KeyValue::typed(cast, text);
        Axis::of(&key(cast), &value(low), &value(high))
    }

    #[test]
    fn values_have_places() {
        let place = |cast: &str, text: &str| {
            let axis = axis(cast, text, text).expect("an axis");
            let place = axis.place(&KeyValue::typed(cast, text)).expect("a place");
            axis.value(place).expect("a value").to_string()
        };
        assert_eq!(place("decimal", "-12.340"), "-12.340");
        assert_eq!(place("date", "2024-02-29"), "2024-02-29");
        assert_eq!(
            place("datetime", "1969-12-31 23:59:59.5"),
            "1969-12-31 23:59:59.500000"
        );
        assert_eq!(place("time", "-838:59:59"), "-838:59:59.000000");
        assert!(axis("text", "a", "b").is_none());
    }

    #[test]
    fn wide_decimals_are_cut_in_coarser_steps() {
        let nines = "9".repeat(35);
        let axis = axis("decimal", &format!("-{nines}.123"), &format!("{nines}.456"));
        assert_eq!(axis, None);
        let wide = decimal_scale("-99999999999999999999.12345678", "1.00000000");
        assert_eq!(wide, Some(7));
    }

    #[test]
    fn bytes_are_ordered_behind_what_is_shared() {
        let axis = axis("binary", "AABB01", "AABBFF").expect("an axis");
        let place = |text: &str| {
            axis.place(&KeyValue::typed("binary", text))
                .expect("a place")
        };
        assert!(place("AABB01") < place("AABB0100FF") && place("AABB0100FF") < place("AABBFF"));
    }

    proptest! {
        #[test]
        fn moments_are_in_order(one in -62_000_000_000_000_000_i128..250_000_000_000_000_000, step in 1_i128..1_000_000_000_000) {
            let axis = Axis::Moment("datetime".to_owned());
            let back = |place| axis.value(place).and_then(|value| axis.place(&value));
            prop_assert_eq!(back(one), Some(one));
            prop_assert_eq!(back(one + step), Some(one + step));
        }
    }
}
