//! A run and its history as one page to look at: HTML that asks nobody for anything.
//!
//! [`Document`] is the data, most of it what `history`, `diagnose` and `metrics` compute; [`page`] draws
//! it. The page holds its style and its charts (SVG), no script, no font and no picture, and forbids
//! its browser to fetch any. Colours are told apart by people who see colours differently, stand on
//! dark paper too, and every chart has its numbers in a table below.

mod chart;
mod cost;
pub mod course;
mod document;
mod html;
mod lanes;
mod page;
mod runs;
mod scale;
mod speed;
mod spread;
mod work;
mod workers;

pub use document::{Document, REPORT_VERSION};
pub use page::{HEAD_BYTES, is_report, page};

#[cfg(test)]
mod tests;
