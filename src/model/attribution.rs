//! Where a run's time went, and how even its chunks were.

use serde::{Deserialize, Serialize};

/// Something that a worker's time goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Getting its session: connecting, sharing the snapshot.
    Opening,
    /// Waiting until the server began to answer a chunk's query: the server and one round trip of
    /// the network.
    Answer,
    /// Waiting for the rows of an answer: the server and the network, which cannot be told apart
    /// from this end of the connection.
    Rows,
    /// Turning the server's bytes into columns.
    Decode,
    /// Turning columns into the file format, compression included.
    Encode,
    /// Handing finished bytes to the place they go to, checksum included.
    Write,
    /// Attempts that were given up, and what else a chunk takes, such as opening its file.
    Other,
    /// Pausing because the source had slowed down, or before another attempt.
    BackOff,
    /// Without a chunk, while the server still counted the rows.
    Count,
    /// Without a chunk, while others still had one.
    Idle,
}

impl Activity {
    /// Every activity, in the order in which they happen.
    pub const ALL: [Self; 10] = [
        Self::Opening,
        Self::Answer,
        Self::Rows,
        Self::Decode,
        Self::Encode,
        Self::Write,
        Self::Other,
        Self::BackOff,
        Self::Count,
        Self::Idle,
    ];
}

/// What worker time depends on: activities that have one remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The source and the network to it: answers and rows.
    Source,
    /// This machine's processors: decoding and encoding.
    Processor,
    /// The place that files go to.
    Storage,
    /// Getting sessions.
    Opening,
    /// Lost attempts and pauses.
    Trouble,
    /// The server's count.
    Count,
    /// Uneven work.
    Balance,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 7] = [
        Self::Source,
        Self::Processor,
        Self::Storage,
        Self::Opening,
        Self::Trouble,
        Self::Count,
        Self::Balance,
    ];

    /// What it is made of.
    pub fn activities(self) -> &'static [Activity] {
        match self {
            Self::Source => &[Activity::Answer, Activity::Rows],
            Self::Processor => &[Activity::Decode, Activity::Encode],
            Self::Storage => &[Activity::Write],
            Self::Opening => &[Activity::Opening],
            Self::Trouble => &[Activity::Other, Activity::BackOff],
            Self::Count => &[Activity::Count],
            Self::Balance => &[Activity::Idle],
        }
    }
}

/// Where the time of all workers together went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribution {
    /// See [`Activity::Opening`].
    pub opening_ms: u64,
    /// See [`Activity::Answer`].
    pub answer_ms: u64,
    /// See [`Activity::Rows`].
    pub rows_ms: u64,
    /// See [`Activity::Decode`].
    pub decode_ms: u64,
    /// See [`Activity::Encode`].
    pub encode_ms: u64,
    /// See [`Activity::Write`].
    pub write_ms: u64,
    /// See [`Activity::Other`].
    pub other_ms: u64,
    /// See [`Activity::BackOff`].
    pub back_off_ms: u64,
    /// See [`Activity::Count`].
    pub count_ms: u64,
    /// See [`Activity::Idle`].
    pub idle_ms: u64,
}

impl Attribution {
    /// The time that went into one activity, in milliseconds.
    pub fn of(&self, activity: Activity) -> u64 {
        match activity {
            Activity::Opening => self.opening_ms,
            Activity::Answer => self.answer_ms,
            Activity::Rows => self.rows_ms,
            Activity::Decode => self.decode_ms,
            Activity::Encode => self.encode_ms,
            Activity::Write => self.write_ms,
            Activity::Other => self.other_ms,
            Activity::BackOff => self.back_off_ms,
            Activity::Count => self.count_ms,
            Activity::Idle => self.idle_ms,
        }
    }

    /// The time that depended on one part, in milliseconds.
    pub fn of_part(&self, part: Part) -> u64 {
        let activities = part.activities().iter();
        activities.fold(0, |sum, activity| sum.saturating_add(self.of(*activity)))
    }

    /// All of it, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        let all = Activity::ALL.iter();
        all.fold(0, |sum, activity| sum.saturating_add(self.of(*activity)))
    }

    /// An activity's share of the whole, in thousandths; 0 of nothing.
    pub fn permille(&self, activity: Activity) -> u32 {
        permille(self.of(activity), self.total_ms())
    }

    /// A part's share of the whole, in thousandths; 0 of nothing.
    pub fn part_permille(&self, part: Part) -> u32 {
        permille(self.of_part(part), self.total_ms())
    }

    /// The part that most time depended on; the first of equals, `None` of nothing.
    pub fn limit(&self) -> Option<Part> {
        let mut most = None;
        for part in Part::ALL {
            let time = self.of_part(part);
            if time > most.map_or(0, |part| self.of_part(part)) {
                most = Some(part);
            }
        }
        most
    }

    /// This and another's together.
    pub fn plus(self, other: Self) -> Self {
        let sum = u64::saturating_add;
        Self {
            opening_ms: sum(self.opening_ms, other.opening_ms),
            answer_ms: sum(self.answer_ms, other.answer_ms),
            rows_ms: sum(self.rows_ms, other.rows_ms),
            decode_ms: sum(self.decode_ms, other.decode_ms),
            encode_ms: sum(self.encode_ms, other.encode_ms),
            write_ms: sum(self.write_ms, other.write_ms),
            other_ms: sum(self.other_ms, other.other_ms),
            back_off_ms: sum(self.back_off_ms, other.back_off_ms),
            count_ms: sum(self.count_ms, other.count_ms),
            idle_ms: sum(self.idle_ms, other.idle_ms),
        }
    }
}

/// `part` of `whole` in thousandths, rounded to the nearest; 0 of nothing.
fn permille(part: u64, whole: u64) -> u32 {
    if whole == 0 {
        return 0;
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    u32::try_from((part * 2000 + whole) / (whole * 2)).unwrap_or(u32::MAX)
}

/// How uneven chunk times were (facts sheet, section 10.5): slowest over median.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// At most 1.5.
    Low,
    /// More than 1.5.
    Moderate,
    /// More than 3.
    High,
}

/// Slowest over median beyond which skew is moderate, and beyond which it is high (facts sheet,
/// section 10.5).
const RATIOS: (f64, f64) = (1.5, 3.0);

impl Severity {
    /// The severity of a ratio of the slowest chunk's time to the median's; both limits are strict.
    pub fn of(ratio: f64) -> Self {
        match ratio {
            ratio if ratio > RATIOS.1 => Self::High,
            ratio if ratio > RATIOS.0 => Self::Moderate,
            _ => Self::Low,
        }
    }

    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
        }
    }
}

/// How uneven a run's finished chunks were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// How much.
    pub severity: Severity,
    /// Time of the slowest chunk over the median's.
    pub ratio: f64,
    /// Coefficient of variation of the chunks' times.
    pub cv: f64,
    /// The slowest chunk.
    pub slowest: u32,
    /// What the slowest chunk held over what the median chunk held: rows or bytes, whichever is
    /// more uneven.
    pub size_ratio: f64,
    /// Worker time that was lost because others waited for the last chunks, in thousandths of the
    /// time until the last chunk's end.
    pub lost_permille: u32,
}

/// What is measured of a run beside its speed, kept so that later runs can be compared with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// Where the workers' time went.
    pub attribution: Attribution,
    /// How long the server took to begin to answer: the median over the chunks, in milliseconds.
    pub answer_ms: u64,
    /// How long it took to get the snapshot, locks included, in milliseconds.
    pub snapshot_ms: u64,
    /// How long it took to look at the table before the run, locks included, in milliseconds; 0 of runs
    /// that did not measure it.
    pub look_ms: u64,
    /// The median round trip of small queries before the run, in microseconds.
    pub latency_us: Option<u64>,
    /// How uneven the chunks were; `None` of fewer than three.
    pub skew: Option<Skew>,
}
