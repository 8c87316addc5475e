//! Where values stand on an axis, and the round numbers beside it.

use crate::ui::units;

/// An axis from 0 to a round number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// The round numbers, ascending, 0 first.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// An axis that reaches `most`, with about `about` steps of 1, 2, 2.5 or 5 times a power of ten.
    pub(super) fn reaching(most: f64, about: u32) -> Self {
        const STEPS: [f64; 5] = [1.0, 2.0, 2.5, 5.0, 10.0];
        let most = if most.is_finite() && most > 0.0 {
            most
        } else {
            1.0
        };
        let rough = most / f64::from(about.max(1));
        let power = 10f64.powf(rough.log10().floor());
        let fits = STEPS.iter().find(|step| *step * power >= rough * 0.999);
        Self::by(fits.unwrap_or(&10.0) * power, most)
    }

    /// An axis of whole numbers.
    pub(super) fn whole(most: u32, about: u32) -> Self {
        let mut step = 1;
        for next in [1u32, 2, 5, 10, 20, 50, 100, 200, 500] {
            step = next;
            if u64::from(next) * u64::from(about) >= u64::from(most) {
                break;
            }
        }
        Self::by(f64::from(step), f64::from(most.max(1)))
    }

    /// An axis of milliseconds, in steps that clocks have.
    pub(super) fn time(most_ms: u64, about: u32) -> Self {
        const MINUTE: f64 = 60_000.0;
        const HOUR: f64 = 60.0 * MINUTE;
        let rough = most_ms.max(1) as f64 / f64::from(about.max(1));
        let clocks = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
        let seconds = clocks.map(|step| step * 1000.0);
        let minutes = clocks.map(|step| step * MINUTE);
        let hours = [1.0, 2.0, 3.0, 6.0, 12.0, 24.0].map(|step| step * HOUR);
        let long = seconds.into_iter().chain(minutes).chain(hours);
        if rough <= 500.0 {
            let mut scale = Self::reaching(most_ms.max(1) as f64, about);
            // A clock has no half milliseconds.
            if scale.ticks.get(1).is_some_and(|step| step.fract() > 0.0) {
                scale = Self::by(1.0, most_ms.max(1) as f64);
            }
            return scale;
        }
        let step = long.into_iter().find(|step| *step >= rough);
        let days = (rough / (24.0 * HOUR)).ceil() * 24.0 * HOUR;
        Self::by(step.unwrap_or(days), most_ms as f64)
    }

    fn by(step: f64, most: f64) -> Self {
        let steps = (most / step * 0.9999).ceil().max(1.0) as u32;
        Self {
            ticks: (0..=steps).map(|n| f64::from(n) * step).collect(),
        }
    }

    /// The axis' end.
    pub(super) fn end(&self) -> f64 {
        self.ticks.last().copied().unwrap_or(1.0)
    }

    /// The share of the axis below a value; what lies outside stands at its end.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value / self.end()).clamp(0.0, 1.0)
    }
}

/// Rows, or rows a second, beside an axis: `0`, `500K`, `1.2M`.
pub(super) fn count(value: f64) -> String {
    units::count(value.round() as u64).replace(".0", "")
}

/// Bytes beside an axis.
pub(super) fn bytes(value: f64) -> String {
    units::bytes(value.round() as u64).replace(".0 ", " ")
}

/// Milliseconds beside an axis whose largest is `most`, all in one unit.
pub(super) fn time(value: f64, most: f64) -> String {
    let decimal = |number: f64| {
        let text = format!("{number:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match most {
        most if most < 1000.0 => format!("{value:.0} ms"),
        most if most < 120_000.0 => format!("{} s", decimal(value / 1000.0)),
        most if most < 7_200_000.0 => format!("{} min", decimal(value / 60_000.0)),
        _ => format!("{} h", decimal(value / 3_600_000.0)),
    }
}

/// A number of an attribute: two decimals at most.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// A share as a percentage, for an attribute.
pub(super) fn percent(share: f64) -> String {
    number(share * 100.0) + "%"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::reaching(1.0, 4).ticks, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(
            Scale::reaching(1_720_000.0, 4).ticks,
            [0.0, 500_000.0, 1_000_000.0, 1_500_000.0, 2_000_000.0]
        );
        assert_eq!(Scale::whole(6, 4).ticks, [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(Scale::whole(1, 4).ticks, [0.0, 1.0]);
        assert_eq!(Scale::whole(64, 4).ticks.last(), Some(&80.0));
        assert_eq!(Scale::time(90_000, 4).ticks.get(1), Some(&30_000.0));
        assert_eq!(Scale::time(3, 4).ticks, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(Scale::time(7, 4).ticks, [0.0, 2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn labels_are_short_and_of_one_unit() {
        assert_eq!([0.0, 500e3, 1.25e6].map(count), ["0", "500K", "1.2M"]);
        assert_eq!([0.0, 2e6].map(bytes), ["0 B", "2 MB"]);
        let of = |most: f64, values: [f64; 2]| values.map(|value| time(value, most));
        assert_eq!(of(800.0, [0.0, 200.0]), ["0 ms", "200 ms"]);
        assert_eq!(of(2000.0, [500.0, 2000.0]), ["0.5 s", "2 s"]);
        assert_eq!(of(600_000.0, [0.0, 300_000.0]), ["0 min", "5 min"]);
        assert_eq!(of(1e8, [0.0, 7_200_000.0]), ["0 h", "2 h"]);
        assert_eq!([number(-0.001), percent(1.0 / 3.0)], ["0", "33.33%"]);
    }

    proptest! {
        #[test]
        fn an_axis_reaches_its_values_and_not_far_beyond(most in 1e-3f64..1e15, about in 2u32..8) {
            let scale = Scale::reaching(most, about);
            prop_assert!(scale.end() >= most * 0.999);
            prop_assert!(scale.ticks.len() as u32 <= about + 2);
            prop_assert!(scale.end() <= most * 2.6);
            prop_assert!((0.0..=1.0).contains(&scale.share(most)));
        }

        #[test]
        fn an_axis_of_time_reaches_its_end(most in 0u64..400_000_000, about in 2u32..8) {
            let scale = Scale::time(most, about);
            prop_assert!(scale.end() >= most as f64 * 0.999);
            prop_assert!(scale.ticks.len() as u32 <= about + 2);
            prop_assert!(scale.ticks.iter().all(|tick| tick.fract() == 0.0));
        }
    }
}
