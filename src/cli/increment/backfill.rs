//! `--backfill --from --until --every`: a range cut into windows.

use std::cmp::Ordering;

use super::{Fixed, Fixing, Work};
use crate::error::{ExitCode, Failure};
use crate::model::{KeyValue, MarkKind, moment};
use crate::writer::windows::WindowList;

/// Windows of one range, at most: each is a run.
const MOST: usize = 10_000;

/// Whether values of a kind may be points in time.
pub(super) fn can_hold_time(kind: MarkKind) -> bool {
    use MarkKind as K;
    !matches!(kind, K::Integer | K::Decimal | K::RowVersion)
}

/// A value so many seconds later; `None` for one that is no point in time.
pub(super) fn later(kind: MarkKind, value: &KeyValue, seconds: i64) -> Option<KeyValue> {
    match value {
        KeyValue::Typed { kind: name, text } if can_hold_time(kind) => {
            Some(KeyValue::typed(name, moment::shifted(text, seconds)?))
        }
        _ => None,
    }
}

/// `--every`: how far one window goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    /// So many values of an integer.
    Values(i128),
    /// So many seconds.
    Seconds(i64),
}

impl Every {
    /// What a text means for values such as this one; `None` where it means nothing.
    fn of(text: &str, kind: MarkKind, value: &KeyValue) -> Option<Self> {
        if let KeyValue::Int(_) = value {
            let step: i128 = text.parse().ok()?;
            return (step > 0).then_some(Self::Values(step));
        }
        let seconds = i64::try_from(moment::length(text).ok()?).ok()?;
        let next = later(kind, value, seconds)?;
        // Less than a day takes a date nowhere.
        (seconds > 0 && next != *value).then_some(Self::Seconds(seconds))
    }

    fn after(self, kind: MarkKind, value: &KeyValue) -> Option<KeyValue> {
        match (self, value) {
            (Self::Values(step), KeyValue::Int(value)) => {
                value.checked_add(step).map(KeyValue::Int)
            }
            (Self::Seconds(step), value) => later(kind, value, step),
            (Self::Values(_), _) => None,
        }
    }
}

/// Which of two values comes first, where that can be said without asking; by whole seconds.
fn compared(one: &KeyValue, other: &KeyValue) -> Option<Ordering> {
    match (one, other) {
        (KeyValue::Typed { text: one, .. }, KeyValue::Typed { text: other, .. }) => {
            let order = moment::instant(one)?.cmp(&moment::instant(other)?);
            // In the same second their fractions decide, or they are days.
            (order != Ordering::Equal).then_some(order)
        }
        (one, other) => one.partial_cmp(other),
    }
}

impl Fixing<'_> {
    /// The windows of `--from` to `--until`, without those that are published, in an order in which each
    /// fits to those that are there.
    pub(super) async fn backfill(mut self, every: &str) -> Result<Work, Failure> {
        let from = self.bound("--from", self.increment.from.as_deref()).await?;
        let until = self
            .bound("--until", self.increment.until.as_deref())
            .await?;
        let (Some(from), Some(until)) = (from, until) else {
            return Err(Failure::new(
                ExitCode::Usage,
                "a backfill has a beginning and an end",
                "--from or --until is missing",
                "pass both, and --every",
            ));
        };
        let step = self.step(every, &from)?;
        if self.order(&from, &until).await? != Ordering::Less {
            return Err(Failure::new(
                ExitCode::Usage,
                format!("there is nothing between --from {from} and --until {until}"),
                "a window is of the values after the first and up to the second",
                "pass an --until that comes after --from",
            ));
        }
        let Some(until) = self.high(Some(until)).await? else {
            return self.nothing(format!("no row has a value in {}", self.mark.column));
        };
        if self.order(&from, &until).await? != Ordering::Less {
            return self.nothing(format!("no row has a value after {from} yet"));
        }
        let ends = self.ends(&from, &until, step).await?;
        let lows = std::iter::once(&from).chain(&ends);
        let pieces: Vec<(KeyValue, KeyValue)> = lows.cloned().zip(ends.iter().cloned()).collect();
        let all = pieces.len();
        let left = self.unpublished(pieces);
        if left.is_empty() {
            return self.nothing(format!("every window from {from} to {until} is published"));
        }
        let ordered = self.in_order(left).await?;
        let count = ordered.len();
        self.notes
            .insert(0, format!("{count} windows of {all} are to be published"));
        let windows = ordered
            .into_iter()
            .enumerate()
            .map(|(index, (low, high))| Fixed {
                window: self.planned(Some(low), high, index == 0 && self.takes_nulls()),
                notes: if index == 0 {
                    self.notes.clone()
                } else {
                    Vec::new()
                },
            });
        Ok(Work::Windows(windows.collect()))
    }

    /// How far each window goes.
    fn step(&self, every: &str, from: &KeyValue) -> Result<Every, Failure> {
        Every::of(every, self.mark.kind, from).ok_or_else(|| {
            Failure::new(
                ExitCode::Usage,
                format!("--every {every} cuts nothing of {}", self.mark.column),
                format!("its values are of type {}", self.mark.source_type),
                "write a number for integers, and a length of time such as 6h or 1d for dates and times",
            )
        })
    }

    /// The ends of the windows, the last of them `until`.
    async fn ends(
        &self,
        from: &KeyValue,
        until: &KeyValue,
        step: Every,
    ) -> Result<Vec<KeyValue>, Failure> {
        let kind = self.mark.kind;
        let mut ends = Vec::new();
        let mut low = from.clone();
        loop {
            let next = step.after(kind, &low);
            let order = match &next {
                // Past what can be written.
                None => Ordering::Greater,
                Some(next) => match compared(next, until) {
                    Some(order) => order,
                    None => self.order(next, until).await?,
                },
            };
            match next {
                Some(next) if order == Ordering::Less => {
                    ends.push(next.clone());
                    low = next;
                }
                _ => break,
            }
            if ends.len() >= MOST {
                return Err(Failure::new(
                    ExitCode::Usage,
                    format!("--every cuts {from} to {until} too fine"),
                    format!("that would be more than {MOST} windows, each a run"),
                    "pass a larger --every",
                ));
            }
        }
        ends.push(until.clone());
        Ok(ends)
    }

    /// Without the windows that are there.
    fn unpublished(&self, mut pieces: Vec<(KeyValue, KeyValue)>) -> Vec<(KeyValue, KeyValue)> {
        let entries = self.list.map(|list| list.windows.as_slice());
        pieces.retain(|(low, high)| {
            let is_there = entries
                .unwrap_or_default()
                .iter()
                .any(|entry| entry.window.low.as_ref() == Some(low) && entry.window.high == *high);
            !is_there
        });
        pieces
    }

    /// The windows in an order in which none leaves a gap, whenever it ends: onwards from the last that is
    /// there, or backwards from the first.
    async fn in_order(
        &self,
        mut pieces: Vec<(KeyValue, KeyValue)>,
    ) -> Result<Vec<(KeyValue, KeyValue)>, Failure> {
        let (Some((low, _)), Some((_, high))) = (pieces.first(), pieces.last()) else {
            return Ok(pieces);
        };
        let Some((first, last)) = self.list.and_then(WindowList::ends) else {
            return Ok(pieces);
        };
        let follow = pieces.windows(2).all(|pair| pair[0].1 == pair[1].0);
        if follow && low == last {
            return Ok(pieces);
        }
        if follow && Some(high) == first {
            pieces.reverse();
            return Ok(pieces);
        }
        let beyond = self.order(low, last).await? == Ordering::Greater;
        let before = match first {
            Some(first) => self.order(high, first).await? == Ordering::Less,
            None => false,
        };
        let does = if beyond || before {
            "leave a gap to"
        } else {
            "overlap"
        };
        let begin = first.map_or_else(
            || "the first row".to_owned(),
            |first| format!("after {first}"),
        );
        Err(Failure::new(
            ExitCode::Refused,
            format!("windows from {low} to {high} would {does} those that are published"),
            format!(
                "the windows of {} begin with {begin} and end with {last}",
                self.dataset.display()
            ),
            format!(
                "pass --from {last} to go on, or an --until that is where they begin to go back; bounds \
                 that are there are skipped"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_number_or_a_length_of_time() {
        let day = KeyValue::typed("date", "2026-01-31");
        let of = |text, kind, value: &KeyValue| Every::of(text, kind, value);
        assert_eq!(
            of("10", MarkKind::Integer, &KeyValue::Int(1)),
            Some(Every::Values(10))
        );
        assert_eq!(of("1d", MarkKind::Date, &day), Some(Every::Seconds(86_400)));
        for (text, kind, value) in [
            ("0", MarkKind::Integer, KeyValue::Int(1)),
            ("1d", MarkKind::Integer, KeyValue::Int(1)),
            ("6h", MarkKind::Date, day.clone()),
            ("10", MarkKind::Date, day.clone()),
            ("1d", MarkKind::Text, KeyValue::typed("text", "abc")),
            ("1d", MarkKind::Decimal, KeyValue::typed("decimal", "1.5")),
        ] {
            assert_eq!(of(text, kind, &value), None, "{text}");
        }
        let next = Every::Seconds(86_400).after(MarkKind::Date, &day);
        assert_eq!(next, Some(KeyValue::typed("date", "2026-02-01")));
    }
}
