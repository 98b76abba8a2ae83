//! Making a recorded decision again, and seeing whether it is the same one.
//!
//! The function is the shipped one and its inputs are those that were kept, so the plan must be the recorded plan to the
//! last letter. It is compared whole, in the form in which it is recorded, and where it differs the first place is named, in
//! the order in which a reader would ask: the size, the action, the reason, then everything else.

use std::fmt;

use serde_json::{Map, Value};

use crate::decide::inputs::{Basis, Inputs, Opened, Unreadable};
use crate::decide::plan::Plan;
use crate::decide::signal::Observation;

/// The fields of a plan, the most telling first.
const ORDER: [&str; 6] = ["size_wanted", "size_before", "action", "code", "reason", "launches"];
/// Characters that are shown of a value.
const SHOWN: usize = 200;

/// Where two plans differ first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path of the field, such as `verdicts[3].because`.
    pub field: String,
    /// What was recorded there, as JSON; cut where it is long.
    pub recorded: String,
    /// What comes of it now.
    pub again: String,
}

impl Difference {
    /// Of the inputs themselves: what ought to be, and what is.
    #[must_use]
    pub fn of_inputs(recorded: &str, again: &str) -> Self {
        Self { field: "inputs".to_owned(), recorded: recorded.to_owned(), again: again.to_owned() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} was recorded, {} again", self.field, self.recorded, self.again)
    }
}

/// Opens the inputs of a decision, if they are those that its seal was put on.
///
/// # Errors
///
/// What is different about them; or, within, why they cannot be used.
pub fn open(inputs: &Inputs, seal: Option<&str>) -> Result<Result<Opened, Unreadable>, Difference> {
    let found = inputs.seal();
    if seal != Some(&found) {
        return Err(Difference::of_inputs(
            &format!("seal {}", seal.unwrap_or("none")),
            &format!("seal {found}"),
        ));
    }
    match inputs.open() {
        Err(Unreadable::Broken(why)) => Err(Difference::of_inputs("readable", &why)),
        opened => Ok(opened),
    }
}

/// Makes a decision again and compares it with what was recorded.
///
/// # Errors
///
/// If the observations are not those that it looked back on.
pub fn judge(
    opened: Opened,
    window: Vec<Observation>,
    recorded: &Value,
) -> Result<Option<Difference>, Unreadable> {
    let basis = opened.basis(window)?;
    Ok(compare(&basis, recorded))
}

/// Where a recorded plan is not the one that follows from its basis.
#[must_use]
pub fn compare(basis: &Basis, recorded: &Value) -> Option<Difference> {
    let unreadable = |error: serde_json::Error| Difference {
        field: "plan".to_owned(),
        recorded: error.to_string(),
        again: "a plan".to_owned(),
    };
    // Through the type and back: a database may have written a number in another way that means the same.
    let recorded = serde_json::from_value::<Plan>(recorded.clone()).and_then(|plan| told(&plan));
    let mut again = basis.plan();
    again.observation = again.observation.finite();
    match (recorded, told(&again)) {
        (Ok(recorded), Ok(again)) => first_of_plan(&recorded, &again),
        (Err(error), _) | (_, Err(error)) => Some(unreadable(error)),
    }
}

/// A plan as its fields.
fn told(plan: &Plan) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(plan)? {
        Value::Object(fields) => Ok(fields),
        other => Ok(Map::from_iter([("plan".to_owned(), other)])),
    }
}

fn first_of_plan(recorded: &Map<String, Value>, again: &Map<String, Value>) -> Option<Difference> {
    let named = ORDER.into_iter().find_map(|field| first(field, recorded.get(field), again.get(field)));
    named.or_else(|| {
        fields(recorded, again).find_map(|field| first(field, recorded.get(field), again.get(field)))
    })
}

fn fields<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> impl Iterator<Item = &'a str> {
    one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))).map(String::as_str)
}

/// The first place at or under a path at which two values differ. They are no deeper than a plan is.
fn first(path: &str, recorded: Option<&Value>, again: Option<&Value>) -> Option<Difference> {
    match (recorded, again) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            fields(one, other).find_map(|key| first(&format!("{path}.{key}"), one.get(key), other.get(key)))
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => (0..one.len().max(other.len()))
            .find_map(|place| first(&format!("{path}[{place}]"), one.get(place), other.get(place))),
        (Some(Value::String(one)), Some(Value::String(other))) if same_text(one, other) => None,
        (one, other) if one == other => None,
        (one, other) => {
            Some(Difference { field: path.to_owned(), recorded: shown(one), again: shown(other) })
        }
    }
}

/// Postgres cannot keep one character, and leaves it out.
fn same_text(one: &str, other: &str) -> bool {
    let kept = |text: &'_ str| text.chars().filter(|&character| character != '\0').collect::<String>();
    one == other || kept(one) == kept(other)
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
