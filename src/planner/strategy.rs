//! What to cut a table on: a key, physical blocks, or nothing.

use super::Inputs;
use super::chunking::{self, Piece};
use super::error::PlanError;
use crate::model::{Chunking, Estimate, KeyProfile, Origin, Reason, SourceProfile, Strategy};

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
}

impl Cut<'_> {
    fn strategy(self) -> Strategy {
        match self {
            Self::Key(_) => Strategy::RangeChunking,
            Self::Blocks(_) => Strategy::CtidChunking,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Key(profile) => format!("key {}", profile.key.column),
            Self::Blocks(_) => "blocks".to_owned(),
        }
    }

    fn pieces(self, rows: u64, count: u32) -> Vec<Piece> {
        match self {
            Self::Key(profile) => chunking::by_key(&profile.key, &profile.density, rows, count),
            Self::Blocks(blocks) => chunking::by_blocks(blocks, rows, count),
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
    pub(super) pieces: Vec<Piece>,
    pub(super) reasons: Vec<Reason>,
}

/// Chooses what to cut on, before it is known how finely.
pub(super) fn choose<'a>(inputs: &Inputs<'a>) -> Result<Choice<'a>, PlanError> {
    let (work, profile) = (&inputs.request.work, inputs.profile);
    let key = profile.key.as_ref();
    let blocks = profile
        .statistics
        .blocks
        .filter(|_| profile.blocks_addressable);
    let forced = |cut, chunking: &str| Choice {
        cuts: vec![cut],
        reasons: vec![Reason::ChunkingForced {
            chunking: chunking.to_owned(),
        }],
    };
    match work.chunking {
        Chunking::None => Ok(one_pass(Reason::ChunkingOff)),
        Chunking::Key => match key {
            Some(key) => Ok(forced(Cut::Key(key), "key")),
            None => Err(PlanError::NoKey {
                relation: profile.table.relation.to_string(),
                blocks: blocks.is_some(),
            }),
        },
        Chunking::Ctid => match blocks {
            Some(blocks) => Ok(forced(Cut::Blocks(blocks), "ctid")),
            None => Err(PlanError::NoBlocks {
                relation: profile.table.relation.to_string(),
                server: profile.server.clone(),
                key: key.is_some(),
            }),
        },
        Chunking::Auto => {
            let many = work.workers.is_some_and(|workers| workers > 1) || work.chunk_rows.is_some();
            Ok(by_statistics(profile, key, blocks, many))
        }
    }
}

fn by_statistics<'a>(
    profile: &SourceProfile,
    key: Option<&'a KeyProfile>,
    blocks: Option<u32>,
    many: bool,
) -> Choice<'a> {
    let (cuts, reason) = match (key, blocks) {
        (None, None) => return one_pass(Reason::NothingToCutOn),
        _ if !many && is_small(profile) => {
            return one_pass(Reason::SmallTable {
                rows: profile.statistics.estimate.rows,
                bytes: profile.statistics.bytes,
            });
        }
        (None, Some(blocks)) => (vec![Cut::Blocks(blocks)], Reason::BlocksNoKey),
        (Some(key), None) => {
            let column = key.key.column.clone();
            (vec![Cut::Key(key)], Reason::KeyOnly { key: column })
        }
        (Some(profile), Some(blocks)) => {
            let (key, correlation) = (profile.key.column.clone(), profile.correlation_permille);
            let (by_key, by_blocks) = (Cut::Key(profile), Cut::Blocks(blocks));
            match correlation {
                Some(correlation) if correlation.unsigned_abs() >= CORRELATED_PERMILLE => (
                    vec![by_key, by_blocks],
                    Reason::KeyCorrelated {
                        key,
                        correlation_permille: correlation,
                    },
                ),
                _ => (
                    vec![by_blocks, by_key],
                    Reason::BlocksUncorrelated {
                        key,
                        correlation_permille: correlation,
                    },
                ),
            }
        }
    };
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

/// Cuts into about `count` chunks: on the first choice, unless it gives less than half of them and
/// the stand-in gives more.
pub(super) fn cut<'a>(cuts: &[Cut<'a>], rows: u64, count: u32) -> Cutting<'a> {
    let Some(first) = cuts.first().copied() else {
        return whole(rows, Vec::new());
    };
    let mut chosen = (first, first.pieces(rows, count));
    let mut reasons = Vec::new();
    if 2 * chosen.1.len() < count as usize {
        reasons.push(Reason::CutTooCoarse {
            cut: first.name(),
            chunks: u32::try_from(chosen.1.len()).unwrap_or(u32::MAX),
        });
        let stand_in = cuts.get(1).map(|cut| (*cut, cut.pieces(rows, count)));
        if let Some(stand_in) = stand_in.filter(|(_, pieces)| pieces.len() > chosen.1.len()) {
            chosen = stand_in;
        }
    }
    let (cut, pieces) = chosen;
    if pieces.len() == 1 {
        return whole(rows, reasons);
    }
    let key = match cut {
        Cut::Key(profile) => Some(profile),
        Cut::Blocks(_) => None,
    };
    if let Some(profile) = key {
        reasons.push(Reason::BoundsFrom {
            origin: profile.density.origin,
        });
    }
    Cutting {
        strategy: cut.strategy(),
        key,
        pieces,
        reasons,
    }
}

fn whole<'a>(rows: u64, reasons: Vec<Reason>) -> Cutting<'a> {
    Cutting {
        strategy: Strategy::SinglePass,
        key: None,
        pieces: chunking::whole(rows),
        reasons,
    }
}
