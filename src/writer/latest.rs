//! What readers of a place see now: its newest manifest.

use super::location::Location;
use super::manifest::Manifest;
use super::windows::WindowList;
use super::{Result, names};

/// The manifest of what was published last at a place, of an incremental dataset that of its last window;
/// `None` where nothing was published.
///
/// # Errors
/// [`WriteError::Manifest`](super::WriteError::Manifest) for one that cannot be understood, and whatever
/// keeps the place from being read.
pub fn latest(place: impl Into<Location>) -> Result<Option<Manifest>> {
    let place = place.into();
    let folder = place.folder();
    let Some(bytes) = folder.read(names::MANIFEST)? else {
        return Ok(None);
    };
    if !WindowList::is_one(&bytes) {
        return Manifest::read(&bytes, &folder.shown()).map(Some);
    }
    let list = WindowList::read(&bytes, &folder.shown())?;
    let newest = list.windows.last();
    newest
        .map(|entry| Manifest::load(place.inside(&entry.path)))
        .transpose()
}
