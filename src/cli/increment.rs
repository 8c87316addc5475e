//! `--incremental`: fixing a window, before anything is planned.
//!
//! Its low bound is what the dataset's own list says was published last, its high bound the newest value
//! there is now, or what `--lag` leaves of it. The snapshot is opened after that, so every row that it sees
//! at or below the high bound is in the window, and what comes later is above it: or was committed late,
//! see `--lag`. Rows without a value are counted in the snapshot, see [`refuse_nulls`].

mod backfill;

use std::cmp::Ordering;
use std::path::PathBuf;

use super::context::Context;
use super::settings::{ObjectStoreSettings, SourceSettings};
use super::survey;
use crate::error::{ExitCode, Failure};
use crate::model::{
    Increment, KeyValue, Lag, PlannedWindow, Relation, RunRequest, Selection, Table, Watermark,
    Window, WindowDefinition,
};
use crate::source::{Source, SourceError, within};
use crate::ui::json::NothingNewDocument;
use crate::writer::Location;
use crate::writer::windows::{self, WindowList};

/// Where the output of a request is found.
pub(super) struct Target<'a> {
    /// The template of the output.
    pub(super) directory: &'a str,
    /// The database's settings, for its name.
    pub(super) source: &'a SourceSettings,
    /// How an object store is reached.
    pub(super) store: &'a ObjectStoreSettings,
}

/// One window that is to be extracted.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The window.
    pub(super) window: PlannedWindow,
    /// What a person should know of it.
    pub(super) notes: Vec<String>,
}

/// What there is to do for a request of windows.
pub(super) enum Work {
    /// These, one after the other: each fits in when those before it are published.
    Windows(Vec<Fixed>),
    /// Nothing is new.
    Nothing(NothingNewDocument),
}

/// Fixes the windows that a request asks for: one, or those of `--backfill`.
pub(super) async fn settle(
    context: &Context,
    source: &dyn Source,
    (request, increment): (&RunRequest, &Increment),
    target: &Target<'_>,
) -> Result<Work, Failure> {
    let describing = source.describe(&request.table, &request.selection, &request.types);
    let table = &context.interrupt.or::<_, SourceError>(describing).await?;
    let mark = &source.watermark(table, &increment.column)?;
    let of = (source.identity(), &table.relation);
    let dataset = survey::output(of, target.directory, target.source, context);
    let place: Location = target.store.locate(dataset.clone())?;
    let definition = definition(&request.selection, &table.relation, &mark.column);
    let wanted = definition.clone();
    let list = context
        .blocking(move || Ok(windows::look(&place, &wanted)?))
        .await?;
    context.printer.detail("fixing the window");
    let asking = source.newest(table, mark);
    let newest = context.interrupt.or::<_, SourceError>(asking).await?;
    let mut fixing = Fixing {
        context,
        source,
        increment,
        table,
        mark,
        list: list.as_ref(),
        end: None,
        newest: newest.as_ref(),
        notes: Vec::new(),
        dataset,
        definition,
    };
    fixing.hold_back().await?;
    match &increment.backfill {
        None => fixing.fix().await,
        Some(every) => fixing.backfill(every).await,
    }
}

/// The windows that a request is about.
pub(super) fn definition(
    selection: &Selection,
    relation: &Relation,
    column: &str,
) -> WindowDefinition {
    WindowDefinition {
        relation: relation.clone(),
        query: selection.query_template.clone(),
        filter: selection.filter_template.clone(),
        column: column.to_owned(),
    }
}

/// The table, cut down to a window.
pub(super) fn cut(
    source: &dyn Source,
    table: &mut Table,
    window: &Window,
) -> Result<(), SourceError> {
    let condition = source.window(window)?;
    table.filter = Some(within(table.filter.as_deref(), &condition));
    Ok(())
}

/// What runs of windows are remembered under: all windows of a column are alike.
pub(super) fn template(selection: &Selection, column: &str) -> Selection {
    let filter = selection.filter_template.as_deref().unwrap_or_default();
    Selection {
        filter_template: Some(format!("{filter}\n--incremental {column}")),
        ..selection.clone()
    }
}

/// Refuses a window in whose snapshot there are more rows without a value than windows hold: they would be
/// in none, ever, so they are refused rather than left out.
pub(super) fn refuse_nulls(planned: &PlannedWindow, found: u64, held: u64) -> Result<(), Failure> {
    if planned.window.nulls || found <= held {
        return Ok(());
    }
    let (relation, column) = (&planned.of.relation, &planned.of.column);
    let (count, fix) = if held > 0 {
        (
            format!("{} rows more than the first window took", found - held),
            "give these rows a value, or extract the first window again with --include-nulls \
             first-window and its --until"
                .to_owned(),
        )
    } else {
        (
            format!("{found} rows"),
            format!(
                "give these rows a value, leave them out with --where \"{column} IS NOT NULL\", or pass \
                 --include-nulls first-window with the first window: {column} would have to be filled \
                 from then on"
            ),
        )
    };
    Err(Failure::new(
        ExitCode::Refused,
        format!("rows of {relation} are in no window"),
        format!("{count} have no {column}, and no window is of NULL"),
        fix,
    ))
}

struct Fixing<'a> {
    context: &'a Context,
    source: &'a dyn Source,
    increment: &'a Increment,
    table: &'a Table,
    mark: &'a Watermark,
    list: Option<&'a WindowList>,
    newest: Option<&'a KeyValue>,
    /// The newest value, less what `--lag` holds back.
    end: Option<KeyValue>,
    /// What a person should know of the end.
    notes: Vec<String>,
    dataset: PathBuf,
    definition: WindowDefinition,
}

impl Fixing<'_> {
    /// Where the data that may be extracted ends.
    async fn hold_back(&mut self) -> Result<(), Failure> {
        let newest = self.newest.cloned();
        self.end = match (self.increment.lag, newest) {
            (Lag::None, newest) => newest,
            (Lag::Seconds(lag), None) => {
                // A column that can hold no time is refused, whether there are rows or not.
                self.lagging(lag, &KeyValue::typed("text", "1970-01-01"))?;
                None
            }
            (Lag::Seconds(lag), Some(newest)) => Some(self.lagging(lag, &newest)?),
            (Lag::Auto, newest) => {
                let asking = self.source.settled(self.table, self.mark);
                let settled = self.context.interrupt.or::<_, SourceError>(asking).await?;
                match newest {
                    Some(newest)
                        if self.order(&newest, &settled.value).await? == Ordering::Greater =>
                    {
                        let why = settled.why;
                        self.notes
                            .push(format!("held back to {}: {why}", settled.value));
                        Some(settled.value)
                    }
                    newest => newest,
                }
            }
        };
        Ok(())
    }

    /// A value so many seconds earlier.
    fn lagging(&self, lag_s: u64, newest: &KeyValue) -> Result<KeyValue, Failure> {
        let seconds = i64::try_from(lag_s).unwrap_or(i64::MAX);
        backfill::later(self.mark.kind, newest, -seconds).ok_or_else(|| {
            let why = match newest {
                KeyValue::Typed { text, .. } if backfill::can_hold_time(self.mark.kind) => {
                    format!(
                        "'{}' is no date or time of the years 0 to 9999",
                        KeyValue::typed("text", text)
                    )
                }
                _ => format!("its values are of type {}", self.mark.source_type),
            };
            Failure::new(
                ExitCode::Usage,
                format!(
                    "--lag is a length of time, and {} has none",
                    self.mark.column
                ),
                why,
                "leave --lag out, or pass --until with the value that the window is to end with",
            )
        })
    }

    async fn fix(mut self) -> Result<Work, Failure> {
        let from = self.bound("--from", self.increment.from.as_deref()).await?;
        let until = self
            .bound("--until", self.increment.until.as_deref())
            .await?;
        if let Some(again) = self.again(from.as_ref(), until.as_ref()) {
            return Ok(again);
        }
        let last = self.list.and_then(WindowList::high);
        if let (Some(from), Some(last)) = (&from, last) {
            match self.order(from, last).await? {
                Ordering::Less => return Err(self.refused("overlap", from, last)),
                Ordering::Greater => return Err(self.refused("leave a gap before", from, last)),
                Ordering::Equal => {}
            }
        }
        let low = last.cloned().or(from);
        let Some(high) = self.high(until).await? else {
            return self.nothing(format!("no row has a value in {}", self.mark.column));
        };
        if let Some(low) = &low
            && self.order(&high, low).await? != Ordering::Greater
        {
            let why = format!("everything up to {low} is published, and {high} is the end now");
            return self.nothing(why);
        }
        match (&low, self.list) {
            (None, _) => self
                .notes
                .push(format!("the first window: every row up to {high}")),
            (Some(low), None) => self
                .notes
                .push(format!("the first window: rows up to {low} are in none")),
            _ => {}
        }
        let fixed = Fixed {
            notes: std::mem::take(&mut self.notes),
            window: self.planned(low, high, self.takes_nulls()),
        };
        Ok(Work::Windows(vec![fixed]))
    }

    /// Whether the next window takes rows without a value.
    fn takes_nulls(&self) -> bool {
        self.list.is_none() && self.increment.include_nulls
    }

    fn planned(&self, low: Option<KeyValue>, high: KeyValue, nulls: bool) -> PlannedWindow {
        PlannedWindow {
            window: Window {
                column: self.mark.column.clone(),
                low,
                high,
                nulls,
            },
            of: self.definition.clone(),
            within: self.table.filter.clone(),
            nullable: self.mark.nullable,
        }
    }

    /// The end of a window that is wanted up to `until`; `None` where there are no rows.
    async fn high(&mut self, until: Option<KeyValue>) -> Result<Option<KeyValue>, Failure> {
        let (Some(end), Some(until)) = (self.end.clone(), until.clone()) else {
            return Ok(self.end.clone());
        };
        if self.order(&until, &end).await? != Ordering::Greater {
            // What holds the end back does not hold this back.
            self.notes.clear();
            return Ok(Some(until));
        }
        // Rows up to --until may still come, and would be in no window.
        self.notes.push(format!(
            "the window ends with {end}, not with {until}: nothing newer is there yet"
        ));
        Ok(Some(end))
    }

    /// The window of these bounds, if it was published before: it is extracted again.
    fn again(&self, from: Option<&KeyValue>, until: Option<&KeyValue>) -> Option<Work> {
        let entries = &self.list?.windows;
        let entry = entries
            .iter()
            .find(|entry| entry.window.low.as_ref() == from && Some(&entry.window.high) == until)?;
        let window = &entry.window;
        let first = entries.first().is_some_and(|first| first == entry);
        let nulls = window.nulls || first && self.increment.include_nulls;
        Some(Work::Windows(vec![Fixed {
            window: self.planned(window.low.clone(), window.high.clone(), nulls),
            notes: vec![format!("the window {window} is extracted again")],
        }]))
    }

    fn nothing(&self, why: String) -> Result<Work, Failure> {
        Ok(Work::Nothing(NothingNewDocument {
            status: "nothing new",
            dataset: self.dataset.display().to_string(),
            why,
        }))
    }

    fn refused(&self, does: &str, from: &KeyValue, last: &KeyValue) -> Failure {
        Failure::new(
            ExitCode::Refused,
            format!("a window after {from} would {does} those that are published"),
            format!(
                "the last window of {} ends with {last}",
                self.dataset.display()
            ),
            format!(
                "leave --from out, or pass --from and --until of a window that is there to extract it \
                 again; the next one begins after {last}"
            ),
        )
    }

    /// A bound that the user wrote, as the source understands it.
    async fn bound(&self, flag: &str, text: Option<&str>) -> Result<Option<KeyValue>, Failure> {
        let Some(text) = text else {
            return Ok(None);
        };
        let last = self.list.and_then(WindowList::high);
        let like = self.newest.or(last);
        let asking = self.source.bound(self.table, self.mark, text, like);
        let said = self.context.interrupt.or::<_, SourceError>(asking).await;
        said.map(Some).map_err(|failure| match failure.exit {
            ExitCode::Failed => Failure::new(
                ExitCode::Usage,
                format!("{flag} {text} is no value of {}", self.mark.column),
                failure.why,
                format!(
                    "write a value as the column's type {} has them",
                    self.mark.source_type
                ),
            ),
            _ => failure,
        })
    }

    async fn order(&self, one: &KeyValue, other: &KeyValue) -> Result<Ordering, Failure> {
        let asking = self.source.order(self.table, one, other);
        self.context.interrupt.or::<_, SourceError>(asking).await
    }
}
