//! The steps of publishing, by name.

use std::fmt;

/// A step of publishing that is done; tests kill the program after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The dataset is held and its staging directory made; nothing is written yet.
    Prepared,
    /// Every part is where it stays, on stable storage.
    PartsStable,
    /// Every proof holds.
    Proved,
    /// The staged directory has its manifest.
    ManifestWritten,
    /// The staged directory has its `_SUCCESS` marker.
    MarkerWritten,
    /// The staged directory is on stable storage, names included.
    Sealed,
    /// All that the switch needs is in place and checked once more.
    Ready,
    /// Readers see the new version.
    Switched,
    /// The switch is on stable storage.
    Settled,
    /// The old version has the name it is kept under, if it is kept.
    SetAside,
    /// What is no longer kept is removed.
    OldRemoved,
    /// The lock is released.
    Released,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 12] = [
        Self::Prepared,
        Self::PartsStable,
        Self::Proved,
        Self::ManifestWritten,
        Self::MarkerWritten,
        Self::Sealed,
        Self::Ready,
        Self::Switched,
        Self::Settled,
        Self::SetAside,
        Self::OldRemoved,
        Self::Released,
    ];

    /// Its name, such as `manifest-written`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::PartsStable => "parts-stable",
            Self::Proved => "proved",
            Self::ManifestWritten => "manifest-written",
            Self::MarkerWritten => "marker-written",
            Self::Sealed => "sealed",
            Self::Ready => "ready",
            Self::Switched => "switched",
            Self::Settled => "settled",
            Self::SetAside => "set-aside",
            Self::OldRemoved => "old-removed",
            Self::Released => "released",
        }
    }

    /// Whether readers see the new version once this step is done.
    pub fn is_published(self) -> bool {
        self >= Self::Switched
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
