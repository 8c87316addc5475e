//! ixtract copies tables out of databases into Parquet: exactly, gently, and learning from every run.
//!
//! The modules stand in the order data flows. Pure rooms ([`model`], [`planner`], [`estimator`],
//! [`controller`], [`diagnosis`], [`report`]) know nothing of the world; the shell ([`source`], [`profiler`],
//! [`writer`], [`engine`], [`benchmarker`], [`state`], [`doctor`], [`ui`], [`cli`]) does. `ARCHITECTURE.md` is
//! the map.

pub mod clock;
pub mod error;

pub mod model;

pub mod controller;
pub mod cost;
pub mod diagnosis;
pub mod diff;
pub mod drift;
pub mod estimator;
pub mod metrics;
pub mod planner;

pub mod source;

pub mod profiler;

pub mod engine;
pub mod writer;

pub mod benchmarker;

pub mod state;

pub mod doctor;

pub mod cli;
pub mod report;
pub mod ui;
