//! What would stand in a run's way, looked at before there is one: the source, the output, the
//! history. Each answer is a [`Check`]; nothing is left behind anywhere.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{ExitCode, Failure};
use crate::model::{
    Check, ConnectionLoad, Consistency, ConsistencyLevel, Layout, ReadSpec, Relation, RunId,
    Selection, SnapshotFacts, SourceIdentity, SourceKind, Table, TypeOptions,
};
use crate::source::{
    self, BY_ADMINISTRATOR, ConnectOptions, Snapshot, SnapshotRequest, Source, SourceError,
};
use crate::state::Store;
use crate::writer::{Location, trial};

/// Sessions that try to share one point in time: where two can, more can.
const SESSIONS: u32 = 2;

/// Bytes of a batch of those sessions, which read nothing.
const BATCH_BYTES: usize = 1 << 20;

/// What of the source is looked at.
#[derive(Debug)]
pub struct Question<'a> {
    /// The table, by the name that the user wrote, where one is named.
    pub table: Option<&'a str>,
    /// Columns and rows.
    pub selection: &'a Selection,
    /// How columns are mapped.
    pub types: &'a TypeOptions,
    /// The consistency that a run is to have.
    pub consistency: Consistency,
    /// How long to wait for the relation's lock, in all.
    pub lock_wait: Duration,
    /// Row security may hide rows.
    pub allow_row_security: bool,
}

/// What is known of the table afterwards.
#[derive(Debug)]
pub struct Found {
    /// Which database it is in.
    pub identity: SourceIdentity,
    /// Its exact name.
    pub relation: Relation,
    /// Bytes of its rows at the source, by estimate.
    pub bytes: u64,
}

/// Looks at the source: whether it can be reached, and by whom; what limits it has; whether the table
/// can be read, at one point in time by several sessions.
pub async fn source(
    options: ConnectOptions,
    question: &Question<'_>,
) -> (Vec<Check>, Option<Found>) {
    let source = match source::connect(options).await {
        Ok(source) => source,
        Err(error) => return (vec![Check::failed("source", &error.into())], None),
    };
    let source = source.as_ref();
    let mut checks = vec![Check::good(
        "source",
        format!(
            "{} at {}, connected in {:.1} ms",
            source.capabilities().server,
            source.identity(),
            source.connect_time().as_secs_f64() * 1000.0
        ),
    )];
    match source.examine().await {
        Ok(found) => checks.extend(found),
        Err(error) => checks.push(Check::failed("server", &error.into())),
    }
    checks.push(match source.load().await {
        Ok(load) => connections(source.identity().kind, load),
        Err(error) => Check::failed("connections", &error.into()),
    });
    let (more, found) = table(source, question).await;
    checks.extend(more);
    (checks, found)
}

/// Whether there is room for the fewest sessions that a run takes.
fn connections(kind: SourceKind, load: ConnectionLoad) -> Check {
    const NAME: &str = "connections";
    if kind == SourceKind::Sqlite {
        return Check::good(NAME, "none: it is a file");
    }
    let least = kind.other_sessions() + 1;
    let in_use = format!("{} of {} in use", load.active, load.max);
    // One of those in use is ours, and a run's own.
    if load.available() + 1 < least {
        let failure = Failure::new(
            ExitCode::TryLater,
            in_use,
            format!("a run takes at least {least}"),
            "run when others have ended, or let an administrator raise max_connections or the \
             account's own limit",
        );
        return Check::failed(NAME, &failure);
    }
    Check::good(
        NAME,
        format!("{in_use}; a run takes at most {}", load.safe()),
    )
}

/// The table's own checks.
async fn table(source: &dyn Source, question: &Question<'_>) -> (Vec<Check>, Option<Found>) {
    let Some(name) = question.table else {
        let why = "no table is named: name one to have its grants and its snapshot tried";
        return (vec![Check::skipped("table", why)], None);
    };
    let table = match source
        .describe(name, question.selection, question.types)
        .await
    {
        Ok(table) => table,
        Err(error) => return (vec![Check::failed("table", &error.into())], None),
    };
    let (mut checks, mut bytes) = (Vec::new(), 0);
    checks.push(match source.statistics(&table).await {
        Ok(statistics) => {
            bytes = statistics.bytes;
            let (columns, rows) = (table.columns.len(), statistics.estimate.rows);
            let size = format!("{columns} columns, about {rows} rows");
            Check::good("table", format!("{}: may be read; {size}", table.relation))
        }
        Err(error) => Check::failed("table", &error.into()),
    });
    checks.push(snapshot(source, &table, question).await);
    let found = Found {
        identity: source.identity().clone(),
        relation: table.relation,
        bytes,
    };
    (checks, Some(found))
}

/// Really opens one point in time, with two sessions.
async fn snapshot(source: &dyn Source, table: &Table, question: &Question<'_>) -> Check {
    const NAME: &str = "snapshot";
    let read = ReadSpec {
        relation: table.relation.clone(),
        kind: table.kind,
        query: table.query.clone(),
        columns: table.columns.clone(),
        key: None,
        leaves: Vec::new(),
        filter: table.filter.clone(),
    };
    let request = SnapshotRequest {
        consistency: question.consistency,
        sessions: SESSIONS,
        batch_bytes: BATCH_BYTES,
        lock_wait: question.lock_wait,
        allow_row_security: question.allow_row_security,
    };
    let opened = match source.snapshot(&read, &request).await {
        Ok(opened) => opened,
        Err(error) => return Check::failed(NAME, &error.into()),
    };
    let joined = join(opened.as_ref()).await;
    let facts = opened.facts();
    let check = match joined.and(opened.close().await) {
        Ok(()) => achieved(&facts, question.consistency),
        Err(error) => Check::failed(NAME, &error.into()),
    };
    drop(opened);
    check
}

/// As many sessions as the snapshot has readers, all at the same time.
async fn join(snapshot: &dyn Snapshot) -> Result<(), SourceError> {
    let mut sessions = Vec::new();
    for _ in 0..snapshot.facts().readers.min(SESSIONS) {
        sessions.push(snapshot.session().await?);
    }
    // Only now may any of them end.
    drop(sessions);
    Ok(())
}

/// What the snapshot achieved, against what was asked for.
fn achieved(facts: &SnapshotFacts, asked: Consistency) -> Check {
    const NAME: &str = "snapshot";
    let notes = facts.notes.join("; ");
    let is_enough = match facts.level {
        ConsistencyLevel::SharedSnapshot => facts.readers >= SESSIONS,
        ConsistencyLevel::SingleTransaction | ConsistencyLevel::Mixed => false,
        ConsistencyLevel::PerChunk => asked == Consistency::PerChunk,
    };
    let seen = format!("{}, held by {}", facts.level, facts.held_by);
    if is_enough {
        let notes = if notes.is_empty() {
            notes
        } else {
            format!("; {notes}")
        };
        return Check::good(NAME, format!("{seen}{notes}"));
    }
    match notes.split_once(BY_ADMINISTRATOR) {
        Some((why, grant)) => Check::warning(
            NAME,
            format!("{}: {}", facts.level, why.trim_end_matches("; ")),
            grant,
        ),
        None => Check::warning(
            NAME,
            format!("{seen}; {notes}"),
            "none is needed: a run reads so too, with one worker, or as it says",
        ),
    }
}

/// Looks at the output: a real document is put there and removed. `need` are the bytes that the
/// table has at the source.
pub fn output(
    location: Location,
    run: &RunId,
    layout: Layout,
    (need, clock): (u64, &dyn Clock),
) -> Vec<Check> {
    const NAME: &str = "output";
    let begun = clock.now();
    let tried = match trial::attempt(location, run, layout) {
        Ok(tried) => tried,
        Err(error) => return vec![Check::failed(NAME, &error.into())],
    };
    let ended = clock.now();
    let place = tried.location;
    let mut checks = vec![match tried.warnings.first() {
        None => Check::good(NAME, format!("{place}: a file was written and removed")),
        Some(warning) => Check::warning(
            NAME,
            format!("{place}: a file was written and stays: {warning}"),
            "grant the right to remove objects (s3:DeleteObject, Storage Object User, Storage Blob \
             Data Contributor), or let the bucket's lifecycle remove old versions",
        ),
    }];
    checks.push(match tried.free_bytes {
        None => Check::good("room", "a store has no end"),
        Some(free) => room(free, need),
    });
    checks.extend(
        tried
            .written_at
            .map(|at| Check::clock("store clock", at, (begun, ended))),
    );
    checks
}

/// A dataset is rarely larger than its rows at the source, and the old version stays until the new
/// one is whole.
fn room(free: u64, need: u64) -> Check {
    const NAME: &str = "room";
    let megabytes = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
    if free < need {
        return Check::warning(
            NAME,
            format!(
                "{} free, and the rows take about {} at the source",
                megabytes(free),
                megabytes(need)
            ),
            "free some space or choose another --output",
        );
    }
    Check::good(NAME, format!("{} free", megabytes(free)))
}

/// Looks at the history's file; what is wrong with it ends a run only where it is `required`.
pub fn history(file: Result<&Path, Failure>, required: bool) -> Check {
    const NAME: &str = "history";
    let looked = file.and_then(|file| Ok((file, Store::look(file)?)));
    let (file, facts) = match looked {
        Ok(looked) => looked,
        Err(failure) if required => return Check::failed(NAME, &failure),
        Err(failure) => {
            let seen = format!("{}: {}; a run goes on without", failure.what, failure.why);
            return Check::warning(NAME, seen, failure.fix);
        }
    };
    let name = file.display();
    Check::good(
        NAME,
        match facts.bytes {
            None => format!("{name} is not there yet; the first run makes it"),
            Some(bytes) if facts.version < facts.known => format!(
                "{name}: {} KB, version {}; the next run brings it to {} and keeps a copy",
                bytes.div_ceil(1000),
                facts.version,
                facts.known
            ),
            Some(bytes) => format!(
                "{name}: {} KB, version {}, may be written",
                bytes.div_ceil(1000),
                facts.version
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckOutcome;

    fn facts(level: ConsistencyLevel, readers: u32, note: &str) -> SnapshotFacts {
        SnapshotFacts {
            level,
            readers,
            position: None,
            taken_at: String::new(),
            held_by: "a lock".to_owned(),
            notes: vec![note.to_owned()],
        }
    }

    #[test]
    fn a_missing_grant_is_the_fix() {
        let note = format!("one reader only; LOCK refused; {BY_ADMINISTRATOR}GRANT X");
        let found = achieved(
            &facts(ConsistencyLevel::SingleTransaction, 1, &note),
            Consistency::Auto,
        );
        assert_eq!(found.outcome, CheckOutcome::Warning);
        assert_eq!(found.fix.as_deref(), Some("GRANT X"));
        assert_eq!(
            found.seen,
            "one transaction, one reader: one reader only; LOCK refused"
        );
    }

    #[test]
    fn fewer_than_two_readers_is_less_than_could_be() {
        let outcome = |level, readers, asked| achieved(&facts(level, readers, "n"), asked).outcome;
        let (shared, chunks) = (ConsistencyLevel::SharedSnapshot, ConsistencyLevel::PerChunk);
        assert_eq!(outcome(shared, 2, Consistency::Auto), CheckOutcome::Good);
        assert_eq!(outcome(shared, 1, Consistency::Auto), CheckOutcome::Warning);
        assert_eq!(outcome(chunks, 2, Consistency::Auto), CheckOutcome::Warning);
        assert_eq!(
            outcome(chunks, 2, Consistency::PerChunk),
            CheckOutcome::Good
        );
    }

    #[test]
    fn a_full_server_and_a_full_disk_are_told() {
        let seen = |active, max| connections(SourceKind::Mysql, ConnectionLoad { max, active });
        assert_eq!(seen(98, 100).outcome, CheckOutcome::Good);
        assert_eq!(seen(99, 100).exit, Some(ExitCode::TryLater));
        assert_eq!(room(10, 11).outcome, CheckOutcome::Warning);
        assert_eq!(room(11, 11).outcome, CheckOutcome::Good);
    }
}
