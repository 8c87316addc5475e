//! The user's hints in words: what they are about, what is odd about them, what the plan means for
//! them, and what speaks against it.

use super::json::PlanDocument;
use super::{Line, units};
use crate::model::{
    About, Advice, HintWarning, Objection, RuntimeContext, Standing, WorkerResolution,
};

/// The warnings among what the hints gave: what `run` tells.
pub(super) fn warnings(document: &PlanDocument<'_>) -> Vec<Line> {
    let resolution = document.plan.resolution.iter();
    let warned = resolution.flat_map(|found| found.warnings.iter().map(warning));
    let advised = document
        .advice
        .iter()
        .filter(|advice| advice.standing != Standing::Pass)
        .map(advice);
    warned.chain(advised).map(Line::Warning).collect()
}

/// The hints as they were given, and advice that the plan follows: what `plan` tells beside the
/// warnings. Empty without hints.
pub(super) fn section(document: &PlanDocument<'_>) -> Vec<Line> {
    let Some(resolution) = &document.plan.resolution else {
        return Vec::new();
    };
    let mut lines = vec![Line::Blank, Line::Heading("Hints".to_owned())];
    lines.push(Line::fact("given", given(&resolution.hints)));
    lines.push(Line::fact("workers", waterfall(resolution)));
    let passed = document
        .advice
        .iter()
        .filter(|advice| advice.standing == Standing::Pass)
        .map(advice)
        .collect::<Vec<_>>();
    if !passed.is_empty() {
        lines.push(Line::fact("kept", passed.join("\n")));
    }
    lines.push(Line::fact(
        "learning",
        "a run under hints is recorded, and not learned from",
    ));
    lines
}

/// The hints, one line each, as flags.
fn given(hints: &RuntimeContext) -> String {
    let values = serde_json::to_value(hints).unwrap_or_default();
    let shown = RuntimeContext::KEYS.into_iter().filter_map(|key| {
        let flag = RuntimeContext::flag(key)?;
        match values.get(key)? {
            serde_json::Value::Bool(true) => Some(flag.to_owned()),
            serde_json::Value::Bool(false) => Some(format!("{flag} not, as the file says")),
            serde_json::Value::String(word) => Some(format!("{flag} {word}")),
            // As people write it: 100, not 100.0.
            other => Some(match other.as_f64().filter(|_| other.is_f64()) {
                Some(number) => format!("{flag} {number}"),
                None => format!("{flag} {other}"),
            }),
        }
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// From the workers without hints to those with them; stages that changed nothing are left out.
fn waterfall(found: &WorkerResolution) -> String {
    let mut text = format!("{} without hints", found.base);
    let mut stage = |before: u32, after: u32, name: &str| {
        if before != after {
            text.push_str(&format!(", {after} after {name}"));
        }
    };
    stage(found.base, found.after_caps, "caps");
    stage(found.after_caps, found.after_multiplier, "circumstances");
    stage(found.after_multiplier, found.after_priority, "priority");
    if found.floored {
        text.push_str("\ncircumstances never take more than three quarters");
    }
    if found.workers == 0 {
        text.push_str("\nnone may be used");
    }
    text
}

/// What is odd about the hints.
pub(super) fn warning(warning: &HintWarning) -> String {
    match warning {
        HintWarning::NoConnectionsLeft {
            allowed,
            concurrent,
            others,
        } => {
            let taken = match concurrent {
                0 => String::new(),
                taken => format!("{taken} of them are taken by other extractions, "),
            };
            format!(
                "no connection is left for a worker: {allowed} are allowed, {taken}and a run needs {others} beside its workers"
            )
        }
        HintWarning::MemoryWithoutWidth => {
            "--max-memory-mb lowers no workers: nobody knows how wide a row is".to_owned()
        }
        HintWarning::MemoryBelowOneWorker {
            allowed_mb,
            worker_mb,
        } => format!(
            "--max-memory-mb {allowed_mb} is less than the {worker_mb} MiB that a worker would like: one worker with small batches"
        ),
        HintWarning::MemoryBelowProgram {
            allowed_mb,
            needed_mb,
        } => format!(
            "--max-memory-mb {allowed_mb} cannot be kept: with one worker and the smallest batches it takes about {needed_mb} MiB"
        ),
        HintWarning::ConcurrentWithoutCap => {
            "--concurrent-extractions takes from --max-source-connections, which is not given"
                .to_owned()
        }
        HintWarning::PriorityWithoutEffect { priority } => {
            format!("--priority {} changes nothing here", priority.name())
        }
    }
}

/// What the plan means for a hint.
pub(super) fn advice(advice: &Advice) -> String {
    let kept = advice.standing == Standing::Pass;
    match &advice.about {
        About::TargetDuration {
            minutes,
            expected_s,
            ..
        } if kept => format!(
            "{} expected, within the {} of --target-duration",
            units::duration(*expected_s),
            units::plural(u64::from(*minutes), "minute")
        ),
        About::TargetDuration {
            minutes,
            expected_s,
            workers_needed,
            workers,
            most,
        } => format!(
            "{} expected, more than the {} of --target-duration; {} would be needed, {workers} planned{}",
            units::duration(*expected_s),
            units::plural(u64::from(*minutes), "minute"),
            units::plural(*workers_needed, "worker"),
            if *workers_needed > u64::from(*most) {
                format!(", and more than {most} are not safe here")
            } else {
                String::new()
            }
        ),
        About::MaintenanceWindow {
            minutes,
            expected_s,
        } => format!(
            "{} expected, {} the {} of --maintenance-window",
            units::duration(*expected_s),
            if kept { "within" } else { "more than" },
            units::plural(u64::from(*minutes), "minute")
        ),
        About::Disk {
            available_gb,
            output,
        } => format!(
            "an output of {} {} the {available_gb} GiB of --disk-available-gb",
            units::binary(*output),
            match advice.standing {
                Standing::Fail => "does not fit into",
                Standing::Warn => "fills more than four fifths of",
                Standing::Pass => "fits into",
            }
        ),
        About::Egress { budget_mb, output } if kept => format!(
            "an output of {} is within the {budget_mb} MiB of --egress-budget-mb",
            units::binary(*output)
        ),
        About::Egress { budget_mb, output } => format!(
            "an output of {} exceeds the {budget_mb} MiB of --egress-budget-mb{}",
            units::binary(*output),
            excess(*output, *budget_mb)
        ),
    }
}

/// By how much, in whole percent.
fn excess(output: u64, budget_mb: f64) -> String {
    let over = (output as f64 / 1_048_576.0 / budget_mb - 1.0) * 100.0;
    if over.is_finite() {
        format!(" by {over:.0} %")
    } else {
        String::new()
    }
}

/// What speaks against a plan, in one line.
pub fn objection(objection: &Objection) -> String {
    const MB: u64 = 1_000_000;
    match objection {
        Objection::Connections(found) => warning(found),
        Objection::Advice(found) => advice(found),
        Objection::Room { needed, free } => format!(
            "the output needs about {} MB of room and {} MB are free",
            needed.div_ceil(MB),
            free / MB
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_shown_as_they_would_be_typed() {
        let hints = serde_json::from_str(
            r#"{"egress_budget_mb": 100.0, "disk_available_gb": 0.5, "priority": "low",
                "source_maintenance_scheduled": true, "max_memory_mb": 512}"#,
        );
        assert_eq!(
            given(&hints.expect("hints")),
            "--max-memory-mb 512\n--source-maintenance\n--priority low\n--egress-budget-mb 100\n--disk-available-gb 0.5"
        );
    }

    #[test]
    fn advice_tells_the_numbers_on_one_line() {
        let about = |standing, about| advice(&Advice { standing, about });
        let late = about(
            Standing::Warn,
            About::TargetDuration {
                minutes: 1,
                expected_s: 600.0,
                workers_needed: 40,
                workers: 4,
                most: 8,
            },
        );
        assert_eq!(
            late,
            "10m expected, more than the 1 minute of --target-duration; 40 workers would be needed, 4 planned, and more than 8 are not safe here"
        );
        let output = 3 << 20;
        for (budget_mb, ends) in [(1.5, " by 100 %"), (0.0, "--egress-budget-mb")] {
            let over = about(Standing::Warn, About::Egress { budget_mb, output });
            assert!(over.ends_with(ends), "{over}");
        }
        let small = Objection::Advice(Advice {
            standing: Standing::Fail,
            about: About::Disk {
                available_gb: 0.5,
                output: 1 << 30,
            },
        });
        assert_eq!(
            objection(&small),
            "an output of 1.0 GiB does not fit into the 0.5 GiB of --disk-available-gb"
        );
    }
}
