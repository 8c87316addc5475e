//! What a plan is expected to cost and what its run did, by the user's rates.

use super::survey::Survey;
use crate::cost::{self, Outlook, Usage};
use crate::model::{Cost, Rates, RunClose};
use crate::ui::json::{PriceDocument, SpentDocument};

/// What a plan is expected to cost. Its output is taken to be as large as the source's data.
pub(super) fn expected(rates: &Rates, survey: &Survey) -> Cost {
    let (spec, forecast) = (&survey.plan.spec, &survey.plan.forecast);
    let usage = Usage {
        seconds: forecast.duration_s,
        bytes: forecast.bytes,
        workers: spec.workers,
    };
    cost::of(rates, usage)
}

/// That, and what other numbers of workers would cost.
pub(super) fn document(rates: &Rates, survey: &Survey) -> PriceDocument {
    let (spec, forecast) = (&survey.plan.spec, &survey.plan.forecast);
    let outlook = Outlook {
        rows: forecast.rows,
        bytes: forecast.bytes,
        workers: spec.workers,
        rows_per_s: forecast.throughput,
        most: survey.most_workers,
    };
    let measured = |workers: u32| survey.speeds.get(&workers).copied();
    PriceDocument {
        currency: rates.currency().to_owned(),
        rates: rates.clone(),
        expected: expected(rates, survey),
        comparison: cost::compare(rates, &outlook, &measured),
    }
}

/// What a run cost: the read's time, the bytes written, and the workers that took part.
pub(super) fn spent(rates: &Rates, close: &RunClose) -> Cost {
    let usage = Usage {
        seconds: close.duration_s,
        bytes: close.bytes,
        workers: u32::try_from(close.workers.len()).unwrap_or(u32::MAX),
    };
    cost::of(rates, usage)
}

/// Both, for the summary.
pub(super) fn summary(rates: &Rates, survey: &Survey, actual: Cost) -> SpentDocument {
    SpentDocument {
        currency: rates.currency().to_owned(),
        expected: expected(rates, survey),
        actual,
    }
}
