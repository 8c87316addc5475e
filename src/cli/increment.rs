//! `--incremental`: fixing a window, before anything is planned.
//!
//! Its low bound is what the dataset's own list says was published last, its high bound the newest value
//! there is now. The snapshot is opened after that, so every row that it sees at or below the high bound
//! is in the window, and what comes later is above it: or was committed late, see `--lag`.

use std::cmp::Ordering;
use std::path::PathBuf;

use super::context::Context;
use super::settings::{ObjectStoreSettings, SourceSettings};
use super::survey;
use crate::error::{ExitCode, Failure};
use crate::model::{
    Increment, KeyValue, Newest, Relation, RunRequest, Selection, Table, Watermark, Window,
};
use crate::source::{Source, SourceError, within};
use crate::ui::json::NothingNewDocument;
use crate::writer::Location;
use crate::writer::windows::{self, Definition, WindowList};

/// Where the output of a request is found.
pub(super) struct Target<'a> {
    /// The template of the output.
    pub(super) directory: &'a str,
    /// The database's settings, for its name.
    pub(super) source: &'a SourceSettings,
    /// How an object store is reached.
    pub(super) store: &'a ObjectStoreSettings,
}

/// What there is to do.
enum Fixed {
    /// This window is to be extracted.
    Window {
        /// The window.
        window: Window,
        /// What a person should know of it.
        notes: Vec<String>,
    },
    /// Nothing is new.
    Nothing {
        /// Where the windows are.
        dataset: PathBuf,
        /// Why, in one line.
        why: String,
    },
}

/// What became of a request.
pub(super) enum Settled {
    /// It can be planned: it is for everything, or its window is fixed; with what a person should know.
    Ready(Vec<String>),
    /// There is nothing to do.
    Nothing(NothingNewDocument),
}

/// Fixes the window of a request, where it is for one.
pub(super) async fn settle(
    context: &Context,
    source: &dyn Source,
    request: &mut RunRequest,
    target: &Target<'_>,
) -> Result<Settled, Failure> {
    let Some(increment) = &request.increment else {
        return Ok(Settled::Ready(Vec::new()));
    };
    match fix(context, source, (request, increment), target).await? {
        Fixed::Window { window, notes } => {
            if let Some(increment) = &mut request.increment {
                increment.fixed = Some(window);
            }
            Ok(Settled::Ready(notes))
        }
        Fixed::Nothing { dataset, why } => Ok(Settled::Nothing(NothingNewDocument {
            status: "nothing new",
            dataset: dataset.display().to_string(),
            why,
        })),
    }
}

/// The windows that a request is about.
pub(super) fn definition(selection: &Selection, relation: &Relation, column: &str) -> Definition {
    Definition {
        relation: relation.clone(),
        query: selection.query_template.clone(),
        filter: selection.filter_template.clone(),
        column: column.to_owned(),
    }
}

/// Fixes the window of a request.
async fn fix(
    context: &Context,
    source: &dyn Source,
    (request, increment): (&RunRequest, &Increment),
    target: &Target<'_>,
) -> Result<Fixed, Failure> {
    let describing = source.describe(&request.table, &request.selection, &request.types);
    let table = &context.interrupt.or::<_, SourceError>(describing).await?;
    let mark = source.watermark(table, &increment.column)?;
    check_lag(increment, &mark)?;
    let of = (source.identity(), &table.relation);
    let dataset = survey::output(of, target.directory, target.source, context);
    let place: Location = target.store.locate(dataset.clone())?;
    let wanted = definition(&request.selection, &table.relation, &mark.column);
    let list = context
        .blocking(move || Ok(windows::look(&place, &wanted)?))
        .await?;
    context.printer.detail("fixing the window");
    let asking = source.newest(table, &mark, increment.lag_s);
    let newest = context.interrupt.or::<_, SourceError>(asking).await?;
    let fixing = Fixing {
        context,
        source,
        increment,
        table,
        mark: &mark,
        list: list.as_ref(),
        newest: &newest,
        dataset,
    };
    fixing.fix().await
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

fn check_lag(increment: &Increment, mark: &Watermark) -> Result<(), Failure> {
    if increment.lag_s == 0 || mark.kind.has_time() {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Usage,
        format!("--lag is a length of time, and {} has none", mark.column),
        format!("its values are of type {}", mark.source_type),
        "leave --lag out, or pass --until with the value that the window is to end with",
    ))
}

struct Fixing<'a> {
    context: &'a Context,
    source: &'a dyn Source,
    increment: &'a Increment,
    table: &'a Table,
    mark: &'a Watermark,
    list: Option<&'a WindowList>,
    newest: &'a Newest,
    dataset: PathBuf,
}

impl Fixing<'_> {
    async fn fix(self) -> Result<Fixed, Failure> {
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
        let mut notes = Vec::new();
        let low = last.cloned().or(from);
        let high = match (until, &self.newest.held_back) {
            (_, None) => None,
            (None, Some(newest)) => Some(newest.clone()),
            (Some(until), Some(newest)) => {
                if self.order(&until, newest).await? == Ordering::Greater {
                    // Rows up to --until may still come, and would be in no window.
                    notes.push(format!(
                        "the window ends with {newest}, not with {until}: nothing newer is there yet"
                    ));
                    Some(newest.clone())
                } else {
                    Some(until)
                }
            }
        };
        let Some(high) = high else {
            return self.nothing(format!("no row has a value in {}", self.mark.column));
        };
        if let Some(low) = &low
            && self.order(&high, low).await? != Ordering::Greater
        {
            let why = format!("everything up to {low} is published, and {high} is the end now");
            return self.nothing(why);
        }
        match (&low, self.list) {
            (None, _) => notes.push(format!("the first window: every row up to {high}")),
            (Some(low), None) => {
                notes.push(format!("the first window: rows up to {low} are in none"))
            }
            _ => {}
        }
        let nulls = self.nulls(low.is_none(), &mut notes)?;
        let window = Window {
            column: self.mark.column.clone(),
            low,
            high,
            nulls,
        };
        Ok(Fixed::Window { window, notes })
    }

    /// The window of these bounds, if it was published before: it is extracted again.
    fn again(&self, from: Option<&KeyValue>, until: Option<&KeyValue>) -> Option<Fixed> {
        let entries = &self.list?.windows;
        let entry = entries
            .iter()
            .find(|entry| entry.window.low.as_ref() == from && Some(&entry.window.high) == until)?;
        let mut window = entry.window.clone();
        let first = entries.first().is_some_and(|first| first == entry);
        let asked = first && self.increment.include_nulls && self.newest.nulls > 0;
        if asked || window.nulls.is_some() {
            window.nulls = Some(self.newest.nulls);
        }
        let notes = vec![format!("the window {window} is extracted again")];
        Some(Fixed::Window { window, notes })
    }

    /// How many rows without a value the window takes, if any. Such rows would be in no window, ever, so they
    /// are refused rather than left out.
    fn nulls(&self, first: bool, notes: &mut Vec<String>) -> Result<Option<u64>, Failure> {
        let found = self.newest.nulls;
        let column = &self.mark.column;
        if first && self.increment.include_nulls {
            if found > 0 {
                notes.push(format!("{found} rows without {column} are in this window"));
            }
            return Ok((found > 0).then_some(found));
        }
        let taken = self.list.map_or(0, WindowList::nulls);
        if found <= taken {
            return Ok(None);
        }
        let (fix, count) = if self.list.is_some() {
            let fix = format!(
                "give these rows a value, or leave them out with --where \"{column} IS NOT NULL\" and a new \
                 --output"
            );
            (
                fix,
                format!("{} rows more than the first window took", found - taken),
            )
        } else {
            let fix = format!(
                "give these rows a value, leave them out with --where, or pass --include-nulls \
                 first-window: {column} would have to be filled from then on"
            );
            (fix, format!("{found} rows"))
        };
        Err(Failure::new(
            ExitCode::Refused,
            format!("rows of {} are in no window", self.table.relation),
            format!("{count} have no {column}, and no window is of NULL"),
            fix,
        ))
    }

    fn nothing(&self, why: String) -> Result<Fixed, Failure> {
        Ok(Fixed::Nothing {
            dataset: self.dataset.clone(),
            why,
        })
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
        let like = self.newest.value.as_ref().or(last);
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
