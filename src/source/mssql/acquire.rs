//! Opening all readers at one point in time: lock, freeze, thaw.
//!
//! A transaction of SNAPSHOT isolation stands at the point of its first read. So a session that reads in
//! none of them holds a shared lock of the table, which keeps writers out, while every reader, and one
//! spare, makes its first read; then it lets go. Where the database does not allow that isolation, one
//! session keeps the lock to the end.

use futures_util::future::join_all;

use super::super::frozen::{self, cause};
use super::super::seats::Line;
use super::super::{BY_ADMINISTRATOR, Result, SnapshotRequest, SourceError};
use super::Base;
use super::catalog::{self, Entry};
use super::classify::Subject;
use super::connect::Link;
use super::sql::{Statement, from_item, quote_identifier, quote_relation};
use crate::model::{Consistency, ReadSpec, RelationKind};

/// Every statement sees one point in time, that of the first.
const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION";

/// What was read stays as it is to the end.
const SERIALIZABLE: &str = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; BEGIN TRANSACTION";

/// Sessions that stand at one point in time, as far as their level says.
pub(super) struct Acquired {
    pub(super) sessions: frozen::Acquired<Link>,
    /// What every session begins with.
    pub(super) isolation: &'static str,
    /// What the catalogue said of the relation then; nothing of a query, nor where each chunk has its
    /// own point in time.
    pub(super) entry: Option<Entry>,
}

/// What is to be opened.
pub(super) struct Acquisition<'a> {
    pub(super) base: &'a Base,
    pub(super) read: &'a ReadSpec,
    pub(super) request: &'a SnapshotRequest,
    pub(super) subject: &'a Subject,
}

/// What the database allows.
pub(super) struct Allowed {
    /// Transactions of SNAPSHOT isolation.
    pub(super) snapshot: bool,
    /// Statements of READ COMMITTED see one point in time each.
    versioned: bool,
}

/// Asks for it.
pub(super) async fn allowed(base: &Base, link: &mut Link) -> Result<Allowed> {
    let sql = "SELECT snapshot_isolation_state, CAST(is_read_committed_snapshot_on AS int) \
               FROM sys.databases WHERE name = DB_NAME()";
    let rows = link.ask(&base.catalogue(), &Statement::plain(sql)).await?;
    let is_on = |index: usize| {
        let text = rows.first().and_then(|row| row.get(index)?.as_deref());
        text == Some("1")
    };
    Ok(Allowed {
        snapshot: is_on(0),
        versioned: is_on(1),
    })
}

/// The statement that lets several readers share one point in time.
pub(super) fn remedy(base: &Base) -> String {
    format!(
        "ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON",
        quote_identifier(&base.connector.place().database)
    )
}

impl Acquisition<'_> {
    /// Opens the sessions.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`], [`SourceError::Consistency`] or [`SourceError::Locked`] when several
    /// readers of one point in time were demanded and cannot be had.
    pub(super) async fn acquire(&self) -> Result<Acquired> {
        let allowed = {
            let mut link = self.base.link().await?;
            allowed(self.base, &mut link).await?
        };
        if self.request.consistency == Consistency::PerChunk {
            return self.per_chunk(&allowed).await;
        }
        if !allowed.snapshot {
            if self.request.consistency == Consistency::Snapshot && self.request.sessions > 1 {
                return Err(self.not_allowed());
            }
            return self.locked().await;
        }
        if self.request.sessions <= 1 {
            return self.alone(None).await;
        }
        let why = match self.together().await {
            Ok(acquired) => return Ok(acquired),
            Err(error) => cause(self.request.consistency, error)?,
        };
        self.alone(Some(why)).await
    }

    fn not_allowed(&self) -> SourceError {
        SourceError::Unsupported {
            what: format!(
                "cannot give {} readers of {} one point in time",
                self.request.sessions, self.read.relation
            ),
            why: format!(
                "SNAPSHOT isolation is not allowed in the database {} (error 3952)",
                self.base.connector.place().database
            ),
            fix: format!(
                "let an owner run {}, or pass --consistency auto to read with one session, or per-chunk",
                remedy(self.base)
            ),
        }
    }

    fn from(&self) -> String {
        from_item(&self.read.relation, self.read.query.as_deref())
    }

    /// A first read of the relation: it is there that the point in time is taken.
    fn touch(&self, hints: &str) -> Statement {
        Statement::plain(format!(
            "SELECT TOP (1) 1 AS one FROM {}{hints}",
            self.from()
        ))
    }

    /// Each chunk has its own point in time: there is nothing to open yet.
    async fn per_chunk(&self, allowed: &Allowed) -> Result<Acquired> {
        let mut link = self.base.link().await?;
        catalog::check_columns(self.base, &mut link, self.read).await?;
        let (isolation, note) = if allowed.snapshot {
            ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", None)
        } else if allowed.versioned {
            ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", None)
        } else {
            let note = format!(
                "without row versions rows may change place while a chunk is read, and be met twice \
                 or not at all; {BY_ADMINISTRATOR}{}",
                remedy(self.base)
            );
            ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", Some(note))
        };
        let taken_at = self.now(&mut link).await?;
        let notes = note.into_iter().collect();
        Ok(Acquired {
            sessions: frozen::Acquired::per_chunk(self.request, taken_at, notes),
            isolation,
            entry: None,
        })
    }

    /// Readers that begin while a lock keeps writers out, for as short a time as can be: they are
    /// connected before it is taken.
    async fn together(&self) -> Result<Acquired> {
        let wanted = self.request.sessions as usize + 1;
        let mut gate = self.open_one().await?;
        let mut links = self.open(wanted).await?;
        if let Err(error) = self.lock(&mut gate).await {
            // There may be room for one more only when these are gone.
            join_all(links.into_iter().map(Link::close)).await;
            return Err(error);
        }
        let begun = join_all(links.iter_mut().map(|link| self.begin(link))).await;
        let described = self.described(&mut gate).await;
        gate.run(self.subject, "ROLLBACK TRANSACTION").await?;
        gate.close().await;
        begun.into_iter().collect::<Result<()>>()?;
        let (entry, position, taken_at) = described?;
        let held_by = "a shared table lock while all began, object id and modify_date to the end";
        let mut sessions = frozen::Acquired::together(links, wanted, held_by, taken_at);
        sessions.position = position;
        Ok(Acquired {
            sessions,
            isolation: SNAPSHOT,
            entry,
        })
    }

    /// One reader for everything; `why` says what keeps several from standing at one point.
    async fn alone(&self, why: Option<String>) -> Result<Acquired> {
        let mut link = self.open_one().await?;
        self.begin(&mut link).await?;
        let (entry, position, taken_at) = self.described(&mut link).await?;
        let held_by = "object id and modify_date, compared at the end";
        let mut sessions = frozen::Acquired::alone(link, held_by, taken_at);
        sessions.position = position;
        let why = why.map(|why| format!("one reader only; {why}"));
        sessions.notes.extend(why);
        Ok(Acquired {
            sessions,
            isolation: SNAPSHOT,
            entry,
        })
    }

    /// Without row versions: one reader, before whom writers wait until everything is read.
    async fn locked(&self) -> Result<Acquired> {
        let mut link = self.open_one().await?;
        link.run(self.subject, SERIALIZABLE).await?;
        self.ask(&mut link, &self.touch(self.hints())).await?;
        let (entry, position, taken_at) = self.described(&mut link).await?;
        let mut notes = vec![format!(
            "one reader only, and writers of the table wait while it reads: SNAPSHOT isolation is not \
             allowed here; {BY_ADMINISTRATOR}{}",
            remedy(self.base)
        )];
        // Nobody is refused there: whoever lacks the right sees himself alone.
        let question = Statement::plain(self.base.server.may_see_others());
        let answers = link.ask(self.subject, &question).await?;
        if answers.into_iter().flatten().flatten().next().as_deref() != Some("1") {
            notes.push(format!(
                "who waits for us is not shown without {}",
                self.base.server.state_grant()
            ));
        }
        let held_by = "a shared table lock, held to the end";
        let mut sessions = frozen::Acquired::alone(link, held_by, taken_at);
        sessions.position = position;
        sessions.notes = notes;
        Ok(Acquired {
            sessions,
            isolation: SERIALIZABLE,
            entry,
        })
    }

    /// What keeps writers out: a lock of the table, or of all of a view's. Of a query, what it reads is
    /// locked as it is read.
    fn hints(&self) -> &'static str {
        match self.read.kind {
            RelationKind::Query => "",
            _ => " WITH (TABLOCK, HOLDLOCK)",
        }
    }

    /// The lock that keeps writers out, on a session of its own.
    async fn lock(&self, gate: &mut Link) -> Result<()> {
        if self.read.kind == RelationKind::Query {
            return Err(SourceError::Consistency {
                object: self.read.relation.to_string(),
                why: "several sessions can begin together only under a lock, and a query's tables \
                      are not known"
                    .to_owned(),
            });
        }
        gate.run(self.subject, SERIALIZABLE).await?;
        let locked = format!(
            "SELECT TOP (1) 1 AS one FROM {}{}",
            quote_relation(&self.read.relation),
            self.hints()
        );
        self.ask(gate, &Statement::plain(locked)).await
    }

    async fn ask(&self, link: &mut Link, statement: &Statement) -> Result<()> {
        link.ask(self.subject, statement).await.map(drop)
    }

    async fn open_one(&self) -> Result<Link> {
        self.base.connector.open(self.request.lock_wait).await
    }

    async fn open(&self, wanted: usize) -> Result<Vec<Link>> {
        frozen::open_several(wanted, || self.open_one()).await
    }

    /// Begins a reader's transaction and takes its point in time.
    async fn begin(&self, link: &mut Link) -> Result<()> {
        link.run(self.subject, SNAPSHOT).await?;
        self.ask(link, &self.touch("")).await
    }

    /// What the catalogue says of the relation, checked against the plan; the server's position and
    /// clock.
    async fn described(&self, link: &mut Link) -> Result<(Option<Entry>, Option<String>, String)> {
        catalog::check_columns(self.base, link, self.read).await?;
        let entry = match self.read.query {
            Some(_) => None,
            None => catalog::entry(self.base, link, &self.read.relation).await?,
        };
        let position = self.position(link).await;
        Ok((entry, position, self.now(link).await?))
    }

    /// The server's clock, in UTC.
    async fn now(&self, link: &mut Link) -> Result<String> {
        let sql = "SELECT CONVERT(nvarchar(40), SYSUTCDATETIME(), 126)";
        let rows = link.ask(self.subject, &Statement::plain(sql)).await?;
        let text = rows.into_iter().flatten().flatten().next();
        Ok(format!("{}Z", text.unwrap_or_default()))
    }

    /// Every row with a `rowversion` below it was committed before.
    async fn position(&self, link: &mut Link) -> Option<String> {
        let sql = "SELECT CONVERT(nvarchar(20), MIN_ACTIVE_ROWVERSION(), 1)";
        match link.try_ask(&Statement::plain(sql)).await {
            Ok(rows) => {
                let text = rows.into_iter().flatten().flatten().next();
                text.map(|text| format!("rowversion {text}"))
            }
            Err(error) => {
                tracing::debug!("no position: {}", super::classify::words(&error));
                None
            }
        }
    }
}
