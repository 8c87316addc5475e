//! Rows that are in no window because they have no value.

use super::Attempt;
use crate::cli::context::Context;
use crate::cli::increment;
use crate::cli::survey::Survey;
use crate::error::Failure;
use crate::source::{Snapshot, SourceError, within};

impl Attempt {
    /// Counts the rows of a window's table that have no value, and refuses to leave any out.
    pub(super) async fn count_unmarked(
        &mut self,
        context: &Context,
        survey: &Survey,
        snapshot: &dyn Snapshot,
    ) -> Result<(), Failure> {
        let Some(planned) = &survey.plan.spec.window else {
            return Ok(());
        };
        if !planned.nullable {
            return Ok(());
        }
        context.printer.detail("counting rows without a value");
        let unmarked = survey.source.unmarked(&planned.of.column)?;
        let filter = within(planned.within.as_deref(), &unmarked);
        let counting = snapshot.count_where(Some(&filter));
        let found = context.interrupt.or::<_, SourceError>(counting).await?;
        self.unmarked = Some(found);
        increment::refuse_nulls(planned, found, self.held)
    }
}
