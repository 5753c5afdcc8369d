//! `rocketmq-producer config`: the effective configuration, with the source of each value.

use serde_json::json;

use crate::args::ConfigArgs;
use crate::console::say;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::table::{Align, Table};

pub(crate) fn run(args: &ConfigArgs) -> Result<Exit, Failure> {
    let entries = args.settings.resolve(&[])?.entries();
    if args.json {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "key": entry.key,
                    "value": entry.value,
                    "source": entry.source.to_string(),
                })
            })
            .collect();
        say(&json!(entries).to_string());
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&[
        ("setting", Align::Left),
        ("value", Align::Left),
        ("source", Align::Left),
    ]);
    for entry in entries {
        let value = entry.value.unwrap_or_else(|| "(not set)".to_owned());
        table.row([entry.key.to_owned(), value, entry.source.to_string()]);
    }
    say(&table.to_string());
    Ok(Exit::Success)
}
