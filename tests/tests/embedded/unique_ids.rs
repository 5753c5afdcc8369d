//! No two messages have the same id, whichever thread, process or restart they come from.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::message::MessageIdGenerator;

const THREADS: usize = 4;
const EACH: usize = 20_000;
const PROCESSES: usize = 4;
const RESTARTS: usize = 2;

fn child() -> Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_child"));
    command.args(["ids", &THREADS.to_string(), &EACH.to_string()]);
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

fn own_ids() -> Vec<String> {
    let some = || -> Vec<String> {
        let generator = MessageIdGenerator::shared();
        (0..EACH).map(|_| generator.next_id().to_string()).collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(some)).collect();
        let ids = threads.into_iter().map(|thread| thread.join().unwrap());
        ids.collect::<Vec<_>>().concat()
    })
}

#[test]
fn ids_are_unique_over_threads_processes_and_restarts() -> Result<()> {
    let mut all: HashSet<String> = HashSet::new();
    let mut count = 0;
    for _ in 0..RESTARTS {
        let children: Vec<Child> = (0..PROCESSES).map(|_| child()).collect::<Result<_>>()?;
        let mut ids = own_ids();
        for child in children {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{}", output.status);
            let text = String::from_utf8(output.stdout).context("ids")?;
            ids.extend(text.lines().map(str::to_owned));
        }
        assert_eq!(ids.len(), (PROCESSES + 1) * THREADS * EACH);
        count += ids.len();
        all.extend(ids);
    }
    assert_eq!(all.len(), count, "some id was given twice");
    let well_formed = |id: &String| {
        matches!(id.len(), 32 | 56) && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    };
    assert!(all.iter().all(well_formed));
    Ok(())
}
