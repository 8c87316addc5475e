//! How uneven chunks were (facts sheet, section 10.5), and whether that cost anything.

use crate::model::{Attribution, ChunkRecord, ChunkStatus, Severity, Skew};

/// Slowest over median beyond which skew is moderate, and beyond which it is high.
const RATIOS: (f64, f64) = (1.5, 3.0);

/// The severity of a ratio; both limits are strict.
pub fn severity(ratio: f64) -> Severity {
    match ratio {
        ratio if ratio > RATIOS.1 => Severity::High,
        ratio if ratio > RATIOS.0 => Severity::Moderate,
        _ => Severity::Low,
    }
}

/// The skew of a run's finished chunks; `None` of fewer than three, of which the median says
/// nothing. `went` is where the run's time went.
pub fn measure(chunks: &[ChunkRecord], went: &Attribution) -> Option<Skew> {
    let finished: Vec<&ChunkRecord> = chunks
        .iter()
        .filter(|chunk| chunk.status == ChunkStatus::Success)
        .collect();
    // The first of equals.
    let slowest = finished
        .iter()
        .rev()
        .max_by_key(|chunk| chunk.duration_ms)
        .filter(|_| finished.len() >= 3)?;
    let over_median = |of: fn(&ChunkRecord) -> u64| {
        let mut all: Vec<u64> = finished.iter().map(|chunk| of(chunk)).collect();
        all.sort_unstable();
        let median = all.get(all.len() / 2).copied().unwrap_or(0);
        // What is less than one of its unit counts as one.
        of(slowest).max(1) as f64 / median.max(1) as f64
    };
    let ratio = over_median(|chunk| chunk.duration_ms);
    let size_ratio = over_median(|chunk| chunk.rows).max(over_median(|chunk| chunk.bytes));
    let until_the_last = went.total_ms() - went.count_ms;
    let lost = u128::from(went.idle_ms) * 1000 / u128::from(until_the_last.max(1));
    Some(Skew {
        severity: severity(ratio),
        ratio,
        cv: variation(&finished),
        slowest: slowest.number,
        size_ratio,
        lost_permille: u32::try_from(lost).unwrap_or(1000),
    })
}

/// Coefficient of variation of the chunks' times; 0 where all take no time.
fn variation(chunks: &[&ChunkRecord]) -> f64 {
    let n = chunks.len() as f64;
    let times = || chunks.iter().map(|chunk| chunk.duration_ms as f64);
    let mean = times().sum::<f64>() / n;
    if mean > 0.0 {
        (times().map(|time| (time - mean).powi(2)).sum::<f64>() / n).sqrt() / mean
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnosis::attribution::tests::chunk;

    #[test]
    fn both_limits_are_strict() {
        let found = [1.0, 1.5, 1.51, 3.0, 3.01].map(severity);
        use Severity::{High, Low, Moderate};
        assert_eq!(found, [Low, Low, Moderate, Moderate, High]);
    }

    #[test]
    fn the_slowest_is_named_and_compared_with_the_median() {
        let mut chunks = [
            chunk(1, 1, 0, 100),
            chunk(2, 2, 0, 400),
            chunk(3, 1, 100, 90),
            chunk(4, 1, 190, 110),
        ];
        chunks[1].rows = 500;
        let went = Attribution {
            rows_ms: 700,
            idle_ms: 100,
            count_ms: 50,
            ..Attribution::default()
        };
        let skew = measure(&chunks, &went).expect("four chunks");
        // Sorted: 90, 100, 110, 400; the third is the median.
        assert_eq!((skew.slowest, skew.severity), (2, Severity::High));
        assert!((skew.ratio - 400.0 / 110.0).abs() < 1e-9);
        assert_eq!((skew.size_ratio, skew.lost_permille), (5.0, 125));
        assert_eq!(measure(&chunks[..2], &went), None);
        chunks[1].status = ChunkStatus::Failed;
        assert!(measure(&chunks, &went).is_some_and(|skew| skew.slowest == 4));
    }

    proptest! {
        #[test]
        fn no_chunk_is_slower_than_the_slowest(times in proptest::collection::vec(0u64..9000, 3..30)) {
            let chunks: Vec<ChunkRecord> =
                (1..).zip(&times).map(|(number, time)| chunk(number, 1, 0, *time)).collect();
            let skew = measure(&chunks, &Attribution::default()).expect("enough chunks");
            let slowest = chunks[skew.slowest as usize - 1].duration_ms;
            prop_assert_eq!(Some(&slowest), times.iter().max());
            prop_assert!(skew.ratio >= 1.0 && skew.cv >= 0.0);
            prop_assert_eq!(skew.severity, severity(skew.ratio));
        }
    }
}
