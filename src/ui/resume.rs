//! Unfinished runs: what is kept of them, and how to go on with them.

use super::json::ResumedDocument;
use super::{Line, units};
use crate::model::{NotKept, RunId, RunRow};

/// What a resumed run begins with: how many of the chunks are kept, or why none is.
pub fn announced(run: &RunId, not_kept: Option<NotKept>, (kept, all): (usize, usize)) -> Line {
    let (kept, all) = (kept as u64, all as u64);
    Line::Text(match not_kept {
        Some(why) => format!(
            "Resuming {run}: all of its {} are read again, because {}",
            units::plural(all, "chunk"),
            reason(why)
        ),
        None => format!(
            "Resuming {run}: {kept} of its {} are kept, {} read",
            units::plural(all, "chunk"),
            all.saturating_sub(kept)
        ),
    })
}

fn reason(why: NotKept) -> &'static str {
    match why {
        NotKept::Blocks => "they are ranges of physical blocks, which hold other rows by now",
        NotKept::OnePointInTime => "it was to show one point in time",
    }
}

/// That there is an unfinished run which the one that begins does not go on with.
pub fn not_resumed(run: &RunId) -> String {
    format!(
        "run {run} was not finished, and `{}` would go on with it; this run starts anew, and removes \
         what is left of that one once it has published",
        command(run)
    )
}

/// The command that goes on with a run.
pub fn command(run: &RunId) -> String {
    format!("ixtract run --resume {}", run.tag())
}

/// What a run kept of another, who went on with it, and the set that it was part of, for those who look back.
pub fn of_row(run: &RunRow) -> Vec<Line> {
    let resumes = run.resumes.as_ref().map(|resumed| {
        let kept = units::plural(u64::from(resumed.kept), "chunk");
        let text = format!("{}: {kept} kept, {} read", resumed.run, resumed.read);
        Line::fact("resumed", text)
    });
    let by = run.resumed_by.as_ref();
    let by = by.map(|by| Line::fact("resumed", format!("{by} went on with it")));
    let set = run.set.as_ref();
    let set = set.map(|set| Line::fact("set", format!("{set}: tables extracted together")));
    resumes.into_iter().chain(by).chain(set).collect()
}

/// What was kept and read, and at which points in time.
pub fn kept(resumed: &ResumedDocument) -> Vec<Line> {
    let mut text = format!(
        "{}: {} kept, {} read",
        resumed.run,
        units::plural(u64::from(resumed.kept), "chunk"),
        resumed.read
    );
    for point in &resumed.points {
        let position = point.position.as_deref();
        let position = position.map(|at| format!(", position {at}"));
        text.push_str(&format!(
            "\n{} as of {}{} (run {})",
            units::plural(point.chunks.len() as u64, "chunk"),
            units::moment(&point.taken_at),
            position.unwrap_or_default(),
            point.run.tag()
        ));
    }
    vec![Line::fact("resumed", text)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConsistencyLevel, PointInTime};
    use crate::ui::plain;

    fn run() -> RunId {
        RunId::stored("rx-20260131-120000-0badcafe")
    }

    #[test]
    fn what_is_kept_is_told_before_and_after() {
        let point = |minute: u32, chunks: &[u32]| PointInTime {
            run: run(),
            level: ConsistencyLevel::SharedSnapshot,
            taken_at: format!("2026-01-31T12:{minute:02}:00.5Z"),
            position: (minute > 10).then(|| "0/16B3748".to_owned()),
            chunks: chunks.to_vec(),
        };
        let resumed = ResumedDocument {
            run: run(),
            kept: 3,
            read: 1,
            rows_read: 250,
            points: vec![point(10, &[1, 2, 4]), point(20, &[3])],
        };
        let mut lines = vec![
            announced(&run(), None, (3, 4)),
            announced(&run(), Some(NotKept::Blocks), (0, 4)),
        ];
        lines.extend(kept(&resumed));
        insta::assert_snapshot!(plain(&lines), @"
        Resuming rx-20260131-120000-0badcafe: 3 of its 4 chunks are kept, 1 read
        Resuming rx-20260131-120000-0badcafe: all of its 4 chunks are read again, because they are ranges of physical blocks, which hold other rows by now
          resumed      rx-20260131-120000-0badcafe: 3 chunks kept, 1 read
                       3 chunks as of 2026-01-31 12:10:00 UTC (run 0badcafe)
                       1 chunk as of 2026-01-31 12:20:00 UTC, position 0/16B3748 (run 0badcafe)
        ");
    }
}
