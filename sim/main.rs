//! Simulation: the real code of the pure rooms and of the engine, in worlds that are made up.
//!
//! Nothing here opens a socket or a file, and time is tokio's paused clock, so hours pass at once
//! and every run is the same.

#![allow(clippy::unwrap_used, reason = "tests")]

/// Sources, snapshots and sinks held in memory, and what can be made to go wrong with them.
mod world;

/// The real engine against those worlds.
mod engine;

/// The engine within an impact budget.
mod impact;

/// What runs are put down to when one thing goes wrong.
mod diagnosis;

/// A source as the controller between runs meets it.
mod plant;

/// Requests, profiles and plans: the planner's own, so that both mean the same table. They look for
/// their rooms where the library has them.
#[allow(dead_code, reason = "some are for the library's tests alone")]
#[path = "../src/planner/fixtures.rs"]
mod fixtures;
use ixtract::planner::{Inputs, Limits, PlanError, plan};
use ixtract::{estimator, model};

/// What is asked of courses of many runs.
mod course;

/// How evenly a table is shared out.
mod shares;

/// Random worlds around planner, estimator and controller.
mod swarm;

/// What the search for the best number of workers costs.
mod regret;

/// Sources that change.
mod change;

/// Hundreds of noisy runs.
mod hardening;

/// What the controller must and must not do over many runs.
mod scenarios;
