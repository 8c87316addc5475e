//! Commands that look back: they read the store and open no connection to a source.

pub(super) mod diagnose;
pub(super) mod diff;
pub(super) mod explain;
pub(super) mod history;
pub(super) mod inspect;
pub(super) mod metrics;
pub(super) mod report;

use super::args::StoreArgs;
use super::context::Context;
use super::history::{host, is_alive, nowhere};
use super::settings;
use crate::error::Failure;
use crate::state::Store;

/// A store that holds runs: here it is what the command is about, so without one there is no going
/// on.
pub(super) struct Archive {
    /// The store.
    pub(super) store: Store,
    /// Its file.
    pub(super) file: String,
}

impl Archive {
    /// Opens the store and marks runs whose process died. One that may not be written is read as it
    /// is.
    ///
    /// # Errors
    /// 64 where there is no store, and whatever keeps it from being read.
    pub(super) fn open(context: &Context, args: &StoreArgs) -> Result<Self, Failure> {
        let file = settings::state_file(args.state.as_deref(), &context.environment)
            .ok_or_else(nowhere)?;
        let store = Store::open_to_read(&file)?;
        if !store.is_read_only() {
            store.sweep_crashed(&host(), context.clock.now(), &is_alive)?;
        }
        Ok(Self {
            store,
            file: file.display().to_string(),
        })
    }
}
