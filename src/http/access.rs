//! Who is let in: tokens, scopes, and how often anybody may ask.
//!
//! Without a tokens file the service listens on loopback alone, and whoever is on this machine may do everything: they
//! could read the configuration and the database as well. With one, every request of the API shows a token. Who is
//! turned away is counted and written down now and then, so that a flood of wrong tokens costs a few rows an hour.

mod keeper;
mod rate;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::clock::Clock;
use crate::config::tokens::Scope;
use crate::http::access::keeper::Found;
pub use crate::http::access::keeper::Keeper;
use crate::http::access::rate::Limiter;
use crate::http::api::Api;
use crate::http::problem::Problem;
use crate::store::history::{History, Refusal};

/// Causes and tokens that are counted apart between two writes; the tokens are known ones, so there are few.
const COUNTED_MAX: usize = 2_000;

/// The API's door.
pub struct Door {
    clock: Arc<dyn Clock>,
    /// `None`: nobody needs a token.
    keeper: Option<Keeper>,
    limiter: Limiter,
    refused: Mutex<BTreeMap<(&'static str, String), Refusal>>,
}

/// Who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token that was shown; `None`: none is needed.
    pub token: Option<String>,
    /// What they may do.
    pub scope: Scope,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Caller {
    /// Who acts, for the audit trail: the token, and whom its bearer says to speak for.
    #[must_use]
    pub fn actor(&self, stated: Option<&str>) -> String {
        let through = self.token.as_deref().unwrap_or("http");
        match stated {
            Some(stated) => format!("{stated} via {through}"),
            None => through.to_owned(),
        }
    }
}

impl Door {
    /// A door that opens for these tokens; `None`: for everybody.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, keeper: Option<Keeper>) -> Self {
        Self { clock, keeper, limiter: Limiter::default(), refused: Mutex::default() }
    }

    /// Reads the tokens file again if it has changed, and writes down who was turned away.
    pub(super) async fn keep_up(&self, history: Option<&Arc<dyn History>>) {
        if let Some(keeper) = &self.keeper {
            keeper.refresh();
        }
        let Some(history) = history else { return };
        let refused = std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        let refused: Vec<Refusal> = refused.into_values().collect();
        if refused.is_empty() {
            return;
        }
        if let Err(error) = history.refusals_record(&refused).await {
            tracing::warn!(%error, "refused requests could not be written down; they are tried again");
            for refusal in refused {
                self.count(refusal);
            }
        }
    }

    fn judge(
        &self,
        peer: IpAddr,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let now = self.clock.elapsed();
        let Some(keeper) = &self.keeper else {
            self.limiter.take(&peer.to_string(), changes, now)?;
            return Ok(Caller { token: None, scope: Scope::Operator });
        };
        // Guessing is limited by address, and using by token: behind a proxy every address is the same one.
        let found = match bearer(headers) {
            None => Found::None,
            Some(token) => keeper.find(token, self.clock.now()),
        };
        let (name, scope) = match found {
            Found::Token(name, scope) => (name, scope),
            Found::None => return Err(self.turn_away("no_token", "", peer, method, path)),
            Found::Unknown => return Err(self.turn_away("unknown_token", "", peer, method, path)),
            Found::Expired(name) => return Err(self.turn_away("expired_token", &name, peer, method, path)),
        };
        self.limiter.take(&name, changes, now)?;
        if changes && scope < Scope::Operator {
            return Err(self.turn_away("scope", &name, peer, method, path));
        }
        Ok(Caller { token: Some(name), scope })
    }

    fn turn_away(
        &self,
        cause: &'static str,
        token: &str,
        peer: IpAddr,
        method: &Method,
        path: &str,
    ) -> Problem {
        let request: String = format!("{method} {path}").chars().take(200).collect();
        self.count(Refusal { cause, token: token.to_owned(), peer: peer.to_string(), request, count: 1 });
        if let Err(problem) = self.limiter.take(&format!("refused {peer}"), true, self.clock.elapsed()) {
            return problem;
        }
        match cause {
            "scope" => Problem::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                "scope",
                format!("token {token} has scope viewer; this takes one with scope operator"),
            ),
            "expired_token" => unauthorized(cause, format!("token {token} has expired; ask for a new one")),
            "unknown_token" => unauthorized(cause, "this token is not known here".to_owned()),
            _ => unauthorized(cause, "show a token: Authorization: Bearer …".to_owned()),
        }
    }

    fn count(&self, refusal: Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (refusal.cause, refusal.token.clone());
        if refused.len() >= COUNTED_MAX && !refused.contains_key(&key) {
            return;
        }
        let before = refused.get(&key).map_or(0, |earlier| earlier.count);
        let count = refusal.count.saturating_add(before);
        refused.insert(key, Refusal { count, ..refusal });
    }
}

fn unauthorized(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", code, detail)
        .challenge("Bearer realm=\"fleet-scaler\"")
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Lets a request in, or answers it here.
pub(super) async fn let_in(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<axum::extract::ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    // A request without an address comes from no socket, and so from this process.
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    match api.door().judge(peer, request.method(), request.uri().path(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_from_the_header_alone() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!((of("Basic abc"), of("Bearer "), of("abc")), (None, None, None));
    }

    #[test]
    fn an_actor_names_the_token_and_whom_it_speaks_for() {
        let caller = |token: Option<&str>| Caller { token: token.map(str::to_owned), scope: Scope::Operator };
        assert_eq!(caller(None).actor(None), "http");
        assert_eq!(caller(None).actor(Some("ada")), "ada via http");
        assert_eq!(caller(Some("pager-bot")).actor(Some("ada")), "ada via pager-bot");
    }
}
