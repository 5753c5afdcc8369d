//! Aligned tables.

/// Which side a column leans to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table for a terminal: a header, rows, columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns
            .iter()
            .map(|(title, align)| ((*title).to_owned(), *align))
            .collect();
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl std::fmt::Display for Table {
    /// Lines without a newline after the last one, and without blanks at their ends.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| width(title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for ((cell, widest), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                let blanks = " ".repeat(widest - width(cell));
                if !text.is_empty() {
                    text.push_str("  ");
                }
                match align {
                    Align::Left => text.extend([cell, &blanks]),
                    Align::Right => text.extend([&blanks, cell]),
                }
            }
            text.trim_end().to_owned()
        };
        let header = line(&mut self.columns.iter().map(|(title, _)| title.as_str()));
        f.write_str(&header)?;
        for row in &self.rows {
            write!(f, "\n{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, Table};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[
            ("broker", Align::Left),
            ("n", Align::Right),
            ("", Align::Left),
        ]);
        table.row(["b".into(), "1000".into(), String::new()]);
        table.row(["bröker-b".into(), "2".into(), "x".into()]);
        assert_eq!(
            table.to_string(),
            "broker       n\nb         1000\nbröker-b     2  x"
        );
    }
}
