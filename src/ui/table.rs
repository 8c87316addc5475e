//! Tables for people.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};

use super::visible;

/// A grid with a header, indented by two; columns listed in `right` are aligned right.
///
/// Long cells are wrapped at 60 characters, so that one long type name does not ruin the screen.
pub(super) fn grid(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    const CELL: u16 = 60;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Names come from databases; the printer replaces what a terminal would obey, but a line break
    // or tab would already have broken the grid.
    let rows = rows.into_iter().map(|row| {
        row.into_iter()
            .map(|cell| cell.chars().map(visible).collect())
            .collect::<Vec<String>>()
    });
    table.set_header(header).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(CELL)));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("  {}", line.trim_end()))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_names() {
        let rows = vec![
            vec!["id".to_owned(), "1".to_owned()],
            vec!["名前\n!".to_owned(), "20".to_owned()],
        ];
        let text = grid(&["column", "n"], rows, &[1]);
        assert_eq!(text, "  column   n\n  id       1\n  名前\u{fffd}!  20");
    }
}
