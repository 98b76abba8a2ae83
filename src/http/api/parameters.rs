//! What a question may say, read strictly: a name that is not known or a value that makes no sense is an error that says
//! what would be right. A filter that is silently ignored answers another question than was asked.

use axum::extract::Query;
use axum::http::Uri;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::decide::plan::Action;
use crate::domain::host::HostState;
use crate::domain::ids::{DecisionId, FleetName, OperatorActionId};
use crate::domain::time::{Timestamp, to_micros};
use crate::http::api::Api;
use crate::http::problem::Problem;
use crate::store::OperatorActionKind;
use crate::store::history::EventKey;
use crate::view::decision::parse_action;
use crate::view::words::{Since, hex};

/// Rows on one page, where nobody says how many.
const LIMIT_DEFAULT: u32 = 50;
/// Rows on one page at most.
const LIMIT_MAX: u32 = 500;

/// The errors that every resource may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes the errors; they are made where they happen")]
pub(super) enum Problems {
    /// A parameter or header cannot be understood; `parameter` names it.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No token, or one that is not known or has expired.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// A viewer's token asked for a change.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is nothing of that name.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// Too many requests of one client.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// The service starts, or its database does not answer; Retry-After says when to ask again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// Reads the query of a request.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Err(match text.split_once(": ") {
                Some((name, why)) if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') => {
                    Problem::parameter(name, format!("{name}: {why}"))
                }
                _ => Problem::new(
                    axum::http::StatusCode::BAD_REQUEST,
                    "Invalid parameter",
                    "invalid_parameter",
                    text,
                ),
            })
        }
    }
}

/// Which decisions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionParameters {
    /// Only of this fleet.
    #[param(pattern = "^[a-z0-9-]{1,48}$")]
    pub(super) fleet: Option<String>,
    /// Made, or made again, at this moment or later.
    #[param(inline)]
    pub(super) since: Option<Moment>,
    /// First made before this moment.
    #[param(inline)]
    pub(super) until: Option<Moment>,
    /// Only with these actions, separated by commas.
    #[param(inline)]
    pub(super) action: Option<Actions>,
    /// The `next` of the page before; the other parameters stay as they were.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor<(Timestamp, DecisionId)>>,
    /// Rows on the page; 50 if left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    pub(super) limit: Limit,
}

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventParameters {
    /// Only of this fleet.
    #[param(pattern = "^[a-z0-9-]{1,48}$")]
    pub(super) fleet: Option<String>,
    /// At this moment or later.
    #[param(inline)]
    pub(super) since: Option<Moment>,
    /// Before this moment.
    #[param(inline)]
    pub(super) until: Option<Moment>,
    /// Only of these kinds, separated by commas: `host`, `launch_opened`, `decision`, …
    #[param(value_type = Option<String>, pattern = "^[a-z_]{1,40}(,[a-z_]{1,40}){0,19}$")]
    pub(super) kind: Option<Kinds>,
    /// Only to this subject: an instance, a launch, or the id of a row.
    #[param(min_length = 1, max_length = 200, pattern = "^[^\\x00]*$")]
    pub(super) subject: Option<String>,
    /// The `next` of the page before; the other parameters stay as they were.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor<EventCursor>>,
    /// Rows on the page; 50 if left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    pub(super) limit: Limit,
}

/// Which actions of people are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ActionParameters {
    /// Only on this fleet.
    #[param(pattern = "^[a-z0-9-]{1,48}$")]
    pub(super) fleet: Option<String>,
    /// Only by this actor: a person, also where a token spoke for them, or a token; or both, as `ada via pager-bot`.
    #[param(min_length = 1, max_length = 200, pattern = "^[^\\x00]*$")]
    pub(super) actor: Option<String>,
    /// At this moment or later.
    #[param(inline)]
    pub(super) since: Option<Moment>,
    /// Before this moment.
    #[param(inline)]
    pub(super) until: Option<Moment>,
    /// Only of these kinds, separated by commas.
    #[param(inline)]
    pub(super) action: Option<ActionKinds>,
    /// The `next` of the page before; the other parameters stay as they were.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor<(Timestamp, OperatorActionId)>>,
    /// Rows on the page; 50 if left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    pub(super) limit: Limit,
}

/// Which hosts are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HostParameters {
    /// Only in these states, separated by commas.
    #[param(inline)]
    pub(super) state: Option<States>,
    /// Only in this availability zone.
    pub(super) zone: Option<String>,
    /// The `next` of the page before; the other parameters stay as they were.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor<(bool, Timestamp, String)>>,
    /// Rows on the page; 50 if left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    pub(super) limit: Limit,
}

/// An event's place, as a cursor carries it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventCursor(Timestamp, String, i64);

impl From<EventCursor> for EventKey {
    fn from(EventCursor(at, fleet, seq): EventCursor) -> Self {
        Self { at, fleet, seq }
    }
}

impl From<EventKey> for EventCursor {
    fn from(key: EventKey) -> Self {
        Self(key.at, key.fleet, key.seq)
    }
}

/// How many rows a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(u32);

impl Limit {
    /// Rows to ask for: one more than the page has tells whether there is another page.
    pub(super) fn to_ask(self) -> u32 {
        self.0 + 1
    }

    /// Leaves the page's own rows, and gives the cursor of the next page if there is one: where the last row stands.
    pub(super) fn cut<T, K: Serialize>(
        self,
        rows: &mut Vec<T>,
        place: impl FnOnce(&T) -> K,
    ) -> Option<String> {
        let most = self.0 as usize;
        let more = rows.len() > most;
        rows.truncate(most);
        rows.last().filter(|_| more).map(|last| Cursor(place(last)).write())
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.map(Self).ok_or_else(|| D::Error::custom(format!("write a number from 1 to {LIMIT_MAX}")))
    }
}

/// A moment: then, or so long ago.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(Since);

impl Moment {
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        to_micros(self.0.at(now))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        moment(&text).map(Self).ok_or_else(|| {
            D::Error::custom(
                "write a moment in RFC 3339 (2026-11-22T02:30:00Z; a + is %2B in a query) or how long ago (90s, 30m, \
                 2h, 7d)",
            )
        })
    }
}

fn moment(text: &str) -> Option<Since> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(Since::At(at.with_timezone(&chrono::Utc)));
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = (1..=4).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits && !number.starts_with('0'))?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Since::Ago(std::time::Duration::from_secs(number * unit)))
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let then = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A moment in RFC 3339."));
        let ago = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[1-9][0-9]{0,3}[smhd]$"))
            .description(Some("So long ago: 90s, 30m, 2h, 7d."));
        OneOfBuilder::new().item(then).item(ago).into()
    }
}

impl ToSchema for Moment {}

/// Actions, separated by commas.
#[derive(Clone, Debug)]
pub(super) struct Actions(pub(super) Vec<Action>);

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split(',').map(parse_action).collect::<Result<_, _>>().map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for Actions {
    fn schema() -> RefOr<Schema> {
        let one = Action::ALL.map(Action::as_str).join("|");
        let pattern = format!("^({one})(,({one})){{0,5}}$");
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }
}

impl ToSchema for Actions {}

/// Kinds of what people do, separated by commas.
#[derive(Clone, Debug)]
pub(super) struct ActionKinds(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for ActionKinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        among(deserializer, "kinds", &OperatorActionKind::NAMES).map(Self)
    }
}

impl PartialSchema for ActionKinds {
    fn schema() -> RefOr<Schema> {
        words_of(&OperatorActionKind::NAMES)
    }
}

impl ToSchema for ActionKinds {}

/// Words out of these, separated by commas, and no more of them than there are.
fn among<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    known: &[&str],
) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let words: Vec<String> = text.split(',').map(str::to_owned).collect();
    if words.len() > known.len() || !words.iter().all(|word| known.contains(&word.as_str())) {
        let remedy = format!("write {what} out of {}, separated by commas", known.join(", "));
        return Err(D::Error::custom(remedy));
    }
    Ok(words)
}

/// What [`among`] takes.
fn words_of(known: &[&str]) -> RefOr<Schema> {
    let one = known.join("|");
    let pattern = format!("^({one})(,({one})){{0,{}}}$", known.len() - 1);
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}

/// States of a host's life, separated by commas.
#[derive(Clone, Debug)]
pub(super) struct States(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        among(deserializer, "states", &HostState::NAMES).map(Self)
    }
}

impl PartialSchema for States {
    fn schema() -> RefOr<Schema> {
        words_of(&HostState::NAMES)
    }
}

impl ToSchema for States {}

/// Words, separated by commas.
#[derive(Clone, Debug)]
pub(super) struct Kinds(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let words: Vec<String> = text.split(',').map(str::to_owned).collect();
        let is_word = |word: &String| {
            (1..=40).contains(&word.len()) && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        if words.len() > 20 || !words.iter().all(is_word) {
            return Err(D::Error::custom("write at most 20 words in lower case, separated by commas"));
        }
        Ok(Self(words))
    }
}

/// Where a page begins. What it holds is nobody's business: only `next` makes one.
#[derive(Clone, Debug)]
pub(super) struct Cursor<T>(pub(super) T);

impl<T: Serialize> Cursor<T> {
    /// As it stands in `next`: hex of JSON, which survives any address bar.
    pub(super) fn write(&self) -> String {
        hex(&serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Cursor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom("take the next of the page before, as it is"))
    }
}

/// A fleet that a list is narrowed to, if it is known.
pub(super) async fn known_fleet(api: &Api, name: Option<&str>) -> Result<Option<FleetName>, Problem> {
    match name {
        Some(name) => api.fleet_ever(&api.configuration(), name).await.map(Some),
        None => Ok(None),
    }
}

/// Text to look for, if it is some and the database can hold it.
pub(super) fn text(name: &'static str, given: Option<String>) -> Result<Option<String>, Problem> {
    let fits = |text: &String| (1..=200).contains(&text.chars().count()) && !text.contains('\0');
    if given.as_ref().is_none_or(fits) {
        return Ok(given);
    }
    Err(Problem::parameter(name, format!("{name}: write 1 to 200 characters")))
}

/// An id in a path.
pub(super) fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        Problem::parameter("id", "id: it is a UUID such as 019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query_text: &str) -> Result<DecisionParameters, String> {
        let uri: Uri = format!("/decisions?{query_text}").parse().unwrap();
        query(&uri).map_err(|problem| serde_json::to_string(&problem).unwrap())
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        for (text, name, remedy) in [
            ("limit=0", "limit", "from 1 to 500"),
            ("limit=501", "limit", "from 1 to 500"),
            ("since=yesterday", "since", "RFC 3339"),
            ("until=05m", "until", "RFC 3339"),
            ("action=explode", "action", "repair"),
            ("cursor=zz", "cursor", "next"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains(&format!("\"parameter\":\"{name}\"")) && error.contains(remedy),
                "{error}"
            );
        }
        assert!(read("colour=red").unwrap_err().contains("unknown field `colour`"));
        assert!(read("limit=1&limit=2").unwrap_err().contains("duplicate field"));
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let at: Timestamp = "2026-11-22T02:30:00.123456Z".parse().unwrap();
        let key = (at, DecisionId(Uuid::from_u128(7)));
        let text = Cursor(key).write();
        let parameters = read(&format!("cursor={text}")).unwrap();
        assert_eq!(parameters.cursor.unwrap().0, key);
    }

    #[test]
    fn a_moment_is_then_or_so_long_ago() {
        let now: Timestamp = "2026-11-22T02:30:00Z".parse().unwrap();
        let at = |text: &str| Moment(moment(text).unwrap()).at(now).to_rfc3339();
        assert_eq!(at("2h"), "2026-11-22T00:30:00+00:00");
        assert_eq!(at("2026-11-22T03:00:00+01:00"), "2026-11-22T02:00:00+00:00");
        for wrong in ["", "h", "0s", "10000d", "-1h", "1w", "é", "2é"] {
            assert!(moment(wrong).is_none(), "{wrong}");
        }
    }
}
