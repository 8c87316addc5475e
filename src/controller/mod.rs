//! Decisions from measurements; pure.
//!
//! [`within_run`] answers a chunk's measurement with a pause or with nothing; [`between_runs`] seeks the
//! best number of workers from run to run.

pub mod between_runs;
pub mod within_run;
