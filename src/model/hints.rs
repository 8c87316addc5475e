//! What the user knows of the circumstances and the program cannot measure: the runtime context, a
//! set of hints that may only lower what a run takes (facts sheet, section 6).

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::given::{Amount, Given};

/// How good the network is, by the user's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkHint {
    /// As it should be.
    Good,
    /// Three quarters of the workers.
    Degraded,
    /// Half of the workers.
    Poor,
}

/// How busy the source is, by the user's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadHint {
    /// At ease; never more workers for that.
    Low,
    /// As usual.
    Normal,
    /// Half of the workers.
    High,
}

/// How much the run matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Three quarters of the workers.
    Low,
    /// As it is.
    Normal,
    /// Takes back a quarter of what the circumstances took, within the caps.
    Critical,
}

impl NetworkHint {
    /// The word in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Poor => "poor",
        }
    }

    /// The factor on the workers, in thousandths.
    pub fn permille(self) -> u32 {
        match self {
            Self::Good => 1_000,
            Self::Degraded => 750,
            Self::Poor => 500,
        }
    }
}

impl LoadHint {
    /// The word in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// The factor on the workers, in thousandths.
    pub fn permille(self) -> u32 {
        match self {
            Self::Low | Self::Normal => 1_000,
            Self::High => 500,
        }
    }
}

impl Priority {
    /// The word in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }
}

/// The hints, each of which may be given or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeContext {
    /// The most sessions that this run may have on the source, all of its own counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_source_connections: Option<NonZeroU32>,
    /// The most memory that this run may take, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory_mb: Option<NonZeroU64>,
    /// How good the network is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_quality: Option<NetworkHint>,
    /// How busy the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_load: Option<LoadHint>,
    /// Sessions that other extractions take from `max_source_connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_extractions: Option<u32>,
    /// Whether the source is being maintained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_maintenance_scheduled: Option<bool>,
    /// How much the run matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How long the run should take at the most, in minutes; advice only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_duration_minutes: Option<NonZeroU32>,
    /// How much may be written to the target, in MiB; advice only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_budget_mb: Option<Amount>,
    /// How long until the source must be left alone, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_window_minutes: Option<NonZeroU32>,
    /// Room for the output, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_available_gb: Option<Amount>,
}

impl RuntimeContext {
    /// The keys of a context file, in the order of the fields.
    pub const KEYS: [&str; 11] = [
        "max_source_connections",
        "max_memory_mb",
        "network_quality",
        "source_load",
        "concurrent_extractions",
        "source_maintenance_scheduled",
        "priority",
        "target_duration_minutes",
        "egress_budget_mb",
        "maintenance_window_minutes",
        "disk_available_gb",
    ];

    /// The flag that stands for a key, where it has one.
    pub fn flag(key: &str) -> Option<&'static str> {
        let at = Self::KEYS.iter().position(|known| *known == key)?;
        FLAGS.get(at).copied()
    }

    /// Takes the hints out of what was given.
    ///
    /// # Errors
    /// Everything that is wrong, one line each.
    pub fn take(mut given: Given) -> Result<Self, Vec<String>> {
        let network = [NetworkHint::Good, NetworkHint::Degraded, NetworkHint::Poor];
        let load = [LoadHint::Low, LoadHint::Normal, LoadHint::High];
        let priority = [Priority::Low, Priority::Normal, Priority::Critical];
        let context = Self {
            max_source_connections: nonzero(given.whole("max_source_connections", 1)),
            max_memory_mb: given.whole("max_memory_mb", 1).and_then(NonZeroU64::new),
            network_quality: given.word("network_quality", &network.map(|w| (w.name(), w))),
            source_load: given.word("source_load", &load.map(|w| (w.name(), w))),
            concurrent_extractions: given.whole("concurrent_extractions", 0),
            source_maintenance_scheduled: given.truth("source_maintenance_scheduled"),
            priority: given.word("priority", &priority.map(|w| (w.name(), w))),
            target_duration_minutes: nonzero(given.whole("target_duration_minutes", 1)),
            egress_budget_mb: given.amount("egress_budget_mb"),
            maintenance_window_minutes: nonzero(given.whole("maintenance_window_minutes", 1)),
            disk_available_gb: given.amount("disk_available_gb"),
        };
        given.end().map(|()| context)
    }

    /// These hints, and of `below` those that are not among them.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            max_source_connections: self.max_source_connections.or(below.max_source_connections),
            max_memory_mb: self.max_memory_mb.or(below.max_memory_mb),
            network_quality: self.network_quality.or(below.network_quality),
            source_load: self.source_load.or(below.source_load),
            concurrent_extractions: self.concurrent_extractions.or(below.concurrent_extractions),
            source_maintenance_scheduled: self
                .source_maintenance_scheduled
                .or(below.source_maintenance_scheduled),
            priority: self.priority.or(below.priority),
            target_duration_minutes: self
                .target_duration_minutes
                .or(below.target_duration_minutes),
            egress_budget_mb: self.egress_budget_mb.or(below.egress_budget_mb),
            maintenance_window_minutes: self
                .maintenance_window_minutes
                .or(below.maintenance_window_minutes),
            disk_available_gb: self.disk_available_gb.or(below.disk_available_gb),
        }
    }

    /// These hints; `None` where there is none at all.
    pub fn given(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// The flags, in the order of [`RuntimeContext::KEYS`].
const FLAGS: [&str; 11] = [
    "--max-source-connections",
    "--max-memory-mb",
    "--network-quality",
    "--source-load",
    "--concurrent-extractions",
    "--source-maintenance",
    "--priority",
    "--target-duration",
    "--egress-budget-mb",
    "--maintenance-window",
    "--disk-available-gb",
];

fn nonzero(number: Option<u32>) -> Option<NonZeroU32> {
    number.and_then(NonZeroU32::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_json(text: &str) -> Result<RuntimeContext, Vec<String>> {
        RuntimeContext::take(Given::of_json(text, &RuntimeContext::KEYS).expect("an object"))
    }

    const ALL: &str = r#"{"max_source_connections":6,"max_memory_mb":512,"network_quality":"poor","source_load":"high","concurrent_extractions":2,"source_maintenance_scheduled":true,"priority":"low","target_duration_minutes":30,"egress_budget_mb":100.5,"maintenance_window_minutes":60,"disk_available_gb":10.0}"#;

    #[test]
    fn every_hint_goes_in_and_comes_out_as_it_was() {
        let context = of_json(ALL).expect("right");
        let text = serde_json::to_string(&context).expect("JSON");
        assert_eq!(text, ALL);
        assert_eq!(
            serde_json::from_str::<RuntimeContext>(&text).ok(),
            Some(context.clone())
        );
        assert_eq!(context.given().map(|_| ()), Some(()));
    }

    #[test]
    fn nothing_given_is_no_context() {
        for text in ["{}", r#"{"priority": null}"#] {
            let context = of_json(text).expect("right");
            assert_eq!(serde_json::to_string(&context).ok().as_deref(), Some("{}"));
            assert_eq!(context.given(), None);
        }
    }

    #[test]
    fn every_error_is_told_at_once_and_booleans_are_no_numbers() {
        let told = of_json(
            r#"{"max_sorce_connections": 1, "max_memory_mb": true, "network_quality": "bad",
                "source_load": "critical", "concurrent_extractions": -1,
                "source_maintenance_scheduled": 1, "priority": "urgent",
                "target_duration_minutes": 0, "egress_budget_mb": "5",
                "maintenance_window_minutes": 1.5, "disk_available_gb": false}"#,
        )
        .expect_err("wrong");
        assert_eq!(told.len(), 11, "{told:#?}");
        assert!(
            told[0].contains("did you mean max_source_connections?"),
            "{told:#?}"
        );
        assert_eq!(
            told[1],
            "max_memory_mb must be a whole number of at least 1, not true"
        );
        assert_eq!(
            told[10],
            "disk_available_gb must be a number from 0 to 1e15, not false"
        );
    }

    #[test]
    fn what_is_on_top_wins() {
        let (top, below) = (
            r#"{"priority": "low"}"#,
            r#"{"priority": "critical", "max_memory_mb": 9}"#,
        );
        let both = of_json(top)
            .expect("right")
            .over(of_json(below).expect("right"));
        assert_eq!(
            both,
            of_json(r#"{"priority": "low", "max_memory_mb": 9}"#).expect("right")
        );
        let all = of_json(ALL).expect("right");
        assert_eq!(RuntimeContext::default().over(all.clone()), all);
        assert_eq!(all.clone().over(RuntimeContext::default()), all);
    }

    #[test]
    fn every_key_has_its_flag() {
        assert_eq!(
            RuntimeContext::flag("max_memory_mb"),
            Some("--max-memory-mb")
        );
        assert_eq!(
            RuntimeContext::flag("target_duration_minutes"),
            Some("--target-duration")
        );
        assert_eq!(RuntimeContext::flag("mood"), None);
        assert!(
            RuntimeContext::KEYS
                .iter()
                .all(|key| RuntimeContext::flag(key).is_some())
        );
    }
}
