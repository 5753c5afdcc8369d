//! The code map of ARCHITECTURE.md leaves out no module of the stack and names none that is gone.

use super::{Problems, TextFile};

const MAP: &str = "ARCHITECTURE.md";

pub(super) fn check(files: &[TextFile], problems: &mut Problems) {
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        problems.push(format!("{MAP}: it is gone"));
        return;
    };
    let paths: Vec<&str> = files.iter().map(|file| &*file.path).collect();
    for name in names(&map.text) {
        let is_there = |path: &&str| {
            let path = format!("/{path}");
            match name.strip_suffix('/') {
                Some(folder) => path.contains(&format!("/{folder}/")),
                None => path.ends_with(&format!("/{name}")),
            }
        };
        if !paths.iter().any(is_there) {
            problems.push(format!("{MAP}: no {name} in the project"));
        }
    }
    for (folder, section) in sections(&map.text) {
        let named = names(section);
        let source = format!("{folder}/src/");
        let modules = paths.iter().filter_map(|path| path.strip_prefix(&*source));
        for module in modules.filter(|module| !is_mapped(module, &named)) {
            problems.push(format!("{MAP}: says nothing of {source}{module}"));
        }
    }
}

/// What stands between backticks and is a file of Rust or a folder.
fn names(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| !name.contains([' ', '<', '…']))
        .filter(|name| name.ends_with(".rs") || name.ends_with('/'))
        .collect()
}

/// The folder of each crate that has a line of its own, and the list below it.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n\n").filter_map(|part| {
        let (first, list) = part.split_once('\n')?;
        let folder = first.strip_prefix('`')?.strip_suffix('`')?;
        (folder.starts_with("crates/") && !folder.contains('`')).then_some((folder, list))
    })
}

/// Whether a file is named, or a module that it belongs to, by its file or its folder.
fn is_mapped(module: &str, named: &[&str]) -> bool {
    let is_root = matches!(module, "lib.rs" | "main.rs");
    let stem = module.strip_suffix(".rs").unwrap_or(module);
    let is_named = |wanted: &str| {
        let wanted = format!("/{wanted}");
        named
            .iter()
            .any(|name| wanted.ends_with(&format!("/{name}")))
    };
    let ends = stem.match_indices('/').map(|(at, _)| at);
    let mut modules = ends.chain([stem.len()]).filter_map(|end| stem.get(..end));
    is_root || modules.any(|name| is_named(&format!("{name}.rs")) || is_named(&format!("{name}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Map

`crates/a`
- `one.rs`, `two/`: of `names` and `x.rs y`; `deep/three.rs`.

`crates/b`: in one line, `four.rs`.

`crates/c`
- `five.rs`
";

    fn problems(paths: &[&str]) -> Problems {
        let file = |path: &&str| TextFile {
            path: (*path).to_owned(),
            text: TEXT.to_owned(),
        };
        let files: Vec<_> = [MAP].iter().chain(paths).map(file).collect();
        let mut problems = Problems::new();
        check(&files, &mut problems);
        problems
    }

    #[test]
    fn files_are_named_themselves_or_by_a_folder_and_what_is_named_is_there() {
        let there = [
            "crates/a/src/lib.rs",
            "crates/a/src/one.rs",
            "crates/a/src/one/part.rs",
            "crates/a/src/two.rs",
            "crates/a/src/two/within/more.rs",
            "crates/a/src/deep/three.rs",
            "crates/b/src/four.rs",
            "crates/b/src/unnamed.rs",
            "crates/c/src/five.rs",
        ];
        assert_eq!(problems(&there), [""; 0]);
        assert_eq!(
            problems(&[&there[..1], &there[3..]].concat()),
            [format!("{MAP}: no one.rs in the project")]
        );
        let more = [&there[..], &["crates/a/src/deep.rs", "crates/c/src/one.rs"]].concat();
        assert_eq!(
            problems(&more),
            [
                format!("{MAP}: says nothing of crates/a/src/deep.rs"),
                format!("{MAP}: says nothing of crates/c/src/one.rs"),
            ]
        );
    }
}
