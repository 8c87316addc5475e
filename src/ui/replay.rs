//! A replay: whether its decisions were those of the run it repeats, and what came out otherwise.

use super::json::ReplayDocument;
use super::{Line, measured, summary, units, wording};
use crate::model::RunId;

/// Hex digits of a fingerprint that people compare.
const FINGERPRINT_SHOWN: usize = 8;

/// What a replay begins with.
pub fn announced(original: &RunId) -> Line {
    Line::Text(format!("Replaying {original}: its stored plan is intact"))
}

/// The replay's own summary, then what it shares with the original and what not.
pub fn view(document: &ReplayDocument) -> Vec<Line> {
    let mut lines = summary::view(&document.replay);
    lines.push(Line::Blank);
    lines.push(Line::Heading(heading(document)));
    lines.push(Line::fact(
        "integrity",
        format!(
            "the stored plan has the fingerprint it was made with (plan version {})",
            document.plan_version
        ),
    ));
    lines.extend(decisions(document));
    lines.push(comparison(document));
    lines.push(Line::fact("data", data(document)));
    lines.push(Line::fact("guarantee", document.guarantee));
    lines
}

fn heading(document: &ReplayDocument) -> String {
    let original = &document.original;
    let mut text = format!("Replay of {} (ixtract {})", original.run, original.version);
    for run in &document.chain {
        text.push_str(&format!(", which replayed {run}"));
    }
    text
}

fn decisions(document: &ReplayDocument) -> Vec<Line> {
    let found = &document.replay.decisions;
    let short = |fingerprint: &str| {
        let digits: String = fingerprint.chars().take(FINGERPRINT_SHOWN).collect();
        digits
    };
    let text = if found.agree() {
        format!(
            "as planned: {}, {} ({}), fingerprint {}",
            units::plural(u64::from(found.workers.executed), "worker"),
            units::plural(found.chunks.executed, "chunk"),
            wording::strategy(found.strategy.executed),
            short(&found.fingerprint.executed)
        )
    } else {
        format!(
            "not as planned: fingerprint {} instead of {}",
            short(&found.fingerprint.executed),
            short(&found.fingerprint.planned)
        )
    };
    let mut lines = vec![Line::Judgement {
        label: "decisions",
        text,
        good: found.agree(),
    }];
    let differences = found.differences.iter();
    lines.extend(differences.map(|difference| Line::fact("", format!("· {difference}"))));
    lines
}

fn comparison(document: &ReplayDocument) -> Line {
    let (original, replay) = (&document.original, &document.replay);
    measured::side_by_side(
        [
            ("original", original.status.name(), original.measured),
            ("replay", replay.status, replay.into()),
        ],
        document.outcome,
    )
}

/// What the numbers say about the data, and what they do not.
fn data(document: &ReplayDocument) -> &'static str {
    match document.outcome {
        None => "the original published nothing to compare with",
        Some(outcome) if outcome.rows != 0 => "it is not what it was: other rows are there now",
        Some(_) => "as many rows as then; a replay reads what is there now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunStatus;
    use crate::ui::json::{GUARANTEE, Measured, OriginalDocument, OutcomeDocument};
    use crate::ui::plain;

    fn document() -> ReplayDocument {
        let original = OriginalDocument {
            run: RunId::stored("rx-20260130-120000-0ddba115"),
            status: RunStatus::Success,
            started_at: "2026-01-30T12:00:00Z".parse().expect("a time"),
            version: "0.1.0".to_owned(),
            dataset: "/srv/out/public.orders".to_owned(),
            measured: Measured {
                rows: 6_001_213,
                bytes: 231_500_000,
                duration_s: 7.0,
                throughput: 857_316.1,
            },
        };
        let replay = summary::tests::run();
        ReplayDocument {
            outcome: Some(OutcomeDocument::between(
                original.measured,
                (&replay).into(),
            )),
            original,
            chain: Vec::new(),
            integrity: "intact",
            plan_version: 1,
            same_decisions: true,
            replay,
            guarantee: GUARANTEE,
        }
    }

    /// What stands below the run's own summary.
    fn lower(document: &ReplayDocument) -> String {
        let text = plain(&view(document));
        let at = text.find("Replay of").expect("a heading");
        text[at..].to_owned()
    }

    #[test]
    fn a_replay_says_what_is_the_same_and_what_is_not() {
        insta::assert_snapshot!(lower(&document()), @"
        Replay of rx-20260130-120000-0ddba115 (ixtract 0.1.0)
          integrity    the stored plan has the fingerprint it was made with (plan version 1)
          decisions    as planned: 2 workers, 8 chunks (key ranges), fingerprint f00d
                         original       replay     change
          status          success      success
          rows          6,001,213    6,001,215         +2
          size           231.5 MB     231.0 MB  -500.0 KB
          duration          7.00s        5.60s     -1.40s
          speed     857.3K rows/s  1.1M rows/s    +25.0 %
          data         it is not what it was: other rows are there now
          guarantee    the same decisions; when it runs, and what the data is by then, may differ
        ");
    }

    #[test]
    fn other_decisions_are_named_and_a_chain_is_told() {
        let mut document = document();
        document.chain = vec![RunId::stored("rx-20260129-120000-5eed5eed")];
        document.outcome = None;
        let decisions = &mut document.replay.decisions;
        decisions.fingerprint.executed = "0123456789".to_owned();
        decisions.differences = vec!["planned for 2 workers, read by 1".to_owned()];
        insta::assert_snapshot!(lower(&document), @"
        Replay of rx-20260130-120000-0ddba115 (ixtract 0.1.0), which replayed rx-20260129-120000-5eed5eed
          integrity    the stored plan has the fingerprint it was made with (plan version 1)
          decisions    not as planned: fingerprint 01234567 instead of f00d
                       · planned for 2 workers, read by 1
                         original       replay  change
          status          success      success
          rows          6,001,213    6,001,215
          size           231.5 MB     231.0 MB
          duration          7.00s        5.60s
          speed     857.3K rows/s  1.1M rows/s
          data         the original published nothing to compare with
          guarantee    the same decisions; when it runs, and what the data is by then, may differ
        ");
    }
}
