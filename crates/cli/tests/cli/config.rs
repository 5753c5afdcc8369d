//! `config`: values, sources, and everything that is wrong.

use serde_json::Value;

use crate::harness::{command, run};

#[test]
fn each_value_is_shown_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("producer.toml");
    std::fs::write(&file, "retry_times = 7\nasync_send_semaphore = 500\n").unwrap();
    let mut command = command(&[
        "config",
        "--json",
        "--template",
        "prod",
        "--timeout",
        "1s",
        "--config",
    ]);
    command.arg(&file).env("ROCKETMQ_PRODUCER_RETRY_TIMES", "4");
    let ended = run(&mut command);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let entries: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    let entry = |key: &str| {
        let entry = entries.iter().find(|entry| entry["key"] == key).unwrap();
        (
            entry["value"].as_str().unwrap().to_owned(),
            entry["source"].as_str().unwrap().to_owned(),
        )
    };
    let from = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(entry("send_msg_timeout"), from("1s", "flag --timeout"));
    assert_eq!(
        entry("retry_times"),
        from("4", "environment variable ROCKETMQ_PRODUCER_RETRY_TIMES")
    );
    let line = format!("file {} line 2", file.display());
    assert_eq!(entry("async_send_semaphore"), from("500", &line));
    assert_eq!(
        entry("retry_another_broker_when_not_store_ok"),
        from("true", "template production")
    );
    assert_eq!(entry("max_message_size"), from("4 MiB", "default"));
}

#[test]
fn the_table_has_a_line_for_every_setting() {
    let ended = run(&mut command(&["config", "--group", "g"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let settings = rocketmq_producer::config::settings();
    assert_eq!(ended.stdout.lines().count(), settings.len() + 1);
    for setting in settings {
        assert!(ended.stdout.contains(setting.key), "{}", setting.key);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("producer.toml");
    std::fs::write(&file, "retry_tims = 3\n").unwrap();
    let mut command = command(&[
        "config",
        "--template",
        "produktion",
        "--timeout",
        "5x",
        "--config",
    ]);
    command
        .arg(&file)
        .env("ROCKETMQ_PRODUCER_MAX_MESSAGE_SIZE", "huge");
    let ended = run(&mut command);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "");
    for part in [
        "retry_tims",
        "retry_times",
        "produktion",
        "production",
        "flag --timeout",
        "5x",
        "ROCKETMQ_PRODUCER_MAX_MESSAGE_SIZE",
        "huge",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    let errors = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 4, "{ended:?}");
}
