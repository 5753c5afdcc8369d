//! The table: every row has a name of its own and an entry for every column, and gaps are named.

use std::collections::BTreeSet;

use anyhow::anyhow;

use super::*;

fn reports(cell: impl Fn(Column, &str) -> anyhow::Result<Cell>) -> Vec<Report> {
    let of_column = |column: Column| Report {
        column: column.name().to_owned(),
        date: "2026-11-22 14:00 UTC".to_owned(),
        commit: "0123456789ab".to_owned(),
        seconds: 60,
        entries: groups()
            .iter()
            .flat_map(|group| group.rows)
            .map(|row| Entry::new(row.name, cell(column, row.name), 5))
            .collect(),
    };
    Column::ALL.into_iter().map(of_column).collect()
}

#[test]
fn every_row_has_a_name_of_its_own_and_says_what_it_proves() {
    let rows = || groups().iter().flat_map(|group| group.rows);
    let names: BTreeSet<&str> = rows().map(|row| row.name).collect();
    assert_eq!(names.len(), rows().count());
    for row in rows() {
        assert!(!row.proves.is_empty(), "{}", row.name);
        assert!(!row.name.contains('|') && !row.proves.contains('|'));
    }
}

#[test]
fn a_cell_that_is_missing_is_named() {
    let mut reports = reports(|_, _| Ok(Cell::Passed));
    assert_eq!(complete(&reports), Ok(()));
    let lost = reports[3].entries.remove(2);
    let missing = complete(&reports).unwrap_err();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].row, lost.row);
    assert_eq!(missing[0].column, Column::ALL[3]);
    reports.pop();
    assert!(complete(&reports).unwrap_err().len() > 1);
}

#[test]
fn every_row_has_a_line_with_a_cell_for_every_column() {
    let text = markdown(&reports(|_, _| Ok(Cell::Passed)));
    for row in groups().iter().flat_map(|group| group.rows) {
        let start = format!("| **{}**: {} |", row.name, row.proves);
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no line of {}", row.name));
        assert_eq!(line[start.len()..].matches(" passed |").count(), 8);
    }
    assert!(!text.contains("untested"));
    let without = reports(|_, _| Ok(Cell::Passed));
    let mut without: Vec<_> = without.into_iter().take(1).collect();
    without[0].entries.clear();
    assert!(markdown(&without).contains("untested"));
}

#[test]
fn a_note_is_printed_once_and_referred_to_by_its_number() {
    let first = groups()[0].rows[0].name;
    let text = markdown(&reports(|column, row| match (column, row == first) {
        (Column::V497, true) => Ok(Cell::NotOffered("no <such> thing".to_owned())),
        (Column::Acl1, true) => Ok(Cell::NotOffered("no <such> thing".to_owned())),
        (Column::Proxy, true) => Ok(Cell::Refused("code 16".to_owned())),
        (Column::Tls, true) => Err(anyhow!("two\nlines")),
        _ => Ok(Cell::Passed),
    }));
    assert_eq!(text.matches("not offered<sup>1</sup> |").count(), 2);
    assert_eq!(text.matches("1. no &lt;such> thing").count(), 1);
    assert!(text.contains("**FAILED**<sup>2</sup> |"));
    assert!(text.contains("2. two lines"));
    assert!(text.contains("refused<sup>3</sup> |"));
    assert!(text.contains(", 1 refused as it should be, 2 not offered, 1 failed"));
}

#[test]
fn columns_are_found_by_their_names() {
    for column in Column::ALL {
        assert_eq!(column.name().parse::<Column>().unwrap(), column);
    }
    assert!("6.0".parse::<Column>().is_err());
}
