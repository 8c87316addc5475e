//! Sessions on the source, shared with the other processes of this machine.

use super::context::Context;
use super::history::History;
use crate::error::{ExitCode, Failure};
use crate::model::{RuntimeContext, SourceIdentity, SourceKind};
use crate::state::{Claim, Holder, Ledger, OpenLedger, StateError};

/// What others have taken, and the ledger to write down what we take.
pub(super) struct Share {
    ledger: Option<OpenLedger>,
    others: Vec<Holder>,
    kind: SourceKind,
    limited: bool,
}

impl Share {
    /// Looks who else is at work on a source. Without a history there is nobody to be seen; a file has
    /// no sessions to share. Where `limited`, a ledger that cannot be used costs a warning.
    pub(super) fn of(
        context: &Context,
        history: &History,
        source: &SourceIdentity,
        limited: bool,
    ) -> Self {
        let file = history.file().filter(|_| source.kind != SourceKind::Sqlite);
        let opened = file.map(|file| Ledger::beside(file.as_ref(), source).open());
        let ledger = used(context, opened, limited);
        Self {
            others: ledger.as_ref().map(others).unwrap_or_default(),
            ledger,
            kind: source.kind,
            limited,
        }
    }

    /// Sessions that others have.
    pub(super) fn taken(&self) -> u32 {
        self.others
            .iter()
            .map(|other| other.sessions)
            .fold(0, u32::saturating_add)
    }

    /// How many workers `most` sessions leave beside others and beside a run's own sessions that are no
    /// workers', at least `least`.
    ///
    /// # Errors
    /// 75 when others have what it takes.
    pub(super) fn left(
        &self,
        most: u32,
        least: u32,
        source: &SourceIdentity,
    ) -> Result<u32, Failure> {
        let own = self.kind.other_sessions();
        let left = most.saturating_sub(self.taken()).saturating_sub(own);
        // What would not do without the others either is refused where plans are made.
        if left >= least || most < own + least || self.others.is_empty() {
            return Ok(left);
        }
        Err(Failure::new(
            ExitCode::TryLater,
            format!("no session on {source} is left for this run"),
            format!(
                "--max-source-connections is {most}, {} of them are {}, and this takes at least {}",
                self.taken(),
                self.whose(),
                own + least
            ),
            "run again when they have ended, or raise --max-source-connections",
        ))
    }

    /// The hints of a plan, with what others have taken.
    ///
    /// # Errors
    /// Those of [`Share::left`].
    pub(super) fn shared(
        &self,
        hints: &RuntimeContext,
        source: &SourceIdentity,
    ) -> Result<RuntimeContext, Failure> {
        let mut hints = hints.clone();
        if let Some(most) = hints.max_source_connections
            && !self.others.is_empty()
        {
            self.left(most.get(), 1, source)?;
            let told = hints.concurrent_extractions.unwrap_or(0);
            hints.concurrent_extractions = Some(told.max(self.taken()));
        }
        Ok(hints)
    }

    /// What a person should know of others, where they count.
    pub(super) fn remark(&self, hints: Option<&RuntimeContext>) -> Option<String> {
        let most = hints?.max_source_connections?;
        (!self.others.is_empty()).then(|| {
            format!(
                "{} of --max-source-connections {most} are {}",
                self.taken(),
                self.whose()
            )
        })
    }

    fn whose(&self) -> String {
        let pids: Vec<String> = self
            .others
            .iter()
            .map(|other| other.pid.to_string())
            .collect();
        let noun = if pids.len() == 1 {
            "process"
        } else {
            "processes"
        };
        format!("taken by {noun} {} of this machine", pids.join(", "))
    }

    /// Writes down the sessions of a run of so many workers.
    pub(super) fn claim(self, context: &Context, workers: u32) -> Option<Claim> {
        let sessions = workers.saturating_add(self.kind.other_sessions());
        let claimed = self.ledger.map(|ledger| ledger.claim(sessions));
        used(context, claimed, self.limited)
    }
}

/// Processes at work but for this one, which may look twice.
fn others(ledger: &OpenLedger) -> Vec<Holder> {
    let others = ledger.others().iter();
    let others = others.filter(|holder| holder.pid != std::process::id());
    others.copied().collect()
}

/// What came of using the ledger. Without it others are not seen, which is worth a word where sessions
/// are limited.
fn used<T>(context: &Context, outcome: Option<Result<T, StateError>>, limited: bool) -> Option<T> {
    match outcome? {
        Ok(used) => Some(used),
        Err(error) => {
            if limited {
                let failure = Failure::from(error);
                context.printer.warn(&format!(
                    "--max-source-connections holds for this process alone: {}: {}",
                    failure.what, failure.why
                ));
            }
            None
        }
    }
}
