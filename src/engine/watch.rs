//! The blocking watcher: we hold nobody up for long.
//!
//! A statement that waits for our lock makes every later statement on the table wait behind it. The
//! watcher asks the source who waits for us and reports the first who has waited too long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::source::{BlockedSession, Snapshot, SourceError};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Returns when somebody has waited for us longer than `limit`, with the error that ends the run.
///
/// A failing look is no reason to stop reading; it is logged and made again.
pub(crate) async fn until_blocking(
    snapshot: Arc<dyn Snapshot>,
    clock: SharedClock,
    limit: Duration,
    object: String,
) -> SourceError {
    let mut first_seen: BTreeMap<BlockedSession, Duration> = BTreeMap::new();
    loop {
        tokio::time::sleep(INTERVAL.min(limit.max(Duration::from_millis(100)))).await;
        let blocked = match snapshot.blocked().await {
            Ok(blocked) => blocked,
            Err(error) => {
                tracing::warn!(%error, "cannot see whether others wait for us");
                continue;
            }
        };
        let now = clock.monotonic();
        first_seen.retain(|session, _| blocked.contains(session));
        for session in blocked {
            let waited = now.saturating_sub(*first_seen.entry(session.clone()).or_insert(now));
            if waited >= limit {
                return SourceError::Blocking {
                    object,
                    why: format!(
                        "session {} has waited {} s for our lock: {}",
                        session.id,
                        waited.as_secs(),
                        session.statement
                    ),
                };
            }
        }
    }
}
