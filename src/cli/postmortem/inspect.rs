//! `ixtract inspect`.

use super::Archive;
use crate::cli::args::InspectArgs;
use crate::cli::context::Context;
use crate::diagnosis::health::{self, Facts};
use crate::error::{ExitCode, Failure};
use crate::model::Health;
use crate::state::StateError;
use crate::ui;
use crate::ui::inspect::{InspectDocument, ProfileAge};

/// Runs that are looked at: enough for the trend, whatever lies between.
const RUNS: u32 = 20;

/// Judges a table's runs; the exit code is the judgement.
pub(in crate::cli) fn command(context: &Context, args: &InspectArgs) -> Result<ExitCode, Failure> {
    let Archive { store, .. } = Archive::open(context, &args.store)?;
    let runs = match store.select(&args.table) {
        Ok(id) => store.rows_beside(&id, RUNS)?,
        // What never ran is in no good state, and that is an answer.
        Err(StateError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let scope = runs.first().map_or("", |run| run.scope.as_str());
    let (profiled_at, learned) = (store.profiled_at(scope)?, store.learned_in(scope)?);
    let now = context.clock.now();
    let profile = profiled_at.map(|at| ProfileAge {
        at,
        hours: u64::try_from(now.duration_since(at).as_hours()).unwrap_or(0),
    });
    let fresh_to = health::freshness(&runs);
    let age_s = fresh_to.map(|at| {
        // What is dated ahead is as new as can be.
        u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0)
    });
    let checkup = health::check(&Facts {
        age_s,
        most_age_s: args.max_age,
        runs: &runs,
        profile_hours: profile.as_ref().map(|profile| profile.hours),
        stale_hours: args.profile_stale_hours,
        converged: learned.as_ref().is_some_and(|learned| learned.converged),
    });
    let exit = match checkup.health {
        Health::Healthy => ExitCode::Success,
        Health::NeedsAttention => ExitCode::Failed,
        Health::Degraded => ExitCode::Refused,
    };
    let document = InspectDocument::new(&args.table, &runs, checkup)
        .with_freshness(fresh_to.zip(age_s), args.max_age)
        .with_profile(profile, args.profile_stale_hours)
        .with_workers(learned.map(|learned| (learned.best, learned.converged)));
    context.printer.document(&document);
    context.printer.show(&ui::inspect::view(&document));
    Ok(exit)
}
