//! Every link of a Markdown file to another file of the project leads somewhere.

use xtask::paths;

use super::{Problems, TextFile};

pub(super) fn check(files: &[TextFile], problems: &mut Problems) {
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let full = paths::workspace().join(&file.path);
        let dir = full.parent().unwrap_or(&full);
        for (number, target) in links(&file.text) {
            if !dir.join(target).exists() {
                problems.push(format!("{}:{number}: no file {target}", file.path));
            }
        }
    }
}

/// Line numbers and paths of all links to files, code blocks left out.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let inline = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        let reference = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
            .map(|(_, target)| target.trim());
        for target in inline.chain(reference) {
            let path = target.split('#').next().unwrap_or(target);
            // Anchors, addresses, and names of items that rustdoc resolves.
            let elsewhere = path.is_empty() || path.contains(':');
            if !elsewhere {
                found.push((number + 1, path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_addresses_items_and_code_are_not() {
        let text = "\
see [a](a.md), [b](sub/b.md#part) and [c](https://example.org/c.md)
[item](crate::Item) [anchor](#here)
```
[code](code.md)
```
[d]: d.md
";
        assert_eq!(links(text), [(1, "a.md"), (1, "sub/b.md"), (6, "d.md")]);
    }
}
