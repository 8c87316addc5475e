//! What a manifest says of a run, from the evidence that was proved.

use super::location::Location;
use super::manifest::{FileEntry, MANIFEST_VERSION, Manifest, ProofRecord};
use super::publish::Evidence;
use crate::model::Layout;

/// How far the data goes: see [`Manifest::freshness`].
fn freshness(evidence: &Evidence<'_>) -> String {
    let window = evidence.plan.spec.window.as_ref();
    let end = window.and_then(|planned| planned.window.freshness());
    // All RFC 3339 in UTC, so their order as text is their order in time.
    let oldest = evidence.points.iter().map(|point| &point.taken_at).min();
    match end {
        Some(end) => end.to_string(),
        None => oldest.unwrap_or(&evidence.snapshot.taken_at).clone(),
    }
}

/// The manifest that evidence gives, before it is sealed.
pub(super) fn describe(
    location: &Location,
    evidence: &Evidence<'_>,
    proof: ProofRecord,
    files: Vec<FileEntry>,
) -> Manifest {
    let spec = &evidence.plan.spec;
    Manifest {
        manifest_version: MANIFEST_VERSION,
        ixtract: env!("CARGO_PKG_VERSION").to_owned(),
        run: evidence.run.clone(),
        started_at: evidence.started_at,
        created_at: evidence.now,
        dataset: location.name(),
        layout: Layout::Replace,
        source: spec.source.clone(),
        relation: spec.read.relation.clone(),
        kind: spec.read.kind,
        query: spec.read.query.clone(),
        filter: spec.read.filter.clone(),
        types: spec.types,
        schema: spec.read.columns.clone(),
        format: spec.format.clone(),
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        consistency: evidence.snapshot.clone(),
        points: evidence.points.to_vec(),
        fingerprint: evidence.plan.fingerprint.clone(),
        proof,
        nulled: evidence.nulled.clone(),
        adaptations: evidence.adaptations.to_vec(),
        extraction_window: spec.window.as_ref().map(|planned| planned.window.clone()),
        unmarked: evidence.unmarked,
        freshness: Some(freshness(evidence)),
        kept: Vec::new(),
        schema_change: evidence.drift.cloned(),
        teaching: evidence.teaching.cloned(),
        checksum: String::new(),
    }
}
