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
use super::gauge::Gauge;
use crate::clock::SharedClock;
use crate::controller::within_run::Sample;
use crate::source::{BlockedSession, Lag, Snapshot, SourceError};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often what the server does for us is looked at: seldom enough to cost it nothing.
const LOOKS: Duration = Duration::from_millis(200);
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

/// Looks a few times a second at what the server's side of each session does while its worker waits, for
/// as long as it is polled. A source that does not tell is not asked again.
pub(super) async fn look_at_sessions(
    snapshot: Arc<dyn Snapshot>,
    clock: SharedClock,
    gauges: Vec<Arc<Gauge>>,
) {
    let who_waits = || -> Vec<(&Gauge, u64)> {
        let gauges = gauges.iter();
        gauges
            .filter_map(|gauge| Some((gauge.as_ref(), gauge.waits_for()?)))
            .collect()
    };
    // The server looks half a round trip after it was asked, and that is when it must be known who waits.
    let mut half = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOKS).await;
        let begun = clock.monotonic();
        let mut asked = std::pin::pin!(snapshot.occupations());
        let (answer, waiting) = tokio::select! {
            biased;
            answer = &mut asked => (answer, who_waits()),
            () = tokio::time::sleep(half) => {
                let waiting = who_waits();
                (asked.await, waiting)
            }
        };
        half = clock.monotonic().saturating_sub(begun) / 2;
        let found = match answer {
            Ok(Some(found)) => found,
            Ok(None) => return std::future::pending().await,
            Err(error) => {
                tracing::debug!(%error, "cannot see what our sessions do");
                return std::future::pending().await;
            }
        };
        for (gauge, session) in waiting {
            if let Some(occupation) = found.get(&session) {
                gauge.found(*occupation);
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
