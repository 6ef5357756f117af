//! JSON without a second meaning: a key that stands twice in one object is refused, because parsers differ in which of two
//! they take (known failure D4); for SCIM, which reads names without regard to case, in whatever case.

use std::collections::BTreeSet;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// When two keys are one.
#[derive(Clone, Copy)]
pub(crate) enum Keys {
    /// If they are the same.
    Exact,
    /// If they are the same but for the case of letters.
    AnyCase,
}

/// Reads one object and nothing after it.
///
/// # Errors
/// What is wrong, for the sender.
pub(crate) fn object(bytes: &[u8], keys: Keys) -> Result<Map<String, Value>, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict(keys).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the body is not a JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

#[derive(Clone, Copy)]
struct Strict(Keys);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut object, mut seen) = (Map::new(), BTreeSet::new());
        while let Some(key) = map.next_key::<String>()? {
            let name = match self.0 {
                Keys::Exact => key.clone(),
                Keys::AnyCase => key.to_ascii_lowercase(),
            };
            if !seen.insert(name) {
                let key = crate::domain::value::ids::excerpt(&key);
                return Err(A::Error::custom(format!("the key `{key}` stands twice in one object")));
            }
            let value = map.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_at_every_depth_and_in_every_case() {
        let object = |text: &[u8]| object(text, Keys::AnyCase);
        assert!(object(br#"{"a":{"b":[1,-2,1.5,null,true,"x"]}}"#).is_ok());
        for text in [r#"{"a":1,"a":1}"#, r#"{"active":true,"Active":false}"#, r#"{"o":[{"b":1,"\u0042":2}]}"#] {
            assert!(object(text.as_bytes()).unwrap_err().contains("stands twice"), "{text}");
        }
    }

    #[test]
    fn keys_of_another_case_are_others_where_case_counts() {
        assert!(object(br#"{"cn":1,"CN":{"a":1,"A":2}}"#, Keys::Exact).is_ok());
        for text in [r#"{"a":1,"a":1}"#, r#"{"o":[{"b":1,"\u0062":2}]}"#] {
            assert!(object(text.as_bytes(), Keys::Exact).unwrap_err().contains("stands twice"), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_alone_is_refused_and_depth_is_bounded() {
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        for text in ["", "null", "[]", "{} {}", "{\"a\":1", "{'a':1}", "\u{feff}{}", &deep] {
            assert!(object(text.as_bytes(), Keys::Exact).is_err(), "{text:.40}");
        }
        assert!(object(b"{\"a\":\"\xff\"}", Keys::Exact).is_err());
    }
}
