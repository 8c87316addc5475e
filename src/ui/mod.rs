//! What people and programs see. Nothing outside this module writes to stdout or stderr.
//!
//! Views ([`plan`], [`estimate`], [`benchmark`], [`profile`], [`summary`], [`history`], [`replay`])
//! turn data into [`Line`]s and know nothing of terminals; the [`Printer`] decides what may be shown
//! where. [`wording`] is the only place where
//! reasons become sentences, [`json`] holds the documents of `--json`.

pub mod benchmark;
pub mod config;
mod cost;
pub mod diagnose;
pub mod diff;
pub mod doctor;
mod drift;
pub mod estimate;
pub mod explain;
mod glyph;
pub mod hints;
pub mod history;
pub mod inspect;
pub mod json;
mod measured;
pub mod metrics;
pub mod plan;
mod printer;
pub mod profile;
mod progress;
pub mod replay;
pub mod report;
pub mod resume;
pub mod state;
pub mod summary;
mod table;
mod timeline;
pub mod units;

pub mod wording;

pub use glyph::visible;
pub use printer::{Manner, Printer};
pub use progress::Progress;

use crate::model::Check;

/// One line for people, styled by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An empty line.
    Blank,
    /// The beginning of something.
    Heading(String),
    /// A named fact.
    Fact(&'static str, String),
    /// Plain text.
    Text(String),
    /// Something that went well, worth a look.
    Good(String),
    /// A judgement, by its name: good, or to think about.
    Judgement {
        /// The name.
        label: &'static str,
        /// The words.
        text: String,
        /// Whether it is good.
        good: bool,
    },
    /// Something to think about.
    Warning(String),
    /// What `doctor` found of one thing.
    Check(Check),
}

impl Line {
    /// A fact from anything that can be shown.
    fn fact(label: &'static str, value: impl Into<String>) -> Self {
        Self::Fact(label, value.into())
    }
}

/// The lines as plain text, for tests of views.
#[cfg(test)]
fn plain(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&printer::render(line, false));
        text.push('\n');
    }
    text
}
