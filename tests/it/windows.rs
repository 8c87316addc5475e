//! Incremental windows: whatever happens from night to night, every row that was there when its
//! window was fixed is in exactly one.

mod again;
mod backfill;
mod bounds;
mod kinds;
mod lag;
mod looks;
mod nights;
mod stores;

use crate::ixtract::Cli;

/// The exit code of a program that ended itself at a step.
const KILLED: i32 = 128 + 6;

/// The program, as it is after a change to how it is set up.
fn change(cli: &mut Cli, to: impl FnOnce(Cli) -> Cli) {
    *cli = to(std::mem::replace(cli, Cli::new()));
}
