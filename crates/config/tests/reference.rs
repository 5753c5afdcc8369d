//! `docs/src/configuration.md` says what the code does: its tables are made from the code's, its examples are read.
//!
//! After changing a setting run `BLESS=1 cargo test -p rocketmq-producer-config --test reference`.
#![cfg(feature = "file")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use rocketmq_producer_config::{ProducerConfig, SettingKind, Template, settings};

fn page_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/configuration.md")
}

fn page() -> String {
    std::fs::read_to_string(page_path()).expect("the page exists in the repository")
}

/// Text that may stand in a cell.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

fn or_dash(text: Option<String>) -> String {
    text.map_or_else(|| "–".to_owned(), |text| format!("`{text}`"))
}

fn settings_table() -> String {
    let mut table =
        "| setting | what it does | unit | default | allowed | Java |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for setting in settings() {
        let default = setting.default.map_or_else(
            || setting.default_doc.to_owned(),
            |text| format!("`{text}`"),
        );
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} |",
            setting.key,
            cell(setting.doc),
            setting.kind.unit(),
            default,
            cell(setting.allowed),
            or_dash(setting.java_name.map(str::to_owned)),
        );
    }
    table
}

fn templates_table() -> String {
    let changed: Vec<_> = settings()
        .iter()
        .filter(|setting| {
            Template::ALL.iter().any(|template| {
                template
                    .overrides()
                    .iter()
                    .any(|(key, _)| *key == setting.key)
            })
        })
        .collect();
    let mut table = "| setting |".to_owned();
    for template in Template::ALL {
        let _ = write!(table, " {template} |");
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(Template::ALL.len()));
    for setting in changed {
        let _ = write!(table, "| `{}` |", setting.key);
        for template in Template::ALL {
            let own = template
                .overrides()
                .iter()
                .find(|(key, _)| *key == setting.key);
            let text = match (own, setting.default) {
                (Some((_, text)), _) => format!("**`{text}`**"),
                (None, Some(text)) => format!("`{text}`"),
                (None, None) => "–".to_owned(),
            };
            let _ = write!(table, " {text} |");
        }
        table.push('\n');
    }
    table
}

fn names_table() -> String {
    let mut table =
        "| setting | environment variable | old variable (pyrocketmq) |\n|---|---|---|\n"
            .to_owned();
    for setting in settings() {
        let old = setting.old_env_name().map(|name| {
            if setting.kind == SettingKind::Duration {
                format!("`{name}`, in ms")
            } else {
                format!("`{name}`")
            }
        });
        let old = old.unwrap_or_else(|| "–".to_owned());
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {old} |",
            setting.key,
            setting.env_name()
        );
    }
    table
}

/// The page with every marked part replaced by what the code says.
fn expected(page: &str) -> String {
    let mut page = page.to_owned();
    for (name, table) in [
        ("settings", settings_table()),
        ("templates", templates_table()),
        ("names", names_table()),
    ] {
        let begin = format!("<!-- {name}: made from the code -->\n");
        let end = format!("<!-- end of {name} -->");
        let start = page
            .find(&begin)
            .unwrap_or_else(|| panic!("the page lost its mark {begin}"))
            + begin.len();
        let stop = start
            + page[start..]
                .find(&end)
                .unwrap_or_else(|| panic!("the page lost its mark {end}"));
        page.replace_range(start..stop, &table);
    }
    page
}

#[test]
fn the_reference_equals_the_code() {
    let page = page();
    let expected = expected(&page);
    if std::env::var_os("BLESS").is_some() {
        // In one step: the other tests read the page at the same moment.
        let new = page_path().with_extension("new");
        std::fs::write(&new, &expected).expect("written");
        std::fs::rename(&new, page_path()).expect("renamed");
        return;
    }
    for (number, (is, should)) in page.lines().zip(expected.lines()).enumerate() {
        assert_eq!(
            is,
            should,
            "docs/src/configuration.md line {}: see the head of this test",
            number + 1
        );
    }
    assert_eq!(page, expected);
}

/// The fenced examples of the page in `language`.
fn examples(language: &str) -> Vec<String> {
    let page = page();
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_worked_file_is_read_without_a_complaint() {
    let files = examples("toml");
    assert!(!files.is_empty());
    for file in files {
        let config = ProducerConfig::builder()
            .toml("example.toml", &file)
            .build();
        assert!(config.is_ok(), "{config:?}\n{file}");
    }
}

#[test]
fn the_shown_listing_is_what_the_shown_file_gives() {
    let file = examples("toml").remove(0);
    let config = ProducerConfig::builder()
        .toml("rocketmq.toml", &file)
        .environment_from([("ROCKETMQ_PRODUCER_RETRY_TIMES", "5")])
        .build()
        .expect("valid");
    let listing: Vec<String> = config.entries().iter().map(ToString::to_string).collect();
    let shown = examples("text").remove(0);
    for line in shown.lines().filter(|line| *line != "...") {
        assert!(
            listing.iter().any(|entry| entry == line),
            "not in the listing: {line}\n{}",
            listing.join("\n")
        );
    }
}
