//! A profile for people: what is known of a table, and from where.

use super::json::ProfileDocument;
use super::{Line, table, units, wording};
use crate::model::{KeyProfile, SourceProfile};

/// The profile on one screen.
pub fn view(document: &ProfileDocument<'_>) -> Vec<Line> {
    let profile = document.profile;
    let estimate = profile.statistics.estimate;
    let mut lines = vec![
        Line::Heading(format!("{} on {}", profile.table.relation, profile.server)),
        Line::fact("source", document.source.clone()),
        Line::fact(
            "rows",
            format!(
                "about {}, from {}",
                units::exact(estimate.rows),
                wording::origin(estimate.origin)
            ),
        ),
        Line::fact("size", size(profile)),
        Line::fact("key", key(profile)),
        Line::fact("latency", latency(profile)),
    ];
    if let Some(blocks) = profile.statistics.blocks {
        lines.push(Line::fact("blocks", units::exact(u64::from(blocks))));
    }
    if !document.file {
        lines.push(Line::fact("connections", connections(profile)));
    }
    if let Some(query) = &profile.table.query {
        lines.push(Line::fact("query", query.clone()));
    }
    if let Some(filter) = &profile.table.filter {
        lines.push(Line::fact("where", filter.clone()));
    }
    lines.extend(profile.warnings.iter().cloned().map(Line::Warning));
    lines.push(Line::Blank);
    lines.push(Line::Heading(units::plural(
        profile.table.columns.len() as u64,
        "column",
    )));
    lines.push(columns(profile));
    lines
}

fn size(profile: &SourceProfile) -> String {
    format!(
        "{}, about {} a row",
        units::bytes(profile.statistics.bytes),
        units::bytes(profile.avg_row_bytes())
    )
}

fn key(profile: &SourceProfile) -> String {
    match &profile.key {
        None => "none that chunks could be cut on".to_owned(),
        Some(key) => match &profile.whole_key {
            Some(whole) => format!("{}\n{}", known_key(key), known_key(whole)),
            None => known_key(key),
        },
    }
}

fn known_key(found: &KeyProfile) -> String {
    let key = &found.key;
    let kind = match (key.primary, key.unique) {
        (true, _) => "primary key",
        (false, true) => "unique",
        (false, false) => "indexed",
    };
    let mut text = match key.rest.len() {
        0 => format!("{} {}, {kind}", key.column, key.source_type),
        _ => format!("{key}, {kind}"),
    };
    if let (Some(min), Some(max)) = (&found.density.min, &found.density.max) {
        text.push_str(&format!(", {min} to {max}"));
    }
    text.push_str(&format!(
        "\nspread known from {}, variation {:.2}",
        wording::origin(found.density.origin),
        f64::from(found.cv_permille) / 1000.0
    ));
    if let Some(correlation) = found.correlation_permille {
        text.push_str(&format!(
            ", correlation with storage {:.2}",
            f64::from(correlation) / 1000.0
        ));
    }
    text
}

fn latency(profile: &SourceProfile) -> String {
    let time = |micros: u64| {
        if micros < 1000 {
            format!("{micros} µs")
        } else {
            format!("{:.1} ms", micros as f64 / 1000.0)
        }
    };
    let latency = &profile.latency;
    format!(
        "{} median, {} at worst of {}; connected in {}",
        time(latency.p50_us()),
        time(latency.p95_us()),
        latency.round_trips_us.len(),
        time(latency.connect_us)
    )
}

fn connections(profile: &SourceProfile) -> String {
    let load = profile.connections;
    // Where a snapshot is shared by fewer readers than there are connections, they are the limit.
    let ours = load.safe().min(profile.max_readers);
    format!(
        "{} of {} in use; at most {ours} for us",
        load.active, load.max
    )
}

fn columns(profile: &SourceProfile) -> Line {
    let rows = profile.table.columns.iter().map(|column| {
        vec![
            column.name.clone(),
            column.source_type.clone(),
            column.field.to_string(),
            if column.nullable { "yes" } else { "no" }.to_owned(),
        ]
    });
    table::grid(
        &["column", "source type", "parquet", "null"],
        rows.collect(),
        &[],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::fixtures;
    use crate::ui::plain;

    #[test]
    fn a_profile_says_what_is_known_and_from_where() {
        let profile = fixtures::profile(3_000_000);
        let document = ProfileDocument {
            source: fixtures::source().to_string(),
            file: false,
            profile: &profile,
        };
        insta::assert_snapshot!(plain(&view(&document)), @"
        public.orders on PostgreSQL 15.18
          source       postgresql://db.example:5432/shop
          rows         about 3,000,000, from the catalogue's statistics
          size         300.0 MB, about 100 B a row
          key          id bigint, primary key, 1 to 3000000
                       spread known from the catalogue's statistics, variation 0.00, correlation with storage 1.00
          latency      220 µs median, 300 µs at worst of 5; connected in 900 µs
          blocks       37,500
          connections  10 of 100 in use; at most 45 for us

        1 column
          column  source type  parquet  null
          id      bigint       int64    no
        ");
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let mut profile = fixtures::profile(0);
        profile.key = None;
        profile.statistics.estimate.origin = crate::model::Origin::Unknown;
        let document = ProfileDocument {
            source: fixtures::source().to_string(),
            file: true,
            profile: &profile,
        };
        let text = plain(&view(&document));
        assert!(text.contains("about 0, from nothing: a guess"), "{text}");
        assert!(text.contains("none that chunks could be cut on"), "{text}");
        assert!(!text.contains("connections"), "{text}");
    }
}
