//! Apache's admin tool finds our messages by `UNIQ_KEY`, wherever on earth producer and tool are.
//!
//! The key holds the time since the local month began, from which the tool computes where to search; a wrong zone
//! makes it search in the future.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use xtask::apache::jars;
use xtask::{paths, process};

use crate::clusters::{Apache, promise};

const MESSAGES: usize = 3;
/// West of UTC, UTC, and east of it; one with half an hour.
const ZONES: [&str; 4] = [
    "America/Los_Angeles",
    "UTC",
    "Asia/Kolkata",
    "Pacific/Auckland",
];
/// Java reads the time of making out of the key; then the message was sent and stored.
const SEND_TAKES_AT_MOST_MS: i64 = 60_000;
const CLOCK_SLACK_MS: i64 = 5;

promise!(apache_finds_a_message_by_its_unique_key_in_every_time_zone: on_5_5_0, on_4_9_7);

async fn apache_finds_a_message_by_its_unique_key_in_every_time_zone(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "unique_key";
    apache.topic(topic, 4)?;
    for zone in ZONES {
        let ids = sent_in(zone, apache, topic)?;
        assert_eq!(ids.len(), MESSAGES);
        let found = found_in(zone, apache, topic, &ids)?;
        assert_eq!(found.len(), MESSAGES, "{zone}: {found:?}");
        for (id, line) in ids.iter().zip(&found) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [key, made, stored, ..] = fields[..] else {
                panic!("{line:?}");
            };
            assert_eq!(key, id);
            let took = stored.parse::<i64>()? - made.parse::<i64>()?;
            assert!(
                (-CLOCK_SLACK_MS..SEND_TAKES_AT_MOST_MS).contains(&took),
                "{zone}: Java takes {id} as made {took} ms before it was stored"
            );
        }
    }
    Ok(())
}

/// The ids of messages sent by a process that lives in another time zone.
fn sent_in(zone: &str, apache: &Apache, topic: &str) -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_child"))
        .args(["send", &apache.name_servers(), "unique_key", topic])
        .arg(MESSAGES.to_string())
        .env("TZ", zone)
        .output()?;
    lines(&output, "the sending process")
}

/// What Apache's admin client, in that time zone too, finds by these ids.
fn found_in(zone: &str, apache: &Apache, topic: &str, ids: &[String]) -> Result<Vec<String>> {
    let lib = jars(apache.cluster.version())?;
    let home = paths::apache().join("reader");
    std::fs::create_dir_all(&home)?;
    let log = home.join(format!("find-by-id-{}-{topic}.log", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/FindById.java");
    let output = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/*", lib.display()))
        .arg(format!("-Duser.home={}", home.display()))
        .arg(source)
        .args([&apache.name_servers(), topic, "30"])
        .args(ids)
        .env("TZ", zone)
        .stderr(File::create(&log)?)
        .output()?;
    let found = lines(&output, "Apache's tool").with_context(|| process::tail(&log, 30))?;
    let _ = std::fs::remove_file(&log);
    Ok(found)
}

fn lines(output: &Output, who: &str) -> Result<Vec<String>> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{who} failed ({}): {error}",
        output.status
    );
    let text = String::from_utf8(output.stdout.clone())?;
    Ok(text.lines().map(str::to_owned).collect())
}
