//! The rates that costs are reckoned with, from a file and flags; a flag wins over the file.

use super::hints::{read_object, wrong};
use crate::cli::args::CostArgs;
use crate::error::Failure;
use crate::model::{Given, Rates};

/// The rates that are given; `None` where nothing costs anything.
///
/// # Errors
/// 64 where a flag is wrong, else 78 where the file is; everything that is wrong with either is told.
pub fn rates(args: &CostArgs) -> Result<Option<Rates>, Failure> {
    let texts = [
        (
            "compute_cost_per_hour",
            "--compute-rate",
            &args.compute_rate,
        ),
        ("egress_cost_per_gb", "--egress-rate", &args.egress_rate),
        (
            "connection_cost_per_hour",
            "--connection-rate",
            &args.connection_rate,
        ),
    ];
    let texts = texts
        .into_iter()
        .map(|(key, flag, text)| (key, flag, text.as_deref()));
    let flags = Rates::take(Given::of_flags(texts));
    let file = match &args.cost_file {
        None => Ok(Rates::default()),
        Some(path) => read_object(path, &Rates::KEYS).and_then(Rates::take),
    };
    match (flags, file) {
        (Ok(flags), Ok(file)) => Ok(flags.over(file).charged()),
        (flags, file) => {
            let in_file = args.cost_file.as_deref().zip(file.err());
            Err(wrong("the rates", flags.err().unwrap_or_default(), in_file))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitCode;

    fn with_file(text: &str, compute: Option<&str>) -> Result<Option<Rates>, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rates.json");
        std::fs::write(&path, text).expect("a file");
        rates(&CostArgs {
            cost_file: Some(path),
            compute_rate: compute.map(str::to_owned),
            ..CostArgs::default()
        })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_zero_is_free() {
        assert_eq!(rates(&CostArgs::default()), Ok(None));
        let text = r#"{"compute_cost_per_hour": 2, "currency": "EUR"}"#;
        let found = with_file(text, None).expect("right").expect("rates");
        assert_eq!(found.currency(), "EUR");
        let found = with_file(text, Some("3")).expect("right").expect("rates");
        assert_eq!(found.compute_cost_per_hour.map(f64::from), Some(3.0));
        assert_eq!(with_file(text, Some("0")), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let failure = with_file(r#"{"compute_cost": 1, "egress_cost_per_gb": -1}"#, None);
        let failure = failure.expect_err("wrong");
        assert_eq!(failure.exit, ExitCode::Config);
        assert!(
            failure.why.contains("\"compute_cost\" is unknown"),
            "{failure}"
        );
        assert!(
            failure.why.contains("egress_cost_per_gb must be"),
            "{failure}"
        );
        let failure = with_file("{}", Some("inf")).expect_err("wrong");
        assert_eq!(failure.exit, ExitCode::Usage);
    }
}
