//! Every file and directory name of ours, in one place, so that writing, sweeping and refusing
//! foreign files can never disagree about what is ours.

use std::ffi::{OsStr, OsString};

use super::format::EXTENSIONS;
use crate::model::RunId;

/// The manifest of a dataset.
pub(super) const MANIFEST: &str = "_manifest.json";

/// The empty marker that a dataset is whole; Hadoop's convention.
pub(super) const SUCCESS: &str = "_SUCCESS";

/// An object of a run that only tries whether it may write, with a condition.
pub(super) const PROBE: &str = "_probe";

/// Where `--layout runs` keeps its runs; Spark and Hive ignore the name.
pub(super) const RUNS: &str = "_runs";

/// Where an incremental dataset keeps its windows, each a dataset of its own.
pub(super) const WINDOWS: &str = "_windows";

/// The lock of a dataset with `--layout runs`: inside, because what holds a mount point may not be
/// writable.
pub(super) const INNER_LOCK: &str = ".ixtract-lock";

/// A finished part. Names sort in key order and, carrying the run's tag, never repeat between runs.
pub(super) fn part(chunk: u32, segment: u32, tag: &str, extension: &str) -> String {
    format!("part-{chunk:05}-{segment:03}-{tag}.{extension}")
}

/// Whether `name` is one that [`part`] gives.
pub(super) fn is_part(name: &str) -> bool {
    let number = |text: &str, width: usize| {
        text.len() >= width && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    name.strip_prefix("part-")
        .and_then(|name| name.split_once('.'))
        .filter(|(_, extension)| EXTENSIONS.contains(extension))
        .is_some_and(|(name, _)| match name.split('-').collect::<Vec<_>>()[..] {
            [chunk, segment, tag] => number(chunk, 5) && number(segment, 3) && word(tag),
            _ => false,
        })
}

/// A file while it is being written: hidden, and renamed to `name` when it is whole.
pub(super) fn unfinished(name: &str) -> String {
    format!(".{name}.unfinished")
}

/// Whether a file of ours was left before it was whole.
pub(super) fn is_unfinished(name: &str) -> bool {
    finished(name).is_some_and(is_ours)
}

/// The name that an unfinished file will have.
fn finished(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".unfinished")
}

/// Whether a file of this name, in a directory of ours that has no manifest, is ours to remove.
pub(super) fn is_ours(name: &str) -> bool {
    let name = finished(name).unwrap_or(name);
    is_part(name) || [MANIFEST, SUCCESS, PROBE].contains(&name)
}

/// A hidden sibling of the dataset `name`: `.<name>.ixtract-<role>…`. `role` ends in `-` where a
/// tag follows.
fn sibling(name: &OsStr, role: &str, tag: &str) -> OsString {
    let mut text = OsString::from(".");
    text.push(name);
    text.push(".ixtract-");
    text.push(role);
    text.push(tag);
    text
}

/// The lock of the dataset `name`.
pub(super) fn lock(name: &OsStr) -> OsString {
    sibling(name, "lock", "")
}

/// Where a run gathers its files before they are published.
pub(super) fn staging(name: &OsStr, tag: &str) -> OsString {
    sibling(name, "staging-", tag)
}

/// Where `--keep` leaves the version that the run with `tag` published.
pub(super) fn kept(name: &OsStr, tag: &str) -> OsString {
    sibling(name, "kept-", tag)
}

/// A directory that only tries whether directories can be exchanged here.
pub(super) fn probe(name: &OsStr, which: &str) -> OsString {
    sibling(name, "probe-", which)
}

/// The tag of a staging directory of the dataset `name`.
pub(super) fn staging_tag<'a>(name: &OsStr, entry: &'a OsStr) -> Option<&'a str> {
    tag(&staging(name, ""), entry)
}

/// The tag of a kept version of the dataset `name`.
pub(super) fn kept_tag<'a>(name: &OsStr, entry: &'a OsStr) -> Option<&'a str> {
    tag(&kept(name, ""), entry)
}

fn tag<'a>(prefix: &OsStr, entry: &'a OsStr) -> Option<&'a str> {
    let rest = entry
        .as_encoded_bytes()
        .strip_prefix(prefix.as_encoded_bytes())?;
    std::str::from_utf8(rest).ok().filter(|tag| !tag.is_empty())
}

/// Whether what lies under this name was never published: staging areas and probes of any dataset, and
/// the runs of one that has no manifest.
pub(super) fn is_never_published(name: &str) -> bool {
    let role = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once(".ixtract-"))
        .map(|(_, role)| role);
    name == RUNS
        || role.is_some_and(|role| role.starts_with("staging-") || role.starts_with("probe-"))
}

/// Whether the root of a dataset with `--layout runs` may hold a file of this name; the unfinished
/// ones are what a dead run had written and not yet shown.
pub(super) fn is_in_runs_root(name: &str) -> bool {
    let written = finished(name).unwrap_or(name);
    [MANIFEST, SUCCESS].contains(&written) || [RUNS, INNER_LOCK].contains(&name)
}

/// Whether the root of an incremental dataset may hold a file of this name.
pub(super) fn is_in_windows_root(name: &str) -> bool {
    let written = finished(name).unwrap_or(name);
    written == MANIFEST || [WINDOWS, INNER_LOCK].contains(&name)
}

/// The path of a window's folder inside an incremental dataset.
pub(super) fn in_windows(folder: &str) -> String {
    format!("{WINDOWS}/{folder}")
}

/// The path of a file of `run` inside a dataset with `--layout runs`.
pub(super) fn in_run(run: &RunId, name: &str) -> String {
    format!("{RUNS}/{run}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_sort_in_key_order_and_are_recognised(a in 0u32..100_000, b in 0u32..100_000) {
            for extension in EXTENSIONS {
                let name = |chunk| part(chunk, 1, "0badcafe", extension);
                let (first, second) = (name(a), name(b));
                prop_assert_eq!(a.cmp(&b), first.cmp(&second));
                prop_assert!(is_part(&first));
                prop_assert!(is_ours(&unfinished(&first)));
            }
        }
    }

    #[test]
    fn strangers_are_not_taken_for_ours() {
        for name in [
            "part-00001-3f9a2c1b.parquet",
            "part-00001-001-.parquet",
            "part-00001-001-3f9a-2c1b.parquet",
            "part-1-001-3f9a2c1b.parquet",
            "part-00001-001-3f9a2c1b.tsv",
            "part-00001-001-3f9a2c1b.csv.bz2",
            ".unfinished",
            "notes.txt",
            "",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn siblings_give_back_their_tags() {
        let name = OsStr::new("orders v2.d");
        assert_eq!(staging_tag(name, &staging(name, "ab12")), Some("ab12"));
        assert_eq!(kept_tag(name, &kept(name, "ab12")), Some("ab12"));
        assert_eq!(kept_tag(name, &staging(name, "ab12")), None);
        assert_eq!(staging_tag(OsStr::new("orders"), &staging(name, "x")), None);
        assert_eq!(staging_tag(name, &staging(name, "")), None);
    }
}
