//! Frames and headers as `RemotingCommand` and `NettyDecoder` read and write them.

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::command::{LanguageCode, peek};
use rocketmq_producer_remoting::{
    CLIENT_VERSION, Frame, HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, decode_frame,
};

use crate::support::{assert_header, command, frame, int, name, text, unhex, vectors};

/// Headers that Java refuses, or crashes on, and that are read here: an unknown member happens to
/// be called `body`, and a field without a name counts as none.
const READ_DESPITE_JAVA: [&str; 2] = [
    "decode-json-unknown-keys",
    "decode-binary-ext-key-empty-value-v",
];

#[test]
fn headers_are_read_as_java_reads_them() {
    let mut read = 0;
    let mut refused = 0;
    for entry in vectors("frames.json") {
        let (Some(hex), java) = (text(&entry, "hex"), &entry["decoded"]) else {
            continue;
        };
        let name = name(&entry);
        if java.is_null() {
            continue;
        }
        let bytes = unhex(hex);
        let decoded = if name.starts_with("binary-header-only") {
            let header = Bytes::from(bytes);
            RemotingCommand::decode(Frame::new(HeaderEncoding::Binary, header, Bytes::new()))
        } else {
            command(&bytes)
        };
        if java.get("error").is_some() {
            assert_eq!(
                decoded.is_ok(),
                READ_DESPITE_JAVA.contains(&name),
                "{name}: {decoded:?}"
            );
            refused += 1;
            continue;
        }
        let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_header(name, &decoded, java);
        let body = text(java, "body").map(unhex).unwrap_or_default();
        assert_eq!(decoded.body, body, "{name}: body");
        read += 1;
    }
    assert_eq!((read, refused), (26, 11));
}

#[test]
fn the_quick_look_agrees_with_the_full_reader() {
    let mut checked = 0;
    for entry in vectors("frames.json") {
        let Some(Ok(frame)) = text(&entry, "hex")
            .filter(|_| {
                !name(&entry).contains("header-only") && !name(&entry).starts_with("prefix")
            })
            .map(|hex| frame(&unhex(hex)))
        else {
            continue;
        };
        if let Ok(full) = RemotingCommand::decode(frame.clone()) {
            let head = peek(&frame).unwrap();
            assert_eq!(
                (head.code, head.flag, head.opaque),
                (full.code, full.flag, full.opaque),
                "{}",
                name(&entry)
            );
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn frames_are_written_byte_for_byte_as_java_writes_them() {
    let mut written = 0;
    for file in [
        "frames.json",
        "send_headers.json",
        "heartbeat.json",
        "responses.json",
    ] {
        for entry in vectors(file) {
            let (Some(hex), name) = (text(&entry, "hex"), name(&entry)) else {
                continue;
            };
            // An empty map of fields and an empty binary value are not kept; the others are not whole
            // frames or were made by hand to be odd.
            if name == "json-body-empty-ext-3a"
                || name.starts_with("empty-properties-v2-binary")
                || name.starts_with("decode-")
                || name.starts_with("prefix-")
                || name.starts_with("body-")
                || name.contains("header-only")
            {
                continue;
            }
            let bytes = unhex(hex);
            let encoding = frame(&bytes).unwrap().encoding;
            let mut again = BytesMut::new();
            command(&bytes)
                .unwrap()
                .encode(encoding, &mut again)
                .unwrap();
            assert_eq!(again, bytes, "{file} {name}");
            written += 1;
        }
    }
    assert_eq!(written, 48);
}

#[test]
fn binary_headers_are_written_byte_for_byte_as_java_writes_them() {
    let mut written = 0;
    for entry in vectors("frames.json") {
        let name = name(&entry);
        if !name.starts_with("binary-header-only") {
            continue;
        }
        let (inputs, expected) = (&entry["inputs"], unhex(text(&entry, "hex").unwrap()));
        let number = |member| i32::try_from(int(inputs, member)).unwrap();
        let mut command = RemotingCommand::request(number("code"), number("opaque"));
        command.language = LanguageCode::from_name(text(inputs, "language").unwrap());
        command.version = number("version");
        command.flag = number("flag");
        command.remark = text(inputs, "remark").map(str::to_owned);
        // serde_json sorts the members; Java's order of these two is the other way round.
        for (field, value) in inputs["ext"].as_object().into_iter().flatten().rev() {
            command = command.with_field(field, value.as_str().unwrap());
        }
        let mut frame = BytesMut::new();
        command.encode(HeaderEncoding::Binary, &mut frame).unwrap();
        assert_eq!(frame[8..], expected[..], "{name}");
        written += 1;
    }
    assert_eq!(written, 5);
}

#[test]
fn the_mark_before_a_header_is_javas() {
    for entry in vectors("frames.json") {
        if !name(&entry).starts_with("prefix-") {
            continue;
        }
        let (inputs, mark) = (&entry["inputs"], unhex(text(&entry, "hex").unwrap()));
        let length = usize::try_from(int(inputs, "headerLength")).unwrap();
        let encoding = match text(inputs, "type") {
            Some("JSON") => HeaderEncoding::Json,
            _ => HeaderEncoding::Binary,
        };
        assert_eq!(HeaderEncoding::from_type_byte(mark[0]), Ok(encoding));
        assert_eq!(
            usize::from_str_radix(&text(&entry, "hex").unwrap()[2..], 16),
            Ok(length)
        );
    }
}

#[test]
fn streams_are_cut_where_javas_decoder_cuts_them() {
    let mut checked = 0;
    for entry in vectors("frames.json") {
        let (Some(chunks), name) = (entry["chunks"].as_array(), name(&entry)) else {
            continue;
        };
        let mut buffer = BytesMut::new();
        let mut commands = Vec::new();
        let mut open = true;
        for chunk in chunks {
            buffer.extend_from_slice(&unhex(chunk.as_str().unwrap()));
            loop {
                match decode_frame(&mut buffer, MAX_FRAME_LENGTH) {
                    Ok(Some(frame)) => commands.push(RemotingCommand::decode(frame).unwrap()),
                    Ok(None) => break,
                    Err(_) => {
                        open = false;
                        break;
                    }
                }
            }
        }
        let expected = entry["commands"].as_array().unwrap();
        assert_eq!(commands.len(), expected.len(), "{name}");
        for (command, java) in commands.iter().zip(expected) {
            assert_eq!(i64::from(command.code), int(java, "code"), "{name}");
            assert_eq!(i64::from(command.opaque), int(java, "opaque"), "{name}");
        }
        assert_eq!(open, entry["channelOpenAfter"].as_bool().unwrap(), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[test]
fn numbers_of_version_and_languages_are_javas() {
    let mut checked = 0;
    for entry in vectors("frames.json") {
        match name(&entry) {
            "current-version" => {
                assert_eq!(i64::from(CLIENT_VERSION), int(&entry, "value"));
                checked += 1;
            }
            "language-codes" => {
                for (name, code) in entry["value"].as_object().unwrap() {
                    let language = LanguageCode::from_name(name).unwrap();
                    assert_eq!(Some(u64::from(language.0)), code.as_u64(), "{name}");
                    assert_eq!(language.name(), Some(name.as_str()));
                    checked += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(checked, 15);
}

#[test]
fn a_frame_over_the_limit_is_refused_and_leaves_the_buffer_as_it_was() {
    let mut buffer = BytesMut::from(&b"before"[..]);
    let command = RemotingCommand::request(10, 1).with_body(vec![0; MAX_FRAME_LENGTH]);
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        assert!(command.encode(encoding, &mut buffer).is_err());
        assert_eq!(&buffer[..], b"before");
    }
}
