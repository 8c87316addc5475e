//! Money: the user's rates, and what they make of a run.

use serde::{Deserialize, Serialize};

use super::given::{Amount, Given};

/// What the user pays, as far as given (facts sheet, section 11).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// For an hour of the machine that runs ixtract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_cost_per_hour: Option<Amount>,
    /// For a GiB that is written to the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_cost_per_gb: Option<Amount>,
    /// For an hour of a worker's connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_cost_per_hour: Option<Amount>,
    /// What the rates are in; a label only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl Rates {
    /// The keys of a cost file, in the order of the fields.
    pub const KEYS: [&str; 4] = [
        "compute_cost_per_hour",
        "egress_cost_per_gb",
        "connection_cost_per_hour",
        "currency",
    ];

    /// Takes the rates out of what was given.
    ///
    /// # Errors
    /// Everything that is wrong, one line each.
    pub fn take(mut given: Given) -> Result<Self, Vec<String>> {
        let rates = Self {
            compute_cost_per_hour: given.amount("compute_cost_per_hour"),
            egress_cost_per_gb: given.amount("egress_cost_per_gb"),
            connection_cost_per_hour: given.amount("connection_cost_per_hour"),
            currency: given.label("currency"),
        };
        given.end().map(|()| rates)
    }

    /// These rates, and of `below` those that are not among them.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            compute_cost_per_hour: self.compute_cost_per_hour.or(below.compute_cost_per_hour),
            egress_cost_per_gb: self.egress_cost_per_gb.or(below.egress_cost_per_gb),
            connection_cost_per_hour: self
                .connection_cost_per_hour
                .or(below.connection_cost_per_hour),
            currency: self.currency.or(below.currency),
        }
    }

    /// These rates; `None` where nothing costs anything.
    pub fn charged(self) -> Option<Self> {
        let rates = [
            self.compute_cost_per_hour,
            self.egress_cost_per_gb,
            self.connection_cost_per_hour,
        ];
        let charged = rates.into_iter().flatten().any(|rate| rate.get() > 0.0);
        charged.then_some(self)
    }

    /// The label of the currency.
    pub fn currency(&self) -> &str {
        self.currency.as_deref().unwrap_or("USD")
    }
}

/// What something costs, each part rounded to four decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// The machine's time.
    pub compute: f64,
    /// What is written.
    pub egress: f64,
    /// The workers' connections.
    pub connections: f64,
    /// All of it.
    pub total: f64,
}

/// What a number of workers would take and cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// Workers.
    pub workers: u32,
    /// Seconds.
    pub duration_s: f64,
    /// Cost.
    pub cost: Cost,
    /// Whether it is the plan's.
    pub planned: bool,
    /// Whether the throughput of this number was measured; only the plan's own may be a guess.
    pub measured: bool,
}

/// The plan's number of workers beside others that are cheaper or faster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By workers; the plan's is always among them, one that another beats in both is not.
    pub alternatives: Vec<Alternative>,
    /// What the plan costs more than the cheapest, where it is faster than that.
    pub extra: Option<Extra>,
}

/// The price of being faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extra {
    /// In the rates' currency.
    pub cost: f64,
    /// In percent of the cheapest; `None` where that costs nothing.
    pub percent: Option<f64>,
}
