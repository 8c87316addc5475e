//! The format group, settled: what only one format knows is refused with the other, because a flag
//! without effect is a mistake that nobody would notice.

use crate::cli::args::FormatArgs;
use crate::error::{ExitCode, Failure};
use crate::model::{
    Compression, CsvOptions, FileCompression, Format, FormatOptions, MIN_FILE_BYTES, ParquetOptions,
};

/// The format and its options.
///
/// # Errors
/// 64 for a flag of the other format, a compression that the format does not have, or a delimiter
/// and a text for NULL that a reader could not tell apart.
pub(super) fn settle(args: &FormatArgs) -> Result<FormatOptions, Failure> {
    if let Some(bytes) = args.max_file_size.filter(|bytes| *bytes < MIN_FILE_BYTES) {
        return Err(Failure::new(
            ExitCode::Usage,
            "--max-file-size is too small",
            format!("{bytes} bytes are less than 1 MB, and small files are slow for every reader"),
            "pass 1MB or more; 100MB to 1GB is what most readers like",
        ));
    }
    match args.format {
        Format::Parquet => parquet(args),
        Format::Csv => csv(args),
    }
}

fn parquet(args: &FormatArgs) -> Result<FormatOptions, Failure> {
    refuse(
        Format::Parquet,
        &[
            ("--csv-null", args.csv_null.is_some()),
            ("--csv-delimiter", args.csv_delimiter.is_some()),
            ("--csv-quote-all", args.csv_quote_all),
            ("--csv-no-header", args.csv_no_header),
        ],
        "pass --format csv too, or leave it out",
    )?;
    let ordinary = ParquetOptions::default();
    Ok(FormatOptions::Parquet(ParquetOptions {
        compression: args.compression.unwrap_or(ordinary.compression),
        row_group_rows: args.row_group_rows.unwrap_or(ordinary.row_group_rows),
        row_group_bytes: args.row_group_bytes.unwrap_or(ordinary.row_group_bytes),
        max_file_bytes: args.max_file_size,
    }))
}

fn csv(args: &FormatArgs) -> Result<FormatOptions, Failure> {
    refuse(
        Format::Csv,
        &[
            ("--row-group-rows", args.row_group_rows.is_some()),
            ("--row-group-bytes", args.row_group_bytes.is_some()),
        ],
        "leave it out: CSV has no row groups",
    )?;
    let ordinary = CsvOptions::default();
    let options = CsvOptions {
        compression: args
            .compression
            .map_or(Ok(ordinary.compression), file_compression)?,
        null: args.csv_null.clone().unwrap_or(ordinary.null),
        delimiter: args.csv_delimiter.unwrap_or(ordinary.delimiter),
        quote_all: args.csv_quote_all,
        header: !args.csv_no_header,
        max_file_bytes: args.max_file_size,
    };
    options.check().map_err(|why| {
        Failure::new(
            ExitCode::Usage,
            "--csv-delimiter and --csv-null do not go together",
            why,
            "choose another --csv-delimiter or --csv-null",
        )
    })?;
    Ok(FormatOptions::Csv(options))
}

fn file_compression(compression: Compression) -> Result<FileCompression, Failure> {
    compression.try_into().map_err(|why: String| {
        Failure::new(
            ExitCode::Usage,
            format!("--compression {compression} does not go with --format csv"),
            why,
            "pass --compression gzip or zstd, or leave it out",
        )
    })
}

fn refuse(format: Format, flags: &[(&str, bool)], fix: &str) -> Result<(), Failure> {
    match flags.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::new(
            ExitCode::Usage,
            format!("{flag} does not go with --format {}", format.name()),
            format!("{flag} has no meaning in that format"),
            fix,
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        format: FormatArgs,
    }

    fn settled(flags: &[&str]) -> Result<FormatOptions, Failure> {
        let words = ["ixtract"].iter().chain(flags);
        settle(&Line::try_parse_from(words).expect("valid flags").format)
    }

    #[test]
    fn each_format_has_its_own_defaults() {
        assert_eq!(settled(&[]).unwrap(), FormatOptions::default());
        let csv = settled(&["--format", "csv"]).unwrap();
        assert_eq!(csv, FormatOptions::Csv(CsvOptions::default()));
        assert_eq!(csv.compression(), Compression::None);
        let all = settled(&[
            "--format",
            "csv",
            "--compression",
            "zstd",
            "--csv-null",
            "-",
            "--csv-delimiter",
            "\\t",
            "--csv-quote-all",
            "--csv-no-header",
        ]);
        let want = CsvOptions {
            compression: FileCompression::Zstd(3),
            null: "-".to_owned(),
            delimiter: '\t',
            quote_all: true,
            header: false,
            max_file_bytes: None,
        };
        assert_eq!(all.unwrap(), FormatOptions::Csv(want));
    }

    #[test]
    fn what_does_not_go_together_is_a_usage_error() {
        for (flags, says) in [
            (&["--csv-null", "x"][..], "--csv-null does not go with"),
            (&["--csv-no-header"], "--csv-no-header does not go with"),
            (&["--format", "csv", "--compression", "snappy"], "snappy"),
            (&["--format", "csv", "--compression", "lz4"], "lz4"),
            (&["--format", "csv", "--row-group-rows", "5"], "--row-group"),
            (&["--format", "csv", "--csv-delimiter", "\""], "'\"'"),
            (&["--format", "csv", "--csv-null", "a,b"], "\"a,b\""),
        ] {
            let failure = settled(flags).expect_err("refused");
            assert_eq!(failure.exit, ExitCode::Usage, "{failure}");
            assert!(failure.to_string().contains(says), "{failure}");
        }
    }
}
