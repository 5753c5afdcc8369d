//! Reading of the vectors under `tests/vectors`, and helpers to compare with them.

use std::path::PathBuf;

use bytes::BytesMut;
use rocketmq_producer_remoting::command::LanguageCode;
use rocketmq_producer_remoting::{
    Frame, FrameError, MAX_FRAME_LENGTH, RemotingCommand, decode_frame,
};
use serde_json::Value;

pub(crate) fn vector_path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(file)
}

/// The entries of a file of vectors.
pub(crate) fn vectors(file: &str) -> Vec<Value> {
    let text = std::fs::read(vector_path(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    match value["entries"].take() {
        Value::Array(entries) => entries,
        other => panic!("{file} has no entries but {other}"),
    }
}

pub(crate) fn name(entry: &Value) -> &str {
    entry["name"].as_str().unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value[member].as_str()
}

pub(crate) fn int(value: &Value, member: &str) -> i64 {
    value[member]
        .as_i64()
        .unwrap_or_else(|| panic!("{member} of {value}"))
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The only frame in `bytes`.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut bytes = BytesMut::from(bytes);
    let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH)?.expect("a whole frame");
    assert!(bytes.is_empty(), "bytes after the frame");
    Ok(frame)
}

pub(crate) fn command(bytes: &[u8]) -> Result<RemotingCommand, FrameError> {
    RemotingCommand::decode(frame(bytes)?)
}

/// Compares with what Java read: names of languages or their numbers, fields in any order.
pub(crate) fn assert_header(name: &str, command: &RemotingCommand, java: &Value) {
    assert_eq!(i64::from(command.code), int(java, "code"), "{name}: code");
    assert_eq!(i64::from(command.flag), int(java, "flag"), "{name}: flag");
    assert_eq!(
        i64::from(command.version),
        int(java, "version"),
        "{name}: version"
    );
    if let Some(opaque) = java["opaque"].as_i64() {
        assert_eq!(i64::from(command.opaque), opaque, "{name}: opaque");
    }
    let language = match &java["language"] {
        Value::Number(code) => u8::try_from(code.as_u64().unwrap()).ok().map(LanguageCode),
        Value::String(name) => LanguageCode::from_name(name),
        _ => None,
    };
    assert_eq!(command.language, language, "{name}: language");
    assert_eq!(
        command.remark.as_deref(),
        text(java, "remark"),
        "{name}: remark"
    );
    let empty = serde_json::Map::new();
    let fields = java["extFields"].as_object().unwrap_or(&empty);
    assert_eq!(
        command.ext_fields.len(),
        fields.len(),
        "{name}: number of fields"
    );
    for (field, value) in fields {
        assert_eq!(
            command.field(field),
            value.as_str(),
            "{name}: field {field}"
        );
    }
}
