//! House rules for single files.

use super::{Problems, TextFile};

const MOST_LINES: usize = 800;

// Cut in two, so that this file does not break its own rules.
/// In Rust files, with why not.
const NOT_IN_RUST: [(&str, &str); 5] = [
    (concat!("#[ign", "ore]"), "say why the test is ignored"),
    (
        concat!("should_", "panic"),
        "return an error and look at it instead",
    ),
    (concat!("to", "do!("), "finish it or leave it out"),
    (concat!("unimple", "mented!("), "finish it or leave it out"),
    (concat!("db", "g!("), "left over from debugging"),
];
/// In any text file, with why not.
const NOT_ANYWHERE: [(&str, &str); 2] = [
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

pub(super) fn check(files: &[TextFile], problems: &mut Problems) {
    for file in files {
        let path = &file.path;
        if path.ends_with("Cargo.lock") {
            check_lock(file, problems);
            continue;
        }
        if path.ends_with(".rs") {
            check_rust(file, problems);
        }
        for (number, line) in numbered(file) {
            if line.ends_with([' ', '\t', '\r']) {
                problems.push(format!("{path}:{number}: blanks at the end of the line"));
            }
            forbid(&NOT_ANYWHERE, path, number, line, problems);
        }
    }
    check_readme(files, problems);
}

fn check_rust(file: &TextFile, problems: &mut Problems) {
    let path = &file.path;
    if path.ends_with("/mod.rs") {
        problems.push(format!("{path}: name it after its module instead"));
    }
    if !["//!", "#![doc = include_str!("]
        .iter()
        .any(|start| file.text.starts_with(start))
    {
        problems.push(format!(
            "{path}: does not begin with a `//!` line that says what it is"
        ));
    }
    let lines = lines_before_tests(&file.text);
    if lines > MOST_LINES && !is_test(path) {
        problems.push(format!("{path}: {lines} lines, more than {MOST_LINES}"));
    }
    for (number, line) in numbered(file) {
        forbid(&NOT_IN_RUST, path, number, line, problems);
        let to_do = concat!("TO", "DO");
        if line.contains(to_do) && !line.contains('#') {
            problems.push(format!(
                "{path}:{number}: {to_do} without the number of an issue"
            ));
        }
    }
}

/// Every dependency comes from one registry, and none from a repository or a path outside.
fn check_lock(file: &TextFile, problems: &mut Problems) {
    let mut first = None;
    for (number, line) in numbered(file) {
        let Some(source) = line.strip_prefix("source = ") else {
            continue;
        };
        let source = source.trim_matches('"');
        if !source.starts_with("registry+") || *first.get_or_insert(source) != source {
            problems.push(format!(
                "{}:{number}: not from the registry of the others: {source}",
                file.path
            ));
        }
    }
}

/// The two commands that a stranger is given.
fn check_readme(files: &[TextFile], problems: &mut Problems) {
    let readme = files.iter().find(|file| file.path == "README.md");
    for command in ["cargo xtask demo", "cargo xtask test"] {
        if !readme.is_some_and(|file| file.text.contains(command)) {
            problems.push(format!("README.md: does not name `{command}`"));
        }
    }
}

fn forbid(words: &[(&str, &str)], path: &str, number: usize, line: &str, problems: &mut Problems) {
    for (word, why) in words {
        if line.contains(word) {
            problems.push(format!("{path}:{number}: `{word}`: {why}"));
        }
    }
}

fn numbered(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    // Not `lines`, which hides a carriage return.
    file.text
        .split('\n')
        .enumerate()
        .map(|(n, line)| (n + 1, line))
}

/// Unit tests come last in a file.
fn lines_before_tests(text: &str) -> usize {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count()
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Problems {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let mut problems = Problems::new();
        check(&[file], &mut problems);
        problems.retain(|problem| !problem.starts_with("README.md: does not name"));
        problems
    }

    #[test]
    fn a_proper_file_passes() {
        assert_eq!(
            problems("src/a.rs", "//! What it is.\n\nfn a() {}\n"),
            Problems::new()
        );
    }

    #[test]
    fn each_rule_is_found() {
        for (path, text) in [
            ("src/a.rs", "fn a() {}\n".to_owned()),
            ("src/a/mod.rs", "//! A.\n".to_owned()),
            ("src/a.rs", "//! A. \n".to_owned()),
            ("src/a.rs", "//! A.\r\n".to_owned()),
            (
                "a.md",
                "see /wo rk/main\n".replace(' ', "").replace("see", "see "),
            ),
            ("src/a.rs", format!("//! A.\nfn a() {{ to{}!() }}\n", "do")),
            ("src/a.rs", format!("//! A.\n// TO{}: later\n", "DO")),
            ("src/a.rs", format!("//! A.\n#[ign{}]\n", "ore")),
            (
                "Cargo.lock",
                "source = \"registry+https://example.org/index\"\nsource = \"git+https://example.org/x\"\n"
                    .to_owned(),
            ),
        ] {
            assert_eq!(problems(path, &text).len(), 1, "{path}: {text:?}");
        }
    }

    #[test]
    fn only_lines_before_the_tests_count() {
        let code = "//! A.\n".repeat(MOST_LINES);
        let tested = format!("{code}#[cfg(test)]\nmod tests {{\n}}\n");
        assert_eq!(problems("src/a.rs", &tested), Problems::new());
        assert_eq!(problems("src/a.rs", &format!("{code}//\n")).len(), 1);
    }
}
