//! The full reader of JSON headers.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::command::LanguageCode;
use crate::command::ext_fields::MAX_EXT_FIELDS;
use crate::frame::FrameError;
use crate::protocol::lenient::Integer;

/// A header; what is absent has the value that Java's fresh command has.
pub(super) struct Header {
    pub(super) code: i32,
    pub(super) language: Option<LanguageCode>,
    pub(super) version: i32,
    pub(super) opaque: i32,
    pub(super) flag: i32,
    pub(super) remark: Option<String>,
    /// In wire order, equal names not yet merged.
    pub(super) ext_fields: Vec<(String, String)>,
}

/// How much of a header is kept.
pub(super) trait Extent {
    /// Whether remark and fields are kept.
    const TEXTS: bool;
}

/// Keep the numbers.
pub(super) struct NumbersOnly;
/// Keep all.
pub(super) struct Everything;

impl Extent for NumbersOnly {
    const TEXTS: bool = false;
}

impl Extent for Everything {
    const TEXTS: bool = true;
}

/// Reads a header.
pub(super) fn read<E: Extent>(header: &[u8]) -> Result<Header, FrameError> {
    let mut json = serde_json::Deserializer::from_slice(header);
    (&mut json)
        .deserialize_map(HeaderVisitor::<E>(PhantomData))
        .and_then(|header| json.end().map(|()| header))
        .map_err(|error| FrameError::InvalidJson(error.to_string()))
}

struct HeaderVisitor<E>(PhantomData<E>);

impl<'de, E: Extent> Visitor<'de> for HeaderVisitor<E> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header {
            code: 0,
            language: Some(LanguageCode::JAVA),
            version: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            ext_fields: Vec::new(),
        };
        while let Some(member) = map.next_key()? {
            match member {
                Member::Code => header.code = int(&mut map)?,
                Member::Version => header.version = int(&mut map)?,
                Member::Opaque => header.opaque = int(&mut map)?,
                Member::Flag => header.flag = int(&mut map)?,
                Member::Language => header.language = map.next_value::<Language>()?.0,
                Member::Remark if E::TEXTS => header.remark = map.next_value()?,
                Member::ExtFields if E::TEXTS => {
                    header.ext_fields = map
                        .next_value::<Option<Fields>>()?
                        .map(|fields| fields.0)
                        .unwrap_or_default();
                }
                Member::Remark | Member::ExtFields | Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(header)
    }
}

fn int<'de, A: MapAccess<'de>>(map: &mut A) -> Result<i32, A::Error> {
    let Integer(value) = map.next_value()?;
    i32::try_from(value).map_err(|_| de::Error::custom("integer overflow"))
}

/// Name of a member, known without keeping its text.
enum Member {
    Code,
    ExtFields,
    Flag,
    Language,
    Opaque,
    Other,
    Remark,
    Version,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MemberVisitor)
    }
}

struct MemberVisitor;

impl Visitor<'_> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            "code" => Member::Code,
            "extFields" => Member::ExtFields,
            "flag" => Member::Flag,
            "language" => Member::Language,
            "opaque" => Member::Opaque,
            "remark" => Member::Remark,
            "version" => Member::Version,
            _ => Member::Other,
        })
    }
}

/// A language by name, in any letter case, or by number.
struct Language(Option<LanguageCode>);

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LanguageVisitor)
    }
}

struct LanguageVisitor;

impl Visitor<'_> for LanguageVisitor {
    type Value = Language;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name or number of a language")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Language, E> {
        Ok(Language(LanguageCode::from_name(name)))
    }

    fn visit_u64<E: de::Error>(self, code: u64) -> Result<Language, E> {
        let language = u8::try_from(code).ok().map(LanguageCode);
        Ok(Language(language.filter(|code| code.name().is_some())))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Language, E> {
        Ok(Language(None))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Language, E> {
        Ok(Language(None))
    }
}

/// The extension fields that have a value.
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, FieldValue>()? {
            if fields.len() >= MAX_EXT_FIELDS {
                return Err(de::Error::custom("more than 4096 extension fields"));
            }
            if let Some(value) = value.0 {
                fields.push((name, value));
            }
        }
        Ok(Fields(fields))
    }
}

/// A text, or a number or boolean as text; null is no value.
struct FieldValue(Option<String>);

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldValueVisitor)
    }
}

struct FieldValueVisitor;

impl Visitor<'_> for FieldValueVisitor {
    type Value = FieldValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, number, boolean or null")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<FieldValue, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<FieldValue, E> {
        Ok(FieldValue(Some(value)))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<FieldValue, E> {
        self.visit_string(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<FieldValue, E> {
        self.visit_string(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<FieldValue, E> {
        self.visit_string(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<FieldValue, E> {
        self.visit_string(value.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<FieldValue, E> {
        Ok(FieldValue(None))
    }
}
