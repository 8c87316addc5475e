//! Costs in words.

use super::json::{PriceDocument, SpentDocument};
use super::{Line, table, units};
use crate::model::Cost;

/// What a plan is expected to cost, in one line.
pub(super) fn expected(price: &PriceDocument) -> Line {
    let total = money(price.expected.total, &price.currency);
    Line::fact("cost", format!("{total}{}", parts(&price.expected)))
}

/// What other numbers of workers would take and cost; empty where nothing is to be compared.
pub(super) fn section(price: &PriceDocument) -> Vec<Line> {
    let Some(comparison) = &price.comparison else {
        return Vec::new();
    };
    let rows = comparison.alternatives.iter().map(|one| {
        let mut notes = Vec::new();
        if one.planned {
            notes.push("planned");
        }
        if !one.measured {
            notes.push("never measured: an estimate");
        }
        vec![
            one.workers.to_string(),
            units::duration(one.duration_s),
            money(one.cost.total, &price.currency),
            notes.join(", "),
        ]
    });
    let header = ["workers", "takes", "costs", ""];
    let mut lines = vec![
        Line::Blank,
        Line::Heading("Numbers of workers that were measured, and what they would cost".to_owned()),
        table::grid(&header, rows.collect(), &[0, 1, 2]),
    ];
    if comparison.alternatives.len() == 1 {
        lines.push(Line::Text(
            "  no other is cheaper or faster than the planned one".to_owned(),
        ));
    }
    if let Some(extra) = &comparison.extra {
        let share = extra
            .percent
            .map(|percent| format!(" ({percent:.0} %)"))
            .unwrap_or_default();
        lines.push(Line::Text(format!(
            "  being faster than the cheapest costs {} more{share}",
            money(extra.cost, &price.currency)
        )));
    }
    lines
}

/// What a run cost, beside what was expected.
pub(super) fn spent(spent: &SpentDocument) -> Line {
    Line::fact(
        "cost",
        format!(
            "{}{}; {} expected",
            money(spent.actual.total, &spent.currency),
            parts(&spent.actual),
            money(spent.expected.total, &spent.currency)
        ),
    )
}

/// An amount with its currency, to four decimals as it is reckoned.
fn money(amount: f64, currency: &str) -> String {
    format!("{amount:.4} {currency}")
}

/// The parts that are not nothing, where there is more than one.
fn parts(cost: &Cost) -> String {
    let parts: Vec<String> = [
        ("compute", cost.compute),
        ("egress", cost.egress),
        ("connections", cost.connections),
    ]
    .into_iter()
    .filter(|(_, amount)| *amount > 0.0)
    .map(|(name, amount)| format!("{name} {amount:.4}"))
    .collect();
    match parts.len() {
        0 | 1 => String::new(),
        _ => format!(" ({})", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Alternative, Comparison, Extra, Rates};
    use crate::ui::plain;

    fn price(comparison: Option<Comparison>) -> PriceDocument {
        PriceDocument {
            currency: "EUR".to_owned(),
            rates: Rates::default(),
            expected: Cost {
                compute: 0.5,
                egress: 0.5,
                connections: 0.1,
                total: 1.1,
            },
            comparison,
        }
    }

    #[test]
    fn a_cost_is_told_with_its_parts() {
        let text = plain(&[expected(&price(None))]);
        assert_eq!(
            text,
            "  cost         1.1000 EUR (compute 0.5000, egress 0.5000, connections 0.1000)\n"
        );
        assert_eq!(section(&price(None)), []);
        let actual = Cost {
            compute: 0.25,
            total: 0.25,
            ..Cost::default()
        };
        let told = spent(&SpentDocument {
            currency: "EUR".to_owned(),
            expected: actual,
            actual,
        });
        let want = "  cost         0.2500 EUR; 0.2500 EUR expected\n";
        assert_eq!(plain(&[told]), want);
    }

    #[test]
    fn alternatives_are_a_table() {
        let one = |workers, seconds: f64, total: f64| Alternative {
            workers,
            duration_s: seconds,
            cost: Cost {
                total,
                ..Cost::default()
            },
            planned: workers == 4,
            measured: workers != 4,
        };
        let comparison = Comparison {
            alternatives: vec![one(2, 3_600.0, 2.0), one(4, 2_400.0, 2.6667)],
            extra: Some(Extra {
                cost: 0.6667,
                percent: Some(33.3),
            }),
        };
        insta::assert_snapshot!(plain(&section(&price(Some(comparison)))), @"

        Numbers of workers that were measured, and what they would cost
          workers  takes       costs
                2   1.0h  2.0000 EUR
                4    40m  2.6667 EUR  planned, never measured: an estimate
          being faster than the cheapest costs 0.6667 EUR more (33 %)
        ");
    }
}
