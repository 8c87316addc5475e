//! What to cut a table on: a key, physical blocks, or nothing.

use super::Inputs;
use super::chunking::{self, Piece};
use super::error::PlanError;
use crate::model::{
    Chunking, Estimate, KeyProfile, Leaf, Origin, Reason, SourceProfile, Statistics, Strategy,
};

/// A table of fewer rows is read in one pass.
const SMALL_ROWS: u64 = 100_000;

/// A table of fewer bytes is read in one pass.
const SMALL_BYTES: u64 = 50_000_000;

/// From this correlation on (thousandths) rows lie in key order, so that a range of keys is a range
/// of pages.
const CORRELATED_PERMILLE: u32 = 900;

/// Something to cut a table on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut<'a> {
    Key(&'a KeyProfile),
    Blocks(u32),
    /// Blocks of each leaf of a partitioned table.
    Leaves(&'a [Leaf]),
}

impl Cut<'_> {
    fn strategy(self) -> Strategy {
        match self {
            Self::Key(_) => Strategy::RangeChunking,
            Self::Blocks(_) | Self::Leaves(_) => Strategy::CtidChunking,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Key(profile) => format!("key {}", profile.key),
            Self::Blocks(_) | Self::Leaves(_) => "blocks".to_owned(),
        }
    }

    fn pieces(self, rows: u64, count: u32) -> Vec<Piece> {
        match self {
            Self::Key(profile) => chunking::by_key(&profile.key, &profile.density, rows, count),
            Self::Blocks(blocks) => chunking::by_blocks(blocks, rows, count),
            Self::Leaves(leaves) => chunking::by_leaves(leaves, rows, count),
        }
    }
}

/// What was chosen to cut on: the first choice, and what may stand in where that proves too coarse.
/// Empty means one pass.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) cuts: Vec<Cut<'a>>,
    pub(super) reasons: Vec<Reason>,
}

/// A table cut into pieces.
#[derive(Debug)]
pub(super) struct Cutting<'a> {
    pub(super) strategy: Strategy,
    /// The key that was cut on.
    pub(super) key: Option<&'a KeyProfile>,
    /// The leaves that are read apart.
    pub(super) leaves: &'a [Leaf],
    pub(super) pieces: Vec<Piece>,
    pub(super) reasons: Vec<Reason>,
}

/// Chooses what to cut on, before it is known how finely.
pub(super) fn choose<'a>(inputs: &Inputs<'a>) -> Result<Choice<'a>, PlanError> {
    let (work, profile) = (&inputs.request.work, inputs.profile);
    let blocks = physical(profile);
    match work.chunking {
        Chunking::None => Ok(one_pass(Reason::ChunkingOff)),
        Chunking::Key => match &profile.key {
            Some(_) => Ok(forced(keys(profile), "key")),
            None => Err(PlanError::NoKey {
                relation: profile.table.relation.to_string(),
                blocks: blocks.is_some(),
                unusable: profile.table.unusable_key.clone(),
            }),
        },
        Chunking::Ctid => match blocks {
            Some(blocks) => Ok(forced(vec![blocks], "ctid")),
            None => Err(PlanError::NoBlocks {
                relation: profile.table.relation.to_string(),
                server: profile.server.clone(),
                key: profile.key.is_some(),
            }),
        },
        Chunking::Auto => {
            let many = work.workers.is_some_and(|workers| workers > 1) || work.chunk_rows.is_some();
            let mut choice = by_statistics(profile, blocks, many);
            let unusable = profile.table.unusable_key.clone();
            choice.reasons.extend(unusable.map(Reason::KeyUnusable));
            Ok(choice)
        }
    }
}

/// The physical blocks, where they can be addressed.
fn physical(profile: &SourceProfile) -> Option<Cut<'_>> {
    let Statistics { blocks, leaves, .. } = &profile.statistics;
    if !profile.blocks_addressable {
        return None;
    }
    let leaves = (!leaves.is_empty()).then_some(Cut::Leaves(leaves));
    blocks.map(Cut::Blocks).or(leaves)
}

/// The key, then all columns of it where its first one may be too coarse.
fn keys(profile: &SourceProfile) -> Vec<Cut<'_>> {
    let keys = [&profile.key, &profile.whole_key];
    keys.into_iter().flatten().map(Cut::Key).collect()
}

fn forced<'a>(cuts: Vec<Cut<'a>>, chunking: &str) -> Choice<'a> {
    Choice {
        cuts,
        reasons: vec![Reason::ChunkingForced {
            chunking: chunking.to_owned(),
        }],
    }
}

fn by_statistics<'a>(
    profile: &'a SourceProfile,
    blocks: Option<Cut<'a>>,
    many: bool,
) -> Choice<'a> {
    let mut cuts = keys(profile);
    let reason = match (&profile.key, blocks) {
        (None, None) => return one_pass(Reason::NothingToCutOn),
        _ if !many && is_small(profile) => {
            return one_pass(Reason::SmallTable {
                rows: profile.statistics.estimate.rows,
                bytes: profile.statistics.bytes,
            });
        }
        (None, Some(_)) => Reason::BlocksNoKey,
        (Some(key), None) => Reason::KeyOnly {
            key: key.key.to_string(),
        },
        (Some(profile), Some(blocks)) => {
            let (key, correlation) = (profile.key.to_string(), profile.correlation_permille);
            match correlation {
                Some(correlation) if correlation.unsigned_abs() >= CORRELATED_PERMILLE => {
                    cuts.push(blocks);
                    Reason::KeyCorrelated {
                        key,
                        correlation_permille: correlation,
                    }
                }
                _ => {
                    cuts.insert(0, blocks);
                    Reason::BlocksUncorrelated {
                        key,
                        correlation_permille: correlation,
                    }
                }
            }
        }
    };
    if cuts.is_empty() {
        cuts.extend(blocks);
    }
    Choice {
        cuts,
        reasons: vec![reason],
    }
}

fn one_pass<'a>(reason: Reason) -> Choice<'a> {
    Choice {
        cuts: Vec::new(),
        reasons: vec![reason],
    }
}

/// The facts sheet's small-table rule. A row count that nobody knows is not a small one.
fn is_small(profile: &SourceProfile) -> bool {
    let Estimate { rows, origin } = profile.statistics.estimate;
    profile.statistics.bytes < SMALL_BYTES || (origin != Origin::Unknown && rows < SMALL_ROWS)
}

/// Cuts into about `count` chunks: on the first choice that gives at least half of them, else on the
/// one that gives most.
pub(super) fn cut<'a>(cuts: &[Cut<'a>], rows: u64, count: u32) -> Cutting<'a> {
    let mut reasons = Vec::new();
    let mut chosen: Option<(Cut<'a>, Vec<Piece>)> = None;
    for cut in cuts {
        let pieces = cut.pieces(rows, count);
        let fine = 2 * pieces.len() >= count as usize;
        if !fine {
            reasons.push(Reason::CutTooCoarse {
                cut: cut.name(),
                chunks: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
            });
        }
        if chosen
            .as_ref()
            .is_none_or(|(_, most)| pieces.len() > most.len())
        {
            chosen = Some((*cut, pieces));
        }
        if fine {
            break;
        }
    }
    let Some((cut, pieces)) = chosen else {
        return whole(rows, reasons);
    };
    if pieces.len() == 1 {
        return whole(rows, reasons);
    }
    if cuts.first().is_some_and(|first| first.name() != cut.name()) {
        reasons.push(Reason::CutInstead { cut: cut.name() });
    }
    if let Cut::Leaves(leaves) = cut {
        reasons.push(Reason::LeavesApart {
            leaves: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
        });
    }
    let key = match cut {
        Cut::Key(profile) => Some(profile),
        Cut::Blocks(_) | Cut::Leaves(_) => None,
    };
    if let Some(profile) = key {
        reasons.push(Reason::BoundsFrom {
            origin: profile.density.origin,
        });
    }
    Cutting {
        strategy: cut.strategy(),
        key,
        leaves: match cut {
            Cut::Leaves(leaves) => leaves,
            Cut::Key(_) | Cut::Blocks(_) => &[],
        },
        pieces,
        reasons,
    }
}

fn whole<'a>(rows: u64, reasons: Vec<Reason>) -> Cutting<'a> {
    Cutting {
        strategy: Strategy::SinglePass,
        key: None,
        leaves: &[],
        pieces: chunking::whole(rows),
        reasons,
    }
}
