//! How a table's runs are as a whole.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::wording::finding as wording;
use super::{Line, units};
use crate::model::{Anomaly, Checkup, Health, RunRow, RunStatus};

/// Runs whose anomalies are listed.
const RECENT: usize = 3;

/// How old a profile is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProfileAge {
    /// When it was made.
    pub at: Timestamp,
    /// Whole hours since.
    pub hours: u64,
}

/// `inspect`.
#[derive(Debug, Serialize)]
pub struct InspectDocument<'a> {
    /// The relation; as it was asked for where nothing has run.
    pub table: &'a str,
    /// The database, where something has run.
    pub source: Option<&'a str>,
    /// `HEALTHY`, `NEEDS ATTENTION` or `DEGRADED`.
    pub verdict: &'static str,
    /// Why, and where the speed is going.
    #[serde(flatten)]
    pub checkup: Checkup,
    /// The newest run.
    pub last_run: Option<&'a RunRow>,
    /// Anomalies among the last three runs, newest first.
    pub anomalies: Vec<(&'a str, &'a Anomaly)>,
    /// How far the newest published data goes, UTC: to the end of its window where that is a point in time,
    /// else to its snapshot's.
    pub fresh_to: Option<Timestamp>,
    /// How old that is, in seconds.
    pub age_s: Option<u64>,
    /// The oldest that it may be, where the user said so.
    pub max_age_s: Option<u64>,
    /// The profile's age, where there is one.
    pub profile: Option<ProfileAge>,
    /// From how many hours on it is stale.
    pub profile_stale_hours: u64,
    /// Whether the controller has found its number of workers; `None` before a run taught it.
    pub converged: Option<bool>,
    /// The number that did best so far.
    pub best_workers: Option<u32>,
}

impl<'a> InspectDocument<'a> {
    /// Of runs, newest first.
    pub fn new(asked: &'a str, runs: &'a [RunRow], checkup: Checkup) -> Self {
        let newest = runs.first();
        let ended = runs.iter().filter(|run| run.status != RunStatus::Running);
        Self {
            table: newest.map_or(asked, |run| run.relation.as_str()),
            source: newest.map(|run| run.source.as_str()),
            verdict: checkup.health.name(),
            checkup,
            last_run: newest,
            anomalies: ended
                .take(RECENT)
                .filter_map(|run| Some((run.id.tag(), run.anomaly.as_ref()?)))
                .collect(),
            fresh_to: None,
            age_s: None,
            max_age_s: None,
            profile: None,
            profile_stale_hours: 0,
            converged: None,
            best_workers: None,
        }
    }

    /// With what is known of the profile.
    #[must_use]
    pub fn with_profile(self, profile: Option<ProfileAge>, profile_stale_hours: u64) -> Self {
        Self {
            profile,
            profile_stale_hours,
            ..self
        }
    }

    /// With how far the newest published data goes, how old that is, and how old it may be.
    #[must_use]
    pub fn with_freshness(self, known: Option<(Timestamp, u64)>, max_age_s: Option<u64>) -> Self {
        Self {
            fresh_to: known.map(|(at, _)| at),
            age_s: known.map(|(_, age)| age),
            max_age_s,
            ..self
        }
    }

    /// With what the controller knows: its best number, and whether it has converged.
    #[must_use]
    pub fn with_workers(self, known: Option<(u32, bool)>) -> Self {
        Self {
            best_workers: known.map(|(best, _)| best),
            converged: known.map(|(_, converged)| converged),
            ..self
        }
    }
}

/// The judgement on one screen.
pub fn view(document: &InspectDocument<'_>) -> Vec<Line> {
    let heading = match document.source {
        Some(source) => format!("{} in {source}", document.table),
        None => document.table.to_owned(),
    };
    let mut lines = vec![Line::Heading(heading)];
    if let Some(run) = document.last_run {
        lines.push(Line::fact("last run", last_run(run)));
        if let Some(finding) = &run.finding {
            lines.push(Line::fact("diagnosis", wording::headline(finding)));
        }
    }
    for (tag, anomaly) in &document.anomalies {
        let text = format!("{tag}: {}", wording::anomaly(anomaly));
        lines.push(Line::fact("anomaly", text));
    }
    if let (Some(at), Some(age)) = (document.fresh_to, document.age_s) {
        let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let text = format!("data up to {at}, {} old", units::span(age));
        lines.push(Line::fact("freshness", text));
    }
    if document.last_run.is_some() {
        lines.push(Line::fact("trend", wording::trend(document.checkup.trend)));
        lines.push(Line::fact("workers", workers(document)));
        lines.push(Line::fact("profile", profile(document)));
    }
    let concerns: Vec<String> = document
        .checkup
        .concerns
        .iter()
        .map(wording::concern)
        .collect();
    let text = match concerns.join("; ") {
        none if none.is_empty() => document.verdict.to_owned(),
        concerns => format!("{}: {concerns}", document.verdict),
    };
    lines.push(Line::Judgement {
        label: "verdict",
        text,
        good: document.checkup.health == Health::Healthy,
    });
    lines
}

fn last_run(run: &RunRow) -> String {
    let started = run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut text = format!("{} {}, started {started}", run.id.tag(), run.status.name());
    if run.status == RunStatus::Success {
        let took = Duration::from_secs_f64(run.duration_s.max(0.0));
        text.push_str(&format!(
            ": {} in {} ({})",
            units::plural(run.rows, "row"),
            units::elapsed(took),
            units::rate(run.throughput)
        ));
    }
    text
}

fn workers(document: &InspectDocument<'_>) -> String {
    match (document.converged, document.best_workers) {
        (Some(true), Some(best)) => format!("converged at {best}"),
        (Some(false), Some(best)) => format!("still searching; {best} did best so far"),
        _ => "no clean run has taught yet".to_owned(),
    }
}

fn profile(document: &InspectDocument<'_>) -> String {
    match document.profile {
        None => "none".to_owned(),
        Some(ProfileAge { hours, .. }) => {
            let age = match hours {
                0 => "less than an hour old".to_owned(),
                hours => format!("{} old", units::plural(hours, "hour")),
            };
            let stale = hours >= document.profile_stale_hours;
            if stale { format!("{age}: stale") } else { age }
        }
    }
}
