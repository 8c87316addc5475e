//! What becomes of a run whose table has changed.

use clap::Args;

use crate::model::OnSchemaChange;

/// Whether the table may have changed.
#[derive(Debug, Default, Args)]
pub struct DriftArgs {
    /// When columns were added, dropped, retyped or moved since the last published run: warn, fail (exit
    /// 5 before anything is read) or continue
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Safety",
        default_value = "warn",
        value_parser = rule
    )]
    pub on_schema_change: OnSchemaChange,
}

fn rule(text: &str) -> Result<OnSchemaChange, String> {
    OnSchemaChange::of(text).ok_or_else(|| "write warn, fail or continue".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_word() {
        for rule_of in ["warn", "fail", "continue"] {
            assert_eq!(rule(rule_of).map(OnSchemaChange::name), Ok(rule_of));
        }
        assert!(rule("ignore").is_err());
    }
}
