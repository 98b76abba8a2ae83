//! Between the domain's types and columns. A value that does not fit is refused, never bent.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde_json::Value;

use crate::store::StoreError;
use crate::store::shared::bounded_span;

/// A count, as it comes from an `integer` column whose CHECK keeps it from being negative.
pub(super) fn nat(count: i32) -> Result<u32, StoreError> {
    u32::try_from(count).map_err(|_| StoreError::Refused(format!("{count} is no count")))
}

/// A span, as `make_interval(secs => …)` takes it.
pub(super) fn secs(span: Duration) -> f64 {
    bounded_span(span).as_secs_f64()
}

/// An enum, from the word that its column holds.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    let words: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(words).map_err(|error| StoreError::Refused(format!("unknown word in a row: {error}")))
}

/// An address, as text that `::inet` takes.
pub(super) fn address(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

/// An address, from the text that `host(…)` gives.
pub(super) fn ip(text: Option<&str>) -> Result<Option<IpAddr>, StoreError> {
    text.map(|text| text.parse().map_err(|_| StoreError::Refused(format!("{text:?} is no address"))))
        .transpose()
}

/// A value as `jsonb`. Floats that are no numbers become null, and the one character that Postgres cannot store is left
/// out: what a page or the cloud said must not keep a decision from being written down.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Value, StoreError> {
    let mut value = serde_json::to_value(value)
        .map_err(|error| StoreError::Refused(format!("a value cannot be written as JSON: {error}")))?;
    storable(&mut value);
    Ok(value)
}

fn storable(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', ""),
        Value::Array(items) => items.iter_mut().for_each(storable),
        Value::Object(fields) => fields.values_mut().for_each(storable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
