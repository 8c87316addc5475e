//! The chart of worker counts over runs, and why they changed.

use std::fmt::Write;

use super::chart::{self, Chart, Table, WIDE, level, middle};
use super::course;
use super::document::Document;
use super::html::Html;
use super::runs;
use super::scale::{self, Scale, number, percent};
use crate::ui::history::{Entry, Outlook, convergence};

/// Pixels from top to ground.
const HEIGHT: u32 = 130;

/// Runs, or groups of neighbouring ones, that can be pointed at.
const DRAWN: usize = 240;

/// Changes that are told one by one, without unfolding anything.
const TOLD: usize = 6;

/// Draws the chart, the reasons and the numbers.
pub(super) fn draw(html: &mut Html, document: &Document<'_>) {
    let runs = &document.history.runs;
    let most = runs
        .iter()
        .map(|entry| entry.run.workers)
        .max()
        .unwrap_or(1);
    let scale = Scale::whole(most, 4);
    let chart = Chart {
        id: "workers",
        title: "Workers over runs",
        about: &about(document),
        height: HEIGHT,
    };
    html.leaf("p", &[("class", "unit")], "workers planned");
    chart.draw(html, |html| {
        chart::vertical(html, &scale, HEIGHT, scale::count);
        runs::dates(html, runs, HEIGHT);
        chart::stretched(html, HEIGHT, |html| {
            chart::path(html, "steps", &steps(runs, &scale))
        });
        for group in course::groups(runs.len(), DRAWN) {
            let told = runs::told(document, &group);
            let workers = runs[group.end - 1].run.workers;
            chart::pointed(html, &group, (runs.len(), HEIGHT), &told, |html| {
                let y = number(level(&scale, f64::from(workers), HEIGHT));
                let x = percent(middle(&group, runs.len()));
                html.leaf(
                    "circle",
                    &[("class", "step"), ("cx", &x), ("cy", &y), ("r", "2.5")],
                    "",
                );
            });
        }
    });
    reasons(html, document);
}

fn about(document: &Document<'_>) -> String {
    let workers = || document.history.runs.iter().map(|entry| entry.run.workers);
    let (Some(least), Some(most)) = (workers().min(), workers().max()) else {
        return "No runs.".to_owned();
    };
    let outlook = document.history.outlook.map(words).unwrap_or_default();
    format!(
        "From {least} to {most} workers, the newest run with {}. {outlook}",
        workers().next_back().unwrap_or(most)
    )
}

/// Where the controller stands, as a sentence.
pub(super) fn words(outlook: Outlook) -> String {
    format!("The controller: {}.", convergence(outlook))
}

/// A line that steps from run to run, each as wide as the others.
fn steps(runs: &[Entry<'_>], scale: &Scale) -> String {
    let mut path = String::new();
    for (at, entry) in runs.iter().enumerate() {
        let y = number(level(scale, f64::from(entry.run.workers), HEIGHT));
        let end = number((at + 1) as f64 / runs.len() as f64 * WIDE);
        // Writing to a string cannot fail.
        let _ = match at {
            0 => write!(path, "M0 {y}H{end}"),
            _ => write!(path, "V{y}H{end}"),
        };
    }
    path
}

/// The first run's number of workers and every change of it, newest first, with the reasons.
fn reasons(html: &mut Html, document: &Document<'_>) {
    let runs = &document.history.runs;
    let changed = |at: &usize| *at == 0 || runs[*at - 1].run.workers != runs[*at].run.workers;
    let changes: Vec<usize> = (0..runs.len()).filter(changed).rev().collect();
    html.nest("ol", &[("class", "changes")], |html| {
        for at in changes.iter().take(TOLD) {
            html.nest("li", &[], |html| change(html, document, *at));
        }
    });
    let rows = runs.iter().zip(&document.course).rev().take(runs::LISTED);
    let rows = rows.map(|(entry, point)| {
        vec![
            entry.tag.to_owned(),
            runs::moment(entry.run.started_at),
            entry.run.workers.to_string(),
            format!("{:.1}", entry.run.effective_workers),
            point.workers_because.join("; "),
        ]
    });
    chart::numbers(
        html,
        &Table {
            caption: "Workers and reasons as a table, newest first",
            header: &[
                "run",
                "started (UTC)",
                "workers",
                "busy on average",
                "because",
            ],
            right: &[2, 3],
            rows: rows.collect(),
        },
    );
}

fn change(html: &mut Html, document: &Document<'_>, at: usize) {
    let entry = &document.history.runs[at];
    let before = at
        .checked_sub(1)
        .map(|before| document.history.runs[before].run.workers);
    let now = entry.run.workers;
    html.leaf(
        "b",
        &[],
        &match before {
            Some(before) => format!("{before} → {now}"),
            None => now.to_string(),
        },
    );
    html.text(" ");
    html.leaf("code", &[], entry.tag);
    html.text(&format!(
        " · {}",
        entry.run.started_at.strftime("%Y-%m-%d %H:%M")
    ));
    let because = document.course[at].workers_because.join("; ");
    let because = match because.as_str() {
        "" => "the reason is not known",
        because => because,
    };
    html.leaf("p", &[], because);
}
