//! What runs cost, where rates were given.

use super::chart::{self, Chart, Table, level, middle};
use super::course;
use super::document::Document;
use super::html::Html;
use super::runs;
use super::scale::{Scale, number, percent};
use crate::ui::history::Entry;
use crate::ui::units;

/// Pixels from top to ground.
const HEIGHT: u32 = 130;

/// Runs, or groups of neighbouring ones, that are drawn.
const DRAWN: usize = 160;

/// Draws the chart and its numbers.
pub(super) fn draw(html: &mut Html, document: &Document<'_>) {
    let runs = &document.history.runs;
    let most = runs
        .iter()
        .filter_map(|entry| entry.run.actual_cost)
        .fold(0.0, f64::max);
    if most <= 0.0 {
        let words = "No rates were given, so nothing is known of costs: see --compute-rate, --egress-rate, --connection-rate and --cost-file of run.";
        html.leaf("p", &[("class", "none")], words);
        return;
    }
    let scale = Scale::reaching(most, 3);
    let chart = Chart {
        id: "cost",
        title: "Cost over runs",
        about: &about(document, most),
        height: HEIGHT,
    };
    html.leaf(
        "p",
        &[("class", "unit")],
        "cost of a run, by the rates it was given",
    );
    chart.draw(html, |html| {
        chart::vertical(html, &scale, HEIGHT, |value| number_of(value, most));
        runs::dates(html, runs, HEIGHT);
        for group in course::groups(runs.len(), DRAWN) {
            bar(html, document, &group, &scale);
        }
    });
    chart::numbers(html, &numbers(document));
}

/// An amount: to four decimals, as it is reckoned, but no more than its size asks for.
fn number_of(amount: f64, most: f64) -> String {
    let decimals = match most {
        most if most >= 100.0 => 0,
        most if most >= 1.0 => 2,
        _ => 4,
    };
    format!("{amount:.decimals$}")
}

fn about(document: &Document<'_>, most: f64) -> String {
    let costs: Vec<f64> = document
        .history
        .runs
        .iter()
        .filter_map(|entry| entry.run.actual_cost)
        .collect();
    format!(
        "{} with a cost, at most {}; the newest of them {}.",
        units::plural(costs.len() as u64, "run"),
        number_of(most, most),
        number_of(costs.last().copied().unwrap_or(most), most)
    )
}

/// A run's bar; of several the dearest's.
fn bar(html: &mut Html, document: &Document<'_>, group: &std::ops::Range<usize>, scale: &Scale) {
    let all = &document.history.runs;
    let costs = all[group.clone()]
        .iter()
        .filter_map(|entry| entry.run.actual_cost);
    let Some(dearest) = costs.reduce(f64::max) else {
        return;
    };
    let told = format!("{}\ncost {dearest:.4}", runs::told(document, group));
    chart::pointed(html, group, (all.len(), HEIGHT), &told, |html| {
        let top = level(scale, dearest, HEIGHT);
        let width = (group.len() as f64 / all.len() as f64 * 0.76).min(0.04);
        let shape = [
            ("class", "bar"),
            ("x", &percent(middle(group, all.len()) - width / 2.0)),
            ("width", &percent(width)),
            ("y", &number(top)),
            ("height", &number(f64::from(HEIGHT) - top)),
        ];
        html.leaf("rect", &shape, "");
    });
}

fn numbers(document: &Document<'_>) -> Table<'static> {
    let amount = |amount: Option<f64>| {
        amount.map_or_else(|| "-".to_owned(), |amount| format!("{amount:.4}"))
    };
    let priced =
        |entry: &&Entry<'_>| entry.run.actual_cost.is_some() || entry.run.estimated_cost.is_some();
    let rows = document
        .history
        .runs
        .iter()
        .rev()
        .filter(priced)
        .take(runs::LISTED)
        .map(|entry| {
            vec![
                entry.tag.to_owned(),
                runs::moment(entry.run.started_at),
                amount(entry.run.estimated_cost),
                amount(entry.run.actual_cost),
            ]
        });
    Table {
        caption: "Costs as a table, newest first",
        header: &["run", "started (UTC)", "expected", "cost"],
        right: &[2, 3],
        rows: rows.collect(),
    }
}
