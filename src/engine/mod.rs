//! Executes a plan: a dispatcher owns the run's state, workers own one session each.

pub mod event;
