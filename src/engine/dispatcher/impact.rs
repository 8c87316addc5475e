//! Keeping within the impact budget: who may read is decided from what the source says of itself.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::Dispatcher;
use crate::controller::within_run::{Allowance, PATIENCE, Sample, share};
use crate::engine::error::EngineError;
use crate::engine::event::Event;
use crate::engine::watch;

/// What the watcher feels of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Felt {
    /// How it is now.
    Sample(Sample),
    /// The replicas' lag is not shown to us; what would show it.
    LagHidden {
        /// The statement.
        fix: String,
    },
}

impl Dispatcher<'_> {
    /// What feels how the source is, where there is a budget to keep within; it never ends by itself.
    pub(super) fn start_feeling(
        &self,
        tell: mpsc::UnboundedSender<Felt>,
    ) -> BoxFuture<'static, ()> {
        let budget = self.settings.impact;
        if !budget.is_watched() {
            return std::future::pending().boxed();
        }
        let (snapshot, clock) = (self.snapshot.clone(), self.settings.clock.clone());
        watch::feel(snapshot, clock, budget.replica_lag.is_some(), tell).boxed()
    }

    /// Takes note of how the source is.
    pub(super) fn feel(&mut self, felt: Felt, on_event: &mut (dyn FnMut(Event) + Send)) {
        let sample = match felt {
            Felt::Sample(sample) => sample,
            Felt::LagHidden { fix } => {
                let text = format!(
                    "impact budget: the replicas' lag is not shown to this account, so \
                     --max-replica-lag-s could not be held ({fix})"
                );
                return self.tell_impact(text, on_event);
            }
        };
        let allowance = self.throttle.observe(sample);
        let planned = self.spec.workers;
        let second = sample.at.saturating_sub(self.origin).as_secs();
        let text = match allowance {
            Allowance::Kept => return,
            Allowance::Shed { from, to, why } => {
                self.shed = true;
                format!(
                    "impact budget: {to} of {planned} workers from second {second} on, {from} before: \
                     {why}"
                )
            }
            Allowance::Restored { to } => {
                format!("impact budget: {to} of {planned} workers again from second {second} on")
            }
            Allowance::Hopeless { why } => {
                return self.fail(EngineError::Impact {
                    what: format!("stopped reading {}", self.spec.read.relation),
                    why: format!(
                        "{why}, for {} s with no worker of this run reading",
                        PATIENCE.as_secs()
                    ),
                    fix: "run when the source is at ease again, or raise the limit".to_owned(),
                });
            }
        };
        self.tell_impact(text, on_event);
        self.apply_allowance();
    }

    fn tell_impact(&mut self, text: String, on_event: &mut (dyn FnMut(Event) + Send)) {
        on_event(Event::Impact { text: text.clone() });
        self.adaptations.push(text);
    }

    /// Holds up whoever has a chunk and may not read now, lets go of the others, and gives chunks to
    /// idle workers as far as there is room.
    pub(super) fn apply_allowance(&mut self) {
        let busy: Vec<(u32, bool)> = self
            .hands
            .iter()
            .filter(|(_, hand)| hand.ready && !hand.idle && !hand.gone)
            .map(|(number, hand)| (*number, *hand.held.borrow()))
            .collect();
        let (free, room) = share(self.throttle.allowed(), &busy);
        for (number, _) in busy {
            if let Some(hand) = self.hands.get(&number) {
                let hold = !free.contains(&number);
                hand.held.send_if_modified(|held| {
                    let changed = *held != hold;
                    *held = hold;
                    changed
                });
            }
        }
        self.put_idle_to_work(room);
    }

    /// Gives waiting chunks to so many idle workers. Workers without a chunk keep their session: it
    /// holds the snapshot, and a chunk may come back.
    fn put_idle_to_work(&mut self, room: u32) {
        let idle = self.hands.values_mut();
        let idle = idle.filter(|hand| hand.idle && !hand.gone);
        for hand in idle.take(room as usize) {
            let Some(chunk) = self.waiting.pop() else {
                return;
            };
            // Who ended a chunk while held up would else be so for the next one, and for ever.
            hand.held.send_replace(false);
            match hand.orders.try_send(chunk) {
                Ok(()) => hand.idle = false,
                Err(refused) => self.waiting.push(refused.into_inner()),
            }
        }
    }

    /// Ends the run when its snapshot has been open for longer than it may.
    pub(super) fn check_age(&mut self) {
        let Some(limit) = self.settings.impact.snapshot_age else {
            return;
        };
        let now = self.settings.clock.monotonic();
        let age = now.saturating_sub(self.settings.snapshot_since);
        if age < limit {
            return;
        }
        let done = self.chunks.len() - self.waiting.len();
        let seconds = |time: Duration| time.as_secs();
        self.fail(EngineError::Impact {
            what: format!(
                "stopped reading {}: its snapshot has been open for too long",
                self.spec.read.relation
            ),
            why: format!(
                "it was opened {} s ago, --max-snapshot-age is {} s, and {} of {} chunks were begun",
                seconds(age),
                seconds(limit),
                done,
                self.chunks.len()
            ),
            fix: "raise --max-snapshot-age, read from a standby, or cut the rows with --where"
                .to_owned(),
        });
    }
}
