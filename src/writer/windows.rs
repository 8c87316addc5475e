//! An incremental dataset: windows, each a dataset of its own, and one list that names them in order.
//!
//! A window is published like any dataset, under `_windows/`; then the list, the root's
//! `_manifest.json`, is replaced in one step. Only the list says what is there: a run that is killed
//! between the two leaves a window that nobody is told of, and the next one begins where the list ends.
//! That bound is all that decides what a run reads, so a lost history repeats nothing and loses nothing.

mod unlisted;

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::location::Location;
use super::manifest::{self, MANIFEST_VERSION, Manifest};
use super::place::{self, Lock};
use super::store::Store;
use super::{Result, WriteError, names, stable};
use crate::model::{KeyValue, RunId, SourceIdentity, Window, WindowDefinition};

/// The `layout` of a list; no dataset has it.
const LAYOUT: &str = "windows";

/// What is different between two definitions, in one line.
fn difference(then: &WindowDefinition, now: &WindowDefinition) -> Option<String> {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    [
        ("cut on", then.column.clone(), now.column.clone()),
        ("of", then.relation.to_string(), now.relation.to_string()),
        ("with --where", shown(&then.filter), shown(&now.filter)),
        ("with --query", shown(&then.query), shown(&now.query)),
    ]
    .into_iter()
    .find(|(_, then, now)| then != now)
    .map(|(what, then, now)| format!("they are {what} {then}, and now it would be {now}"))
}

/// One window of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowEntry {
    /// Its bounds.
    pub window: Window,
    /// Where its dataset is, inside the list's.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Rows without a value among them, as many as there were in the snapshot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nulls: u64,
    /// The run that published it.
    pub run: RunId,
    /// When that was, UTC.
    pub published_at: Timestamp,
}

// serde's signature.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The list: `_manifest.json` of an incremental dataset. Fields are written in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowList {
    /// [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// The version of ixtract that wrote it.
    pub ixtract: String,
    /// Always `windows`.
    pub layout: String,
    /// The name of the dataset's directory.
    pub dataset: String,
    /// The database that the newest window was read from. No secrets.
    pub source: SourceIdentity,
    /// Which rows it is about.
    #[serde(flatten)]
    pub definition: WindowDefinition,
    /// Rows of all windows.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The windows, each beginning where the one before it ends.
    pub windows: Vec<WindowEntry>,
    /// SHA-256 over this document without this field, keys sorted, without white space.
    pub checksum: String,
}

impl WindowList {
    /// Whether a document is a list of windows, of any version.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Probe {
            layout: String,
        }
        serde_json::from_slice::<Probe>(bytes).is_ok_and(|probe| probe.layout == LAYOUT)
    }

    /// The list of a folder; none where there is nothing, or a dataset that is none.
    pub(super) fn find(folder: &dyn Folder) -> Result<Option<Self>> {
        match folder.read(names::MANIFEST)? {
            Some(bytes) if Self::is_one(&bytes) => Self::read(&bytes, &folder.shown()).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn read(bytes: &[u8], shown: &str) -> Result<Self> {
        Self::parse(bytes).map_err(|why| WriteError::Manifest {
            path: shown.to_owned(),
            why: format!("{}: {why}", names::MANIFEST),
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        manifest::check_version(bytes)?;
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        // What it lists is read, and swept when it is not listed: never outside the dataset.
        if let Some(entry) = list.windows.iter().find(|e| !manifest::is_inside(&e.path)) {
            return Err(format!("'{}' is no path inside the dataset", entry.path));
        }
        list.check()?;
        Ok(list)
    }

    /// That no window is missing, comes twice or is of another column.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        for pair in self.windows.windows(2) {
            let (one, next) = (&pair[0].window, &pair[1].window);
            if next.low.as_ref() != Some(&one.high) {
                return Err(format!("'{next}' does not begin where '{one}' ends"));
            }
        }
        let other = self
            .windows
            .iter()
            .find(|e| e.window.column != self.definition.column);
        match other {
            Some(entry) => Err(format!(
                "'{}' is not cut on {}",
                entry.window, self.definition.column
            )),
            None => Ok(()),
        }
    }

    /// The value that the next window begins after.
    pub fn high(&self) -> Option<&KeyValue> {
        self.windows.last().map(|entry| &entry.window.high)
    }

    /// The value that its windows begin after, `None` where they begin with the first row, and the one that
    /// they end with.
    pub fn ends(&self) -> Option<(Option<&KeyValue>, &KeyValue)> {
        let first = self.windows.first()?;
        Some((first.window.low.as_ref(), self.high()?))
    }

    /// Whether a window ends where the first of these begins.
    fn precedes(&self, window: &Window) -> bool {
        let first = self.windows.first();
        first.is_some_and(|first| first.window.low.as_ref() == Some(&window.high))
    }

    /// Rows without a value that its windows hold.
    pub fn nulls(&self) -> u64 {
        self.windows.iter().map(|entry| entry.nulls).sum()
    }

    fn seal(mut self) -> (Self, Vec<u8>) {
        self.rows = self.windows.iter().map(|entry| entry.rows).sum();
        self.bytes = self.windows.iter().map(|entry| entry.bytes).sum();
        self.checksum = self.expected_checksum();
        // A struct of strings, numbers and lists always serialises.
        let mut text = serde_json::to_vec_pretty(&self).unwrap_or_default();
        text.push(b'\n');
        (self, text)
    }

    /// The checksum that the other fields ask for; differs from `checksum` after an edit.
    pub(super) fn expected_checksum(&self) -> String {
        manifest::checksum(self)
    }
}

/// Looks up the windows of a place, and whether further ones of this definition may follow them; none
/// where nothing is there yet.
///
/// # Errors
/// [`WriteError::NotWindowed`] for a dataset that has no windows; [`WriteError::OtherWindows`] for
/// windows of other rows; [`WriteError::Manifest`] for a list that is broken or was edited.
pub fn look(
    place: impl Into<Location>,
    definition: &WindowDefinition,
) -> Result<Option<WindowList>> {
    let place = place.into();
    let folder = place.folder();
    let found = folder.read(names::MANIFEST)?;
    understood(found.as_deref(), &folder.shown(), definition)
}

fn understood(
    found: Option<&[u8]>,
    shown: &str,
    definition: &WindowDefinition,
) -> Result<Option<WindowList>> {
    let path = || shown.to_owned();
    let Some(bytes) = found else {
        return Ok(None);
    };
    if !WindowList::is_one(bytes) {
        return Err(WriteError::NotWindowed { path: path() });
    }
    let list = WindowList::read(bytes, shown)?;
    if list.checksum != list.expected_checksum() {
        return Err(WriteError::Manifest {
            path: path(),
            why: format!("{} was edited", names::MANIFEST),
        });
    }
    match difference(&list.definition, definition) {
        Some(why) => Err(WriteError::OtherWindows { path: path(), why }),
        None => Ok(Some(list)),
    }
}

/// The windows of a place, taken for one more.
#[derive(Debug)]
pub struct Windows {
    place: Location,
    definition: WindowDefinition,
    list: Option<WindowList>,
    warnings: Vec<String>,
    hold: Hold,
}

/// What keeps other runs from listing a window meanwhile.
#[derive(Debug)]
enum Hold {
    /// The lock of the directory, and whether it was made for this run.
    Lock(Lock, bool),
    /// The version of the list, over which alone the next one is put.
    Version(Option<UpdateVersion>),
}

impl Windows {
    /// Takes a place for the `window` of a run, and removes what dead runs left that no list names.
    ///
    /// # Errors
    /// [`WriteError::Held`] where another run has it; [`WriteError::WindowMoved`] where the window
    /// neither follows those that are there nor is one of them; [`WriteError::Foreign`]; those of
    /// [`look`].
    pub fn take(
        place: impl Into<Location>,
        run: &RunId,
        definition: WindowDefinition,
        window: &Window,
    ) -> Result<Self> {
        Self::take_sparing(place, (run, &[]), definition, window)
    }

    /// [`Windows::take`], but what these unfinished runs left stays.
    ///
    /// # Errors
    /// Those of [`Windows::take`].
    pub fn take_sparing(
        place: impl Into<Location>,
        (run, spared): (&RunId, &[RunId]),
        definition: WindowDefinition,
        window: &Window,
    ) -> Result<Self> {
        let windows = match place.into() {
            Location::Local(directory) => Self::lock(&directory, (run, spared), definition)?,
            Location::Store(store) => Self::find(store, definition)?,
        };
        match windows.follows(window) {
            Ok(()) => Ok(windows),
            Err(why) => {
                let path = windows.place.to_string();
                windows.abandon();
                let window = window.to_string();
                Err(WriteError::WindowMoved { path, window, why })
            }
        }
    }

    fn lock(
        directory: &Path,
        (run, spared): (&RunId, &[RunId]),
        definition: WindowDefinition,
    ) -> Result<Self> {
        let directory = place::resolve(directory)?;
        let created = !directory.exists();
        stable::create_directories(&directory)?;
        let lock = Lock::take(directory.join(names::INNER_LOCK), &directory, run)?;
        let place = Location::Local(directory.clone());
        let list = look(&place, &definition)?;
        for entry in place::entries(&directory)? {
            let name = entry.to_string_lossy();
            if !names::is_in_windows_root(&name) {
                return Err(WriteError::Foreign {
                    path: directory.display().to_string(),
                    file: name.into_owned(),
                });
            }
        }
        let mut warnings = Vec::new();
        stable::remove_file(&directory.join(names::unfinished(names::MANIFEST)))?;
        unlisted::sweep(&directory, list.as_ref(), spared, &mut warnings)?;
        Ok(Self {
            place,
            definition,
            list,
            warnings,
            hold: Hold::Lock(lock, created),
        })
    }

    fn find(store: Store, definition: WindowDefinition) -> Result<Self> {
        let found = store.find(names::MANIFEST)?;
        let shown = store.to_string();
        let bytes = found.as_ref().map(|found| found.bytes.as_ref());
        let list = understood(bytes, &shown, &definition)?;
        Ok(Self {
            list,
            definition,
            warnings: Vec::new(),
            hold: Hold::Version(found.map(|found| found.version)),
            place: Location::Store(store),
        })
    }

    /// Whether the window is one of those that are listed, or the next.
    fn follows(&self, window: &Window) -> std::result::Result<(), String> {
        let Some(list) = &self.list else {
            return Ok(());
        };
        if list
            .windows
            .iter()
            .any(|entry| entry.window.is_same_range(window))
        {
            return Ok(());
        }
        match list.ends() {
            None => Ok(()),
            Some((_, last)) if window.low.as_ref() == Some(last) => Ok(()),
            Some((Some(first), _)) if window.high == *first => Ok(()),
            Some((_, last)) => Err(format!(
                "the last window that is published there ends with {last}"
            )),
        }
    }

    /// Rows without a value that its windows hold: no more may be there, since no later window takes any.
    pub fn nulls(&self) -> u64 {
        self.list.as_ref().map_or(0, WindowList::nulls)
    }

    /// Where the windows are; a directory's real path.
    pub fn place(&self) -> &Location {
        &self.place
    }

    /// Where the dataset of a window goes.
    pub fn dataset(&self, window: &Window) -> Location {
        self.place.inside(&names::in_windows(&window.folder()))
    }

    /// Lists a window that was published, in one step, in place of the one with its bounds, as the last or
    /// as the first. What went wrong beside it is in the list.
    ///
    /// # Errors
    /// [`WriteError::Io`] and [`WriteError::Overtaken`], among others: the window is then in no list.
    pub fn record(mut self, window: &Window, manifest: &Manifest) -> Result<Vec<String>> {
        let entry = WindowEntry {
            window: window.clone(),
            path: names::in_windows(&window.folder()),
            rows: manifest.rows,
            bytes: manifest.bytes,
            nulls: manifest.unmarked.filter(|_| window.nulls).unwrap_or(0),
            run: manifest.run.clone(),
            published_at: manifest.created_at,
        };
        let before = self.list.take().map(|list| list.windows);
        let mut list = WindowList {
            manifest_version: MANIFEST_VERSION,
            ixtract: env!("CARGO_PKG_VERSION").to_owned(),
            layout: LAYOUT.to_owned(),
            dataset: self.place.name(),
            source: manifest.source.clone(),
            definition: self.definition.clone(),
            rows: 0,
            bytes: 0,
            windows: before.unwrap_or_default(),
            checksum: String::new(),
        };
        let same = |one: &WindowEntry| one.window.is_same_range(window);
        match list.windows.iter().position(same) {
            Some(place) => list.windows[place] = entry,
            None if list.precedes(window) => list.windows.insert(0, entry),
            None => list.windows.push(entry),
        }
        let (_, bytes) = list.seal();
        match (&self.place, self.hold) {
            (Location::Local(directory), Hold::Lock(lock, _)) => {
                stable::write(&directory.join(names::MANIFEST), &bytes)?;
                drop(lock);
            }
            (Location::Store(store), Hold::Version(over)) => {
                store.put_manifest(bytes.into(), over)?;
            }
            // `take` makes no others.
            (Location::Local(_), Hold::Version(_)) | (Location::Store(_), Hold::Lock(..)) => {}
        }
        Ok(self.warnings)
    }

    /// Gives the place up; a directory that was made for nothing goes again.
    pub fn abandon(self) {
        if let (Location::Local(directory), Hold::Lock(lock, created)) = (self.place, self.hold) {
            drop(lock);
            if created {
                // Unless another run has moved in already.
                let _ = fs::remove_dir(directory.join(names::WINDOWS));
                let _ = fs::remove_dir(directory);
            }
        }
    }
}

/// The windows of a place; none where there is nothing, or a dataset that has none.
///
/// # Errors
/// [`WriteError::Manifest`] for a list that is broken.
pub fn find(place: impl Into<Location>) -> Result<Option<WindowList>> {
    WindowList::find(place.into().folder().as_ref())
}

/// Whether a window that this run published is in the list of a place.
pub fn lists(place: impl Into<Location>, run: &RunId) -> bool {
    let place = place.into();
    let found = WindowList::find(place.folder().as_ref());
    found.is_ok_and(|list| list.is_some_and(|list| list.windows.iter().any(|of| of.run == *run)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use crate::model::{Relation, SourceKind};

    fn definition() -> WindowDefinition {
        WindowDefinition {
            relation: Relation {
                schema: "public".to_owned(),
                name: "t".to_owned(),
            },
            query: None,
            filter: None,
            column: "id".to_owned(),
        }
    }

    fn window(low: Option<i128>, high: i128) -> Window {
        Window {
            column: "id".to_owned(),
            low: low.map(KeyValue::Int),
            high: KeyValue::Int(high),
            nulls: false,
        }
    }

    fn list(windows: Vec<Window>) -> WindowList {
        let entry = |window: Window| WindowEntry {
            path: names::in_windows(&window.folder()),
            window,
            rows: 1,
            bytes: 2,
            nulls: 0,
            run: RunId::stored("rx-1".to_owned()),
            published_at: Timestamp::UNIX_EPOCH,
        };
        WindowList {
            manifest_version: MANIFEST_VERSION,
            ixtract: "1".to_owned(),
            layout: LAYOUT.to_owned(),
            dataset: "t".to_owned(),
            source: SourceIdentity {
                kind: SourceKind::Sqlite,
                host: String::new(),
                port: 0,
                database: "/d.db".to_owned(),
                name: None,
            },
            definition: definition(),
            rows: 0,
            bytes: 0,
            windows: windows.into_iter().map(entry).collect(),
            checksum: String::new(),
        }
    }

    #[test]
    fn a_list_without_gap_or_overlap_is_read_back() {
        let whole = list(vec![window(None, 5), window(Some(5), 9)]);
        let (sealed, bytes) = whole.seal();
        assert!(WindowList::is_one(&bytes));
        assert_eq!((sealed.rows, sealed.bytes), (2, 4));
        assert_eq!(WindowList::read(&bytes, "d").unwrap(), sealed);
        for wrong in [
            vec![window(None, 5), window(Some(6), 9)],
            vec![window(None, 5), window(Some(4), 9)],
            vec![window(None, 5), window(None, 9)],
        ] {
            let (_, bytes) = list(wrong).seal();
            assert!(WindowList::read(&bytes, "d").is_err());
        }
    }

    #[test]
    fn windows_of_other_rows_and_edited_lists_are_refused() {
        let (_, bytes) = list(vec![window(None, 5)]).seal();
        let why =
            |refused: Result<Option<WindowList>>| Failure::from(refused.expect_err("refused")).why;
        let other = |change: fn(&mut WindowDefinition)| {
            let mut now = definition();
            change(&mut now);
            why(understood(Some(&bytes), "d", &now))
        };
        assert!(other(|now| now.column = "at".to_owned()).contains("cut on id"));
        assert!(other(|now| now.filter = Some("a".to_owned())).contains("--where none"));
        assert!(other(|now| now.relation.name = "u".to_owned()).contains("public.u"));
        let edited = String::from_utf8(bytes)
            .unwrap()
            .replace("\"rows\": 1,", "\"rows\": 2,");
        let refused = understood(Some(edited.as_bytes()), "d", &definition());
        assert!(why(refused).contains("edited"));
        let refused = understood(Some(b"{}"), "d", &definition());
        assert!(matches!(refused, Err(WriteError::NotWindowed { .. })));
    }

    #[test]
    fn only_the_next_window_or_one_that_is_there_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let (_, bytes) = list(vec![window(None, 5), window(Some(5), 9)]).seal();
        fs::write(root.path().join(names::MANIFEST), bytes).unwrap();
        let take = |window| {
            Windows::take(
                root.path(),
                &RunId::stored("rx-2".to_owned()),
                definition(),
                &window,
            )
        };
        for fits in [window(Some(9), 12), window(None, 5), window(Some(5), 9)] {
            take(fits).unwrap().abandon();
        }
        for moved in [window(Some(10), 12), window(Some(5), 12), window(None, 12)] {
            assert!(matches!(take(moved), Err(WriteError::WindowMoved { .. })));
        }
        fs::write(root.path().join("notes.txt"), "mine").unwrap();
        let refused = take(window(Some(9), 12));
        assert!(matches!(refused, Err(WriteError::Foreign { .. })));
    }

    #[test]
    fn a_window_that_no_list_names_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let (_, bytes) = list(vec![window(None, 5)]).seal();
        fs::write(root.path().join(names::MANIFEST), bytes).unwrap();
        let folder = |name: &str| root.path().join(names::WINDOWS).join(name);
        for name in ["first_5", "5_7", ".5_7.ixtract-staging-ab12"] {
            fs::create_dir_all(folder(name)).unwrap();
            fs::write(folder(name).join("part-00001-001-ab12.parquet"), "x").unwrap();
        }
        let run = folder("5_8").join(names::RUNS).join("rx-1");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("part-00001-001-ab12.parquet"), "x").unwrap();
        let windows = Windows::take(
            root.path(),
            &RunId::stored("rx-2".to_owned()),
            definition(),
            &window(Some(5), 6),
        )
        .unwrap();
        assert!(windows.warnings.is_empty(), "{:?}", windows.warnings);
        windows.abandon();
        let left = place::entries(&root.path().join(names::WINDOWS)).unwrap();
        assert_eq!(left, ["first_5"]);
    }
}
