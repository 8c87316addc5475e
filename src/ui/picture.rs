//! Small pictures of numbers, in text.

/// A bar's blocks: an eighth, two eighths, …, a whole.
const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of at most `columns`, as long as `value` is of `most`; what is above 0 is seen.
pub(super) fn bar(value: f64, most: f64, columns: usize) -> String {
    let share = value / most;
    if !share.is_finite() || share <= 0.0 {
        return String::new();
    }
    let eighths = ((share.min(1.0) * columns as f64 * 8.0).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8 - 1]);
    }
    bar
}

/// A column a value, as high as it is of the highest; a dot where there is none. Where there is no room
/// for all in `columns`, the last are shown, after an ellipsis.
pub(super) fn sparkline(values: &[Option<u64>], columns: Option<usize>) -> String {
    let room = columns.unwrap_or(values.len()).max(2);
    let (mut drawn, shown) = match values.len() > room {
        true => ("…".to_owned(), &values[values.len() - (room - 1)..]),
        false => (String::new(), values),
    };
    let highest = shown.iter().flatten().max().copied().unwrap_or(0) as f64;
    drawn.extend(shown.iter().map(|value| match value {
        None => '·',
        Some(value) => HEIGHTS[((*value as f64 / highest * 8.0).ceil() as usize).clamp(1, 8) - 1],
    }));
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ui::text;

    #[test]
    fn bars_are_as_long_as_their_values() {
        assert_eq!(bar(1.0, 1.0, 4), "████");
        assert_eq!(bar(0.5, 1.0, 4), "██");
        assert_eq!(bar(0.28, 1.0, 4), "█▏");
        assert_eq!(bar(1e-9, 1.0, 4), "▏");
        assert_eq!(
            [bar(0.0, 1.0, 4), bar(1.0, 0.0, 4), bar(f64::NAN, 1.0, 4)],
            ["", "", ""]
        );
    }

    #[test]
    fn the_newest_are_shown_where_there_is_no_room_for_all() {
        let values = [Some(1), None, Some(4), Some(8)];
        assert_eq!(sparkline(&values, None), "▁·▄█");
        assert_eq!(sparkline(&values, Some(4)), "▁·▄█");
        assert_eq!(sparkline(&values, Some(3)), "…▄█");
        assert_eq!(sparkline(&[], Some(3)), "");
        assert_eq!(sparkline(&[Some(0)], None), "▁");
    }

    proptest! {
        #[test]
        fn pictures_keep_to_their_columns(
            values in proptest::collection::vec(proptest::option::of(0u64..1_000_000_000), 0..80),
            columns in 2usize..60,
        ) {
            prop_assert!(text::width(&sparkline(&values, Some(columns))) <= columns);
            for value in values.iter().flatten() {
                prop_assert!(text::width(&bar(*value as f64, 1e9, columns)) <= columns);
            }
        }
    }
}
