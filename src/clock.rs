//! The only reader of the operating system's time.
//!
//! Everything that needs a time takes a [`Clock`], so that a test or a simulation decides what time
//! it is. Waits are not here: the engine waits on tokio's time, which a paused test drives.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Tells wall time and monotonic time.
pub trait Clock: Debug + Send + Sync {
    /// The wall-clock time, UTC.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed point; never goes backwards. For measuring durations.
    fn monotonic(&self) -> Duration;
}

/// A clock that many owners share.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clock.
#[derive(Debug)]
pub struct System {
    origin: std::time::Instant,
}

impl System {
    /// The system clock, its monotonic time counted from this call.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the OS clock"
    )]
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }

    /// The system clock, ready to share.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the OS clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct Manual {
    state: Mutex<(Timestamp, Duration)>,
}

impl Manual {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self {
            state: Mutex::new((start, Duration::ZERO)),
        }
    }

    /// Moves both wall and monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.checked_add(by).unwrap_or(Timestamp::MAX);
        state.1 += by;
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
