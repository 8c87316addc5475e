//! `_manifest.json`: what a dataset holds, where it came from and how that was proved, for people,
//! for readers that follow it and for `ixtract verify`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::{Directory, Folder};
use super::location::Location;
use super::windows::WindowList;
use super::{PartReceipt, Result, WriteError, names};
use crate::model::{
    BesideKept, ChunkBounds, Column, FormatOptions, Layout, PointInTime, ProofLevel, Relation,
    RelationKind, RunId, SchemaDrift, SnapshotFacts, SourceIdentity, Teaching, TypeMapping, Window,
    hex,
};

/// The version of the manifest that this program writes; it reads no newer one.
pub const MANIFEST_VERSION: u32 = 1;

/// The manifest. Fields are written in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// The version of ixtract that wrote it.
    pub ixtract: String,
    /// The run that published the dataset.
    pub run: RunId,
    /// When the run started, UTC.
    pub started_at: Timestamp,
    /// When it published, UTC.
    pub created_at: Timestamp,
    /// The name of the dataset's directory.
    pub dataset: String,
    /// How the dataset is laid out.
    pub layout: Layout,
    /// The database. No secrets.
    pub source: SourceIdentity,
    /// The relation.
    pub relation: Relation,
    /// What it is.
    pub kind: RelationKind,
    /// The statement of `--query`, parameters filled in, where that is what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The filter, parameters filled in.
    pub filter: Option<String>,
    /// The type mapping and its version.
    pub types: TypeMapping,
    /// The columns in order, each with the source's type and ours, and as `lossy` what of its values is
    /// not written, where that is not all.
    #[serde(serialize_with = "with_losses")]
    pub schema: Vec<Column>,
    /// Format and its options.
    pub format: FormatOptions,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files in key order.
    pub files: Vec<FileEntry>,
    /// The snapshot: level achieved, readers, position, time.
    pub consistency: SnapshotFacts,
    /// The points in time that the chunks show, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<PointInTime>,
    /// Fingerprint of the plan.
    pub fingerprint: String,
    /// What was proved before publishing.
    pub proof: ProofRecord,
    /// Values written as NULL because their output type cannot hold them, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nulled: BTreeMap<String, u64>,
    /// Deviations from the plan, one line each.
    pub adaptations: Vec<String>,
    /// The window of an incremental extraction.
    pub extraction_window: Option<Window>,
    /// Rows without a value in the window's column, in the snapshot that it was read in; absent where
    /// there can be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmarked: Option<u64>,
    /// How far the data goes, UTC: to the end of its window where that is a point in time, else to the
    /// snapshot's. Absent in what older versions wrote.
    pub freshness: Option<String>,
    /// Earlier runs that stay readable (`--layout runs --keep N`), newest first.
    pub kept: Vec<RunId>,
    /// How the columns differ from those of the published run before, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_change: Option<SchemaDrift>,
    /// What a lost history is rebuilt from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teaching: Option<Teaching>,
    /// SHA-256 over this document without this field, keys sorted, without white space.
    pub checksum: String,
}

/// One file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path inside the dataset, with `/`.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// Plan chunk number.
    pub chunk: u32,
    /// The rows it may hold.
    pub bounds: ChunkBounds,
}

impl FileEntry {
    /// The entry of a finished part that lies directly in the dataset.
    pub(super) fn of(receipt: &PartReceipt, bounds: ChunkBounds) -> Self {
        Self {
            path: receipt.name.clone(),
            rows: receipt.rows,
            bytes: receipt.bytes,
            sha256: receipt.sha256.clone(),
            chunk: receipt.chunk,
            bounds,
        }
    }
}

/// What was proved before the dataset was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// The level asked for.
    pub level: ProofLevel,
    /// Rows by the server's own count in the same snapshot; none with `--proof stream`. Of a dataset
    /// that has chunks of an unfinished run: the rows of these, and the server's count of the others.
    pub counted: Option<u64>,
    /// Rows, as the files say when they are read back.
    pub rows: u64,
    /// Chunks that tile the table exactly, each read to the end of its stream.
    pub chunks: u32,
    /// What the server counted where chunks were kept from an unfinished run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside_kept: Option<BesideKept>,
    /// With `--proof full`, what was summed, and what that cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyProof>,
}

/// Keys that the server and the files, read back, agree on chunk by chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// The key's columns.
    pub columns: Vec<String>,
    /// Time of the server's sums, all readers together, in milliseconds.
    pub server_ms: u64,
    /// Time of reading the files back, in milliseconds.
    pub read_back_ms: u64,
}

/// Columns with what each of them loses by its very type, which no plan has to say.
fn with_losses<S: serde::Serializer>(
    columns: &[Column],
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(flatten)]
        column: &'a Column,
        #[serde(skip_serializing_if = "Option::is_none")]
        lossy: Option<&'static str>,
    }
    to.collect_seq(columns.iter().map(|column| Written {
        column,
        lossy: column.loss().filter(|_| !column.lossy),
    }))
}

impl Manifest {
    /// Reads the manifest of a dataset.
    ///
    /// # Errors
    /// [`WriteError::Manifest`] when there is none, or it cannot be understood, or it names files
    /// outside the dataset; [`WriteError::Io`] when it cannot be read.
    pub fn load(dataset: impl Into<Location>) -> Result<Self> {
        Self::of(dataset.into().folder().as_ref())
    }

    /// Reads the manifest of a folder that must have one.
    pub(super) fn of(folder: &dyn Folder) -> Result<Self> {
        let found = folder.read(names::MANIFEST)?;
        let bytes = found.ok_or_else(|| WriteError::Manifest {
            path: folder.shown(),
            why: format!("there is no {}", names::MANIFEST),
        })?;
        Self::read(&bytes, &folder.shown())
    }

    /// Reads the manifest of a directory that may have none.
    pub(super) fn find(directory: &Path) -> Result<Option<Self>> {
        let folder = Directory(directory.to_owned());
        let found = folder.read(names::MANIFEST)?;
        found
            .map(|bytes| Self::read(&bytes, &folder.shown()))
            .transpose()
    }

    /// Understands the manifest of the dataset that is shown so.
    pub(super) fn read(bytes: &[u8], shown: &str) -> Result<Self> {
        if WindowList::is_one(bytes) {
            return Err(WriteError::Windowed {
                path: shown.to_owned(),
            });
        }
        Self::parse(bytes).map_err(|why| WriteError::Manifest {
            path: shown.to_owned(),
            why: format!("{}: {why}", names::MANIFEST),
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        check_version(bytes)?;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        // What it lists is read, and removed when it is replaced: never outside the dataset.
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(format!("'{}' is no path inside the dataset", file.path)),
            None => Ok(manifest),
        }
    }

    /// Sets the checksum, and gives the document as it is stored: pretty, fields in the order of the
    /// type.
    pub(super) fn seal(mut self) -> (Self, Vec<u8>) {
        self.checksum = self.expected_checksum();
        // A struct of strings, numbers and lists always serialises.
        let mut text = serde_json::to_vec_pretty(&self).unwrap_or_default();
        text.push(b'\n');
        (self, text)
    }

    /// The checksum that the other fields ask for; differs from `checksum` after an edit.
    pub(super) fn expected_checksum(&self) -> String {
        checksum(self)
    }

    /// The name in the last part of a file's path, inside the directory that holds the run's files.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.files
            .iter()
            .any(|file| file.path.rsplit('/').next() == Some(name))
    }
}

/// The version first: a newer manifest may have any shape.
pub(super) fn check_version(bytes: &[u8]) -> std::result::Result<(), String> {
    #[derive(Deserialize)]
    struct Version {
        manifest_version: u32,
    }
    let Version { manifest_version } =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if manifest_version > MANIFEST_VERSION {
        return Err(format!(
            "version {manifest_version} is newer than this program, which knows {MANIFEST_VERSION}"
        ));
    }
    Ok(())
}

/// SHA-256 over a document without its field `checksum`, keys sorted, without white space.
pub(super) fn checksum(document: &impl Serialize) -> String {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("checksum");
    }
    document.sort_all_objects();
    hex(&Sha256::digest(document.to_string()))
}

/// Whether a path names something below the place it is in.
pub(super) fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The current files of a dataset, in key order: paths, or on a store URLs. Of an incremental one
/// those of all windows, in the windows' order.
///
/// # Errors
/// [`WriteError::Manifest`] when the directory has no manifest that can be understood.
pub fn files(dataset: impl Into<Location>) -> Result<Vec<PathBuf>> {
    let dataset = dataset.into();
    if let Some(list) = WindowList::find(dataset.folder().as_ref())? {
        let windows = list.windows.iter();
        let listed = windows.map(|entry| files(dataset.inside(&entry.path)));
        return Ok(listed.collect::<Result<Vec<_>>>()?.concat());
    }
    let manifest = Manifest::of(dataset.folder().as_ref())?;
    let files = manifest.files.iter();
    Ok(files.map(|file| dataset.file(&file.path)).collect())
}

/// Folders below each other that are searched for datasets.
const DEPTH: u32 = 8;

/// What was found where datasets may be.
#[derive(Debug, Default)]
pub struct Found {
    /// The manifests of published versions, each with where it stands.
    pub manifests: Vec<(String, Manifest)>,
    /// What could not be understood, a line each.
    pub problems: Vec<String>,
}

/// All manifests at and below a place: of a dataset, its kept versions too; of a folder, those of the
/// datasets in it. What a run only staged was never published and is left out.
///
/// # Errors
/// [`WriteError::Io`] and [`WriteError::Store`] where the place cannot be read.
pub fn find_all(place: impl Into<Location>) -> Result<Found> {
    let mut found = Found::default();
    let place = match place.into() {
        // Under its real name: a history is of use wherever it is read.
        Location::Local(directory) => match directory.canonicalize() {
            Ok(real) => Location::Local(real),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(WriteError::io("open", &directory)(error)),
        },
        store => store,
    };
    let folder = place.folder();
    if search(folder.as_ref(), "", DEPTH, &mut found)?
        && let Location::Local(directory) = &place
        && let (Some(parent), Some(name)) = (directory.parent(), directory.file_name())
    {
        // The kept versions of a directory lie beside it.
        let beside = Directory(parent.to_owned());
        for sibling in beside.names("")? {
            if names::kept_tag(name, sibling.as_ref()).is_some() {
                take(&beside, &format!("{sibling}/"), &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Searches the folder at `path`; whether it is itself a dataset.
fn search(folder: &dyn Folder, path: &str, depth: u32, found: &mut Found) -> Result<bool> {
    if take(folder, path, found)? {
        return Ok(true);
    }
    if depth > 0 {
        for name in folder.names(path)? {
            if !names::is_ours(&name) && !names::is_never_published(&name) {
                search(folder, &format!("{path}{name}/"), depth - 1, found)?;
            }
        }
    }
    Ok(false)
}

/// Takes the manifest at `path`, and those of the versions that it keeps; whether there is one.
fn take(folder: &dyn Folder, path: &str, found: &mut Found) -> Result<bool> {
    let Some(kept) = take_one(folder, path, found)? else {
        return Ok(false);
    };
    for run in kept {
        take_one(folder, &format!("{path}{}", names::in_run(&run, "")), found)?;
    }
    Ok(true)
}

/// Takes one manifest, and gives the versions that it keeps; `None` where there is none.
fn take_one(folder: &dyn Folder, path: &str, found: &mut Found) -> Result<Option<Vec<RunId>>> {
    let file = format!("{path}{}", names::MANIFEST);
    let Some(bytes) = folder.read(&file)? else {
        return Ok(None);
    };
    if WindowList::is_one(&bytes) {
        // Only a list: what it names are datasets themselves.
        for name in folder.names(&format!("{path}{}/", names::WINDOWS))? {
            take(
                folder,
                &format!("{path}{}/", names::in_windows(&name)),
                found,
            )?;
        }
        return Ok(Some(Vec::new()));
    }
    let shown = format!("{}/{file}", folder.shown());
    let understood = Manifest::parse(&bytes).and_then(|manifest| {
        if manifest.checksum == manifest.expected_checksum() {
            Ok(manifest)
        } else {
            Err("it was edited".to_owned())
        }
    });
    match understood {
        Ok(manifest) => {
            let kept = manifest.kept.clone();
            found.manifests.push((shown, manifest));
            Ok(Some(kept))
        }
        Err(why) => {
            found.problems.push(format!("{shown}: {why}"));
            Ok(Some(Vec::new()))
        }
    }
}
