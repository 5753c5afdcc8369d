//! The rule for extension fields that come more than once: the last one counts, as in Java's map.

use std::collections::HashMap;

/// Most extension fields that a header may have. Real ones have a few dozen; the bound keeps a
/// hostile header from growing many times its size in memory.
pub(super) const MAX_EXT_FIELDS: usize = 4096;

/// Keeps the last of fields with equal names, in wire order.
pub(super) fn keep_last(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let last: HashMap<&str, usize> = fields
        .iter()
        .enumerate()
        .map(|(position, (name, _))| (name.as_str(), position))
        .collect();
    if last.len() == fields.len() {
        return fields;
    }
    let kept: Vec<bool> = fields
        .iter()
        .enumerate()
        .map(|(position, (name, _))| last.get(name.as_str()) == Some(&position))
        .collect();
    let mut kept = kept.into_iter();
    fields.retain(|_| kept.next().unwrap_or(true));
    fields
}

#[cfg(test)]
mod tests {
    use super::keep_last;

    #[test]
    fn the_last_of_equal_names_stays_in_its_place() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = vec![
            field("a", "1"),
            field("b", "2"),
            field("a", "3"),
            field("c", "4"),
        ];
        let expected = vec![field("b", "2"), field("a", "3"), field("c", "4")];
        assert_eq!(keep_last(fields), expected);
    }
}
