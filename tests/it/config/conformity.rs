//! Whether a value satisfies a schema, for that part of JSON Schema that ours use; patterns aside.

use serde_json::Value;

fn violations(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let kind = schema["type"].as_str().unwrap_or_default();
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    };
    if !fits {
        found.push(format!("{path}: is no {kind:?}"));
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        found.push(format!("{path}: is none of {words:?}"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema[name].as_f64();
        let low = bound("minimum").is_none_or(|least| number >= least);
        let above = bound("exclusiveMinimum").is_none_or(|least| number > least);
        if !low || !above || bound("maximum").is_some_and(|most| number > most) {
            found.push(format!("{path}: is out of range"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        violations(&schema["items"], item, &format!("{path}[{index}]"), found);
    }
    object_violations(schema, value, path, found);
}

fn object_violations(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            found.push(format!("{path}.{name}: is missing"));
        }
    }
    for (name, member) in object {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => violations(schema, member, &path, found),
            (None, Value::Object(_)) => violations(&schema["additionalProperties"], member, &path, found),
            (None, _) => found.push(format!("{path}: is not a key")),
        }
    }
}

/// What of a value its schema does not allow.
pub(crate) fn violations_of(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    violations(schema, value, "", &mut found);
    found
}
