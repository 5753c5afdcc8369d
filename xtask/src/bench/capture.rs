//! Frames as the producer really sends them, for the floor: caught by a stand-in for name server and broker at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::clients;
use super::sample::{Cell, Work};
use super::targets::{Target, route};

/// One for each queue of the topic.
pub(super) const FRAMES: usize = 8;

const SEND_MESSAGE_V2: i64 = 310;
const SEND_BATCH_MESSAGE: i64 = 320;
const TOPIC_ROUTE: i64 = 105;

/// A request that was read.
struct Request {
    code: i64,
    opaque: i64,
    bytes: Vec<u8>,
}

/// The last of a few requests that our producer sends for such a cell to the target's topic, by binary headers.
pub(super) fn frames(cli: &Path, target: &Target, cell: &Cell) -> Result<Vec<Vec<u8>>> {
    let wanted = match cell.work {
        Work::Batch => SEND_BATCH_MESSAGE,
        _ => SEND_MESSAGE_V2,
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let here = listener.local_addr()?.to_string();
    let mut route = route(&target.name_servers)?;
    route["brokerDatas"][0]["brokerAddrs"]["0"] = Value::from(here.clone());
    let route = serde_json::to_vec(&route)?;
    // More than are sent, so that no connection's thread ever waits for room.
    let (caught, frames) = sync_channel(4096);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (caught, route) = (caught.clone(), route.clone());
            std::thread::spawn(move || answer_all(stream, &route, wanted, &caught));
        }
    });
    let cell = Cell {
        in_flight: 1,
        ..cell.clone()
    };
    let mut command = clients::ours(cli, &cell);
    let count = FRAMES as u64
        * match cell.work {
            Work::Batch => u64::from(super::plan::BATCH),
            _ => 1,
        };
    clients::arguments(&mut command, &here, &cell, 0, count, None);
    clients::measure(&mut command).context("catching frames")?;
    let mut frames: Vec<Vec<u8>> = frames.try_iter().collect();
    ensure!(
        frames.len() >= FRAMES,
        "only {} frames were caught",
        frames.len()
    );
    frames.drain(..frames.len() - FRAMES);
    Ok(frames)
}

fn answer_all(mut stream: TcpStream, route: &[u8], wanted: i64, caught: &SyncSender<Vec<u8>>) {
    // Ends with the connection, or with the first thing that is no request.
    while let Ok(request) = read(&mut stream) {
        let body = if request.code == TOPIC_ROUTE {
            route
        } else {
            &[]
        };
        if answer(&mut stream, request.opaque, body).is_err() {
            return;
        }
        if request.code == wanted && caught.try_send(request.bytes).is_err() {
            return;
        }
    }
}

fn read(stream: &mut TcpStream) -> Result<Request> {
    let mut bytes = vec![0; 4];
    stream.read_exact(&mut bytes)?;
    let length = number(&bytes, 0..4)?;
    ensure!(length < 16 << 20, "a frame of {length} bytes");
    bytes.resize(4 + usize::try_from(length)?, 0);
    stream.read_exact(&mut bytes[4..])?;
    let header = usize::try_from(number(&bytes, 5..8)?)?;
    let (code, opaque) = match bytes.get(4) {
        Some(1) => (number(&bytes, 8..10)?, number(&bytes, 13..17)?),
        Some(0) => {
            let header = bytes.get(8..8 + header).context("a short frame")?;
            let header: Value = serde_json::from_slice(header)?;
            let field = |name: &str| header[name].as_i64().context("a header without numbers");
            (field("code")?, field("opaque")?)
        }
        _ => bail!("an unknown header"),
    };
    Ok(Request {
        code,
        opaque,
        bytes,
    })
}

fn number(bytes: &[u8], range: std::ops::Range<usize>) -> Result<i64> {
    let bytes = bytes.get(range).context("a short frame")?;
    let number = bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | i64::from(*byte));
    Ok(number)
}

/// Success, by which every send is stored in the first queue, at offset 0.
fn answer(stream: &mut TcpStream, opaque: i64, body: &[u8]) -> Result<()> {
    let header = serde_json::to_vec(&json!({
        "code": 0, "flag": 1, "language": "JAVA", "opaque": opaque, "version": 513,
        "serializeTypeCurrentRPC": "JSON",
        "extFields": {"queueId": "0", "queueOffset": "0", "msgId": "7F000001000000000000000000000000"},
    }))?;
    let mut frame = Vec::new();
    frame.extend_from_slice(&u32::try_from(4 + header.len() + body.len())?.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(header.len())?.to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    Ok(stream.write_all(&frame)?)
}
