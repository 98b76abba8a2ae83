//! The operators' page: files that are part of the binary, so that there is nothing to install beside it and nothing
//! that could be of another version.
//!
//! The page asks the API as any other client does, and nothing here knows what a fleet is. Its address says what it shows,
//! so a link to a decision can be sent to somebody: every such address answers with the same document, and the script
//! in it reads the address. No name carries a version, because there is no build step to put one there; a browser asks
//! each time whether a file has changed, and the ETag says no without sending it.
//!
//! The policy in the headers lets the page run its own files and talk to its own service, and nothing else: text that a
//! host or a cloud wrote cannot become a script, even if the page had a mistake in it.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use sha2::{Digest as _, Sha256};

use crate::view::words::hex;

/// What a browser may do with the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The document at every address of the page.
const DOCUMENT: (&str, &str) = ("text/html; charset=utf-8", include_str!("dashboard/index.html"));

/// Where the document is answered; the script in it knows what to show there.
const ADDRESSES: [&str; 4] = ["/", "/actions", "/fleets/{name}", "/decisions/{id}"];

/// What the document loads: path, media type and text.
const ASSETS: [(&str, &str, &str); 20] = [
    ("/assets/actions.js", JAVASCRIPT, include_str!("dashboard/actions.js")),
    ("/assets/api.js", JAVASCRIPT, include_str!("dashboard/api.js")),
    ("/assets/bars.js", JAVASCRIPT, include_str!("dashboard/bars.js")),
    ("/assets/beside.js", JAVASCRIPT, include_str!("dashboard/beside.js")),
    ("/assets/chart.js", JAVASCRIPT, include_str!("dashboard/chart.js")),
    ("/assets/charts.js", JAVASCRIPT, include_str!("dashboard/charts.js")),
    ("/assets/decision.js", JAVASCRIPT, include_str!("dashboard/decision.js")),
    ("/assets/dom.js", JAVASCRIPT, include_str!("dashboard/dom.js")),
    ("/assets/fleet.js", JAVASCRIPT, include_str!("dashboard/fleet.js")),
    ("/assets/icon.svg", SVG, include_str!("dashboard/icon.svg")),
    ("/assets/judge.js", JAVASCRIPT, include_str!("dashboard/judge.js")),
    ("/assets/live.js", JAVASCRIPT, include_str!("dashboard/live.js")),
    ("/assets/main.js", JAVASCRIPT, include_str!("dashboard/main.js")),
    ("/assets/overview.js", JAVASCRIPT, include_str!("dashboard/overview.js")),
    ("/assets/parts.css", CSS, include_str!("dashboard/parts.css")),
    ("/assets/parts.js", JAVASCRIPT, include_str!("dashboard/parts.js")),
    ("/assets/people.js", JAVASCRIPT, include_str!("dashboard/people.js")),
    ("/assets/style.css", CSS, include_str!("dashboard/style.css")),
    ("/assets/token.js", JAVASCRIPT, include_str!("dashboard/token.js")),
    ("/assets/words.js", JAVASCRIPT, include_str!("dashboard/words.js")),
];

/// The page and its files. They need no token: whoever has none sees where to give one, and the API keeps its door.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let (kind, text) = DOCUMENT;
    let document = ADDRESSES.into_iter().map(|address| (address, kind, text));
    document
        .chain(ASSETS)
        .fold(Router::new(), |router, (path, kind, text)| router.route(path, file(kind, text)))
}

/// One file, with its tag worked out once.
fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> MethodRouter<S> {
    let digest = Sha256::digest(text);
    let tag = format!("\"{}\"", hex(&digest[..16]));
    get(move |headers: HeaderMap| std::future::ready(answer(&headers, kind, text, &tag)))
}

fn answer(headers: &HeaderMap, kind: &'static str, text: &'static str, tag: &str) -> Response {
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.any(|list| list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], text).into_response()
    };
    let fixed = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = response.headers_mut();
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_of(folder: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut served: Vec<_> =
            ASSETS.map(|(path, ..)| path.trim_start_matches("/assets/").to_owned()).into();
        served.push("index.html".to_owned());
        served.sort_unstable();
        assert_eq!(served, files_of("src/http/dashboard"));
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        assert_eq!(answer(&headers, CSS, "p {}", "\"a\"").status(), StatusCode::OK);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"b\", W/\"a\""));
        let response = answer(&headers, CSS, "p {}", "\"a\"");
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
    }

    #[test]
    fn no_file_makes_markup_of_text_or_asks_another_host() {
        for (path, _, text) in ASSETS {
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"]
            {
                assert!(!text.contains(forbidden), "{path} has {forbidden}");
            }
        }
    }
}
