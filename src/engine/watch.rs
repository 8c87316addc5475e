//! The watchers: we hold nobody up for long, and feel how the source is.
//!
//! A statement that waits for our lock makes every later statement on the table wait behind it. The
//! watcher asks the source who waits for us and reports the first who has waited too long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;

use super::dispatcher::Felt;
use crate::clock::SharedClock;
use crate::controller::within_run::Sample;
use crate::source::{BlockedSession, Lag, Snapshot, SourceError};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Asks who waits for us.
pub(crate) type Look =
    Box<dyn Fn() -> BoxFuture<'static, Result<Vec<BlockedSession>, SourceError>> + Send + Sync>;

/// Asks who waits for a snapshot's sessions.
pub(crate) fn behind(snapshot: Arc<dyn Snapshot>) -> Look {
    Box::new(move || {
        let snapshot = Arc::clone(&snapshot);
        async move { snapshot.blocked().await }.boxed()
    })
}

/// Returns when somebody has waited for us longer than `limit`, with the error that ends the run.
///
/// A failing look is no reason to stop reading; it is logged and made again.
pub(crate) async fn until_blocking(
    look: Look,
    clock: SharedClock,
    limit: Duration,
    object: String,
) -> SourceError {
    let mut first_seen: BTreeMap<BlockedSession, Duration> = BTreeMap::new();
    loop {
        tokio::time::sleep(INTERVAL.min(limit.max(Duration::from_millis(100)))).await;
        let blocked = match look().await {
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

/// Feels how the source is, about once a second and for as long as it is polled, and tells `told`. A
/// question that is not answered for a second is told of as it stands, since a source that hangs is the
/// slowest of all.
pub(super) async fn feel(
    snapshot: Arc<dyn Snapshot>,
    clock: SharedClock,
    lag: bool,
    told: UnboundedSender<Felt>,
) {
    let mut hidden_told = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let begun = clock.monotonic();
        let mut asked = std::pin::pin!(snapshot.pulse(lag));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut asked => break answer,
                () = tokio::time::sleep(INTERVAL) => {
                    let at = clock.monotonic();
                    let latency = at.saturating_sub(begun);
                    // Nobody listens when the run is over.
                    let _ = told.send(Felt::Sample(Sample { at, latency, lag: None }));
                }
            }
        };
        let pulse = match answer {
            Ok(pulse) => pulse,
            Err(error) => {
                tracing::warn!(%error, "cannot feel how the source is");
                continue;
            }
        };
        let lag = match pulse.lag {
            Lag::NoReplica => None,
            Lag::Behind(lag) => Some(lag),
            Lag::Hidden { fix } => {
                if !std::mem::replace(&mut hidden_told, true) {
                    let _ = told.send(Felt::LagHidden { fix });
                }
                None
            }
        };
        let _ = told.send(Felt::Sample(Sample {
            at: clock.monotonic(),
            latency: pulse.round_trip,
            lag,
        }));
    }
}
