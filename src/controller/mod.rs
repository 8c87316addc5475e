//! Decisions from measurements; pure.
//!
//! [`within_run`] answers a chunk's measurement with a pause or with nothing. The controller between
//! runs, which seeks the best number of workers, will stand beside it.

pub mod within_run;
