//! Tables for people: their columns line up whatever is in them, and they fit the terminal.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table as Grid, Width, presets,
};

use super::text;
use super::{Line, visible};

/// Columns before a table.
const INDENT: usize = 2;

/// A cell is wrapped here, so that one long type name does not ruin the screen.
const CELL: u16 = 60;

/// A column of words is not made narrower than this.
const WORDS: u16 = 10;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
    spare: Option<usize>,
}

/// A grid with a header, indented by two; columns listed in `right` are aligned right.
pub(super) fn grid(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> Line {
    Line::Table(Table::new(header, rows, right))
}

impl Table {
    /// See [`grid`].
    pub(super) fn new(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> Self {
        // Names come from databases; a line break or tab of theirs would break the grid.
        let shown = |row: Vec<String>| -> Vec<String> {
            let cells = row.into_iter();
            cells
                .map(|cell| cell.chars().map(visible).collect())
                .collect()
        };
        Self {
            header: header.iter().map(|&name| name.to_owned()).collect(),
            rows: rows.into_iter().map(shown).collect(),
            right: right.to_vec(),
            spare: None,
        }
    }

    /// With a column that is left out where there is no room for all.
    #[must_use]
    pub(super) fn with_spare(self, column: usize) -> Self {
        Self {
            spare: Some(column),
            ..self
        }
    }

    /// The table as text of at most `width` columns: as it is where it fits, else without its spare
    /// column, else with wrapped cells, and where not even these fit, line by line.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let Some(width) = width else {
            return self.drawn(None);
        };
        let fits = |text: &String| text.lines().all(|line| text::width(line) <= width);
        let whole = self.drawn(None);
        if fits(&whole) {
            return whole;
        }
        if let Some(spare) = self.spare {
            return self.without(spare).text(Some(width));
        }
        let wrapped = self.drawn(Some(width.saturating_sub(INDENT)));
        if fits(&wrapped) {
            return wrapped;
        }
        self.listed(width)
    }

    fn without(&self, column: usize) -> Self {
        let cut = |cells: &Vec<String>| {
            let mut cells = cells.clone();
            if column < cells.len() {
                cells.remove(column);
            }
            cells
        };
        let right = self.right.iter().filter(|at| **at != column);
        Self {
            header: cut(&self.header),
            rows: self.rows.iter().map(cut).collect(),
            right: right.map(|at| at - usize::from(*at > column)).collect(),
            spare: None,
        }
    }

    /// The grid; numbers stay whole where words are wrapped to fit.
    fn drawn(&self, fit: Option<usize>) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_header(&self.header).add_rows(&self.rows);
        if let Some(width) = fit {
            grid.set_content_arrangement(ContentArrangement::Dynamic);
            grid.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            let number = self.right.contains(&index);
            if number {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_constraint(match fit {
                Some(_) if number => ColumnConstraint::ContentWidth,
                Some(_) => {
                    ColumnConstraint::LowerBoundary(Width::Fixed(WORDS.min(self.words(index)) + 2))
                }
                None => ColumnConstraint::UpperBoundary(Width::Fixed(CELL)),
            });
        }
        let text = grid.to_string();
        let lines = text
            .lines()
            .map(|line| format!("{:INDENT$}{}", "", line.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The widest cell of a column.
    fn words(&self, column: usize) -> u16 {
        let cells = self.rows.iter().chain([&self.header]);
        let widest = cells
            .filter_map(|row| row.get(column))
            .map(|cell| text::width(cell))
            .max();
        u16::try_from(widest.unwrap_or(0)).unwrap_or(u16::MAX)
    }

    /// A line a cell, named, and an empty one between rows; a cell without a name belongs to the one
    /// before it.
    fn listed(&self, width: usize) -> String {
        let names = self.header.iter().map(|name| text::width(name));
        let widest = names.max().unwrap_or(0);
        let listed = |row: &Vec<String>| {
            let mut cells: Vec<(&str, String)> = Vec::new();
            for (cell, name) in row.iter().zip(&self.header) {
                match cells.last_mut() {
                    _ if cell.is_empty() => {}
                    Some((_, before)) if name.is_empty() => before.push_str(&format!(" {cell}")),
                    _ => cells.push((name, cell.clone())),
                }
            }
            let lines = cells.iter().map(|(name, cell)| {
                let label = text::padded(name, widest);
                text::hanging(&format!("{:INDENT$}{label}  ", ""), cell, width)
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        let rows: Vec<String> = self.rows.iter().map(listed).collect();
        rows.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_line_up_whatever_the_names() {
        let rows = vec![
            vec!["id".to_owned(), "1".to_owned()],
            vec!["名前\n!".to_owned(), "20".to_owned()],
        ];
        let table = Table::new(&["column", "n"], rows, &[1]);
        assert_eq!(
            table.text(None),
            "  column   n\n  id       1\n  名前\u{fffd}!  20"
        );
    }

    fn wide() -> Table {
        let rows = vec![
            vec![
                "public.orders".to_owned(),
                "1,234,567".to_owned(),
                "▉▉▉▉".to_owned(),
                "too few workers, resumed".to_owned(),
            ],
            vec![
                "名前名前名前".to_owned(),
                "9".to_owned(),
                "▍".to_owned(),
                "stable".to_owned(),
            ],
        ];
        Table::new(&["table", "rows", "", "diagnosis"], rows, &[1]).with_spare(2)
    }

    #[test]
    fn what_does_not_fit_goes_step_by_step() {
        let table = wide();
        assert_eq!(table.text(Some(80)), table.text(None));
        let spared = table.text(Some(54));
        assert!(
            !spared.contains('▍') && spared.lines().count() == 3,
            "{spared}"
        );
        let wrapped = table.text(Some(48));
        assert!(wrapped.lines().count() > 3, "{wrapped}");
        assert!(
            wrapped.contains("1,234,567"),
            "a number stays whole: {wrapped}"
        );
        insta::assert_snapshot!(table.text(Some(24)), @"
          table      public.orde
                     rs
          rows       1,234,567
          diagnosis  too few
                     workers,
                     resumed

          table      名前名前名
                     前
          rows       9
          diagnosis  stable
        ");
    }

    /// Text as databases have it: wide, combining, joined, turned, broken.
    fn cells() -> impl Strategy<Value = String> {
        let words = prop_oneof![
            "[a-z]{0,9}",
            "[a-z_.]{0,40}",
            Just("名前".to_owned()),
            Just("Ω≈ç√e\u{301}e\u{301}".to_owned()),
            Just("👩\u{200d}👩\u{200d}👧 🇩🇪 👍🏽".to_owned()),
            Just("한국어 テスト".to_owned()),
            Just("a\u{202e}b\tc\nd\u{200b}".to_owned()),
            "\\PC{0,12}",
        ];
        proptest::collection::vec(words, 0..4).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in proptest::collection::vec(proptest::collection::vec(cells(), 4), 0..6),
            width in 24usize..160,
        ) {
            let table = Table::new(&["name", "rows", "", "note"], rows, &[]).with_spare(2);
            for line in table.text(Some(width)).lines() {
                prop_assert!(text::width(line) <= width, "{} > {width}: {line:?}", text::width(line));
            }
        }

        #[test]
        fn columns_end_where_their_numbers_end(
            names in proptest::collection::vec((cells(), 0u64..1_000_000_000), 1..8),
        ) {
            let rows = names.iter().map(|(name, number)| vec![name.clone(), number.to_string()]);
            let text = Table::new(&["name", "n"], rows.collect(), &[1]).text(None);
            // A wrapped name goes on below its number.
            let ends: Vec<usize> = text
                .lines()
                .filter(|line| line.ends_with(|c: char| c.is_ascii_digit()))
                .filter(|line| names.iter().any(|(_, number)| line.ends_with(&format!(" {number}"))))
                .map(text::width)
                .collect();
            prop_assert!(ends.len() >= names.len());
            let last = text.lines().next().map(text::width);
            prop_assert!(ends.iter().all(|end| Some(*end) == last), "{text}");
        }
    }
}
