//! Whether a request comes from this service's own pages, as far as a browser made it.
//!
//! A browser sends a cookie along whoever made it ask; and so it does a client certificate, and a name and password that it was told
//! once. What changes something must come from our own pages; what only reads, from there or from the person (an address
//! typed in). Otherwise another site could make changes, or have events and questions put on record under the name of
//! whoever visits it. Cookies are of browsers alone: with one, who says nothing of where it comes from changes nothing. Anything else
//! comes from programs too, and they say nothing.

use axum::http::{HeaderMap, Method, header};

/// Where the request comes from, as the browser says and no page can make it say otherwise.
const SITE: &str = "sec-fetch-site";
/// How a browser asks: every one of today says it, of every request.
const MODE: &str = "sec-fetch-mode";

/// Whether the request may be let in by a cookie. `origin` is this service's own, as browsers write it.
pub(super) fn is_own(method: &Method, headers: &HeaderMap, origin: &str) -> bool {
    let is_reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (said(SITE), said(header::ORIGIN.as_str())) {
        (Some("same-origin"), _) => true,
        (Some("none"), None) => is_reading,
        (Some(_), _) => false,
        // A browser from before that header, or a program.
        (None, Some(from)) => from == origin,
        (None, None) => is_reading,
    }
}

/// Whether a browser made the request that a certificate, a token or an assertion lets in, and not for our own pages. `ours` is this
/// service's own origin where the configuration has it; else, and for who reaches it by another name, it is what was asked.
pub(super) fn is_foreign(method: &Method, headers: &HeaderMap, ours: Option<&str>) -> bool {
    let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or_default());
    let asked = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let is_ours = |from: &str| {
        let host = from.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        Some(from) == ours || host.is_some_and(|(_, host)| Some(host) == asked)
    };
    let has_site = headers.contains_key(SITE);
    match origin {
        _ if has_site => !is_own(method, headers, ""),
        Some(from) => !is_ours(from),
        None => false,
    }
}

/// Whether it is a browser that asks, as far as it says so.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(MODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_browser_sent_for_another_site_is_let_pass() {
        let ours = "https://tacho.internal";
        for (site, origin, reads, changes) in [
            (None, None, false, false),
            (Some("same-origin"), Some(ours), false, false),
            (Some("same-origin"), None, false, false),
            (Some("none"), None, false, true),
            (Some("none"), Some("null"), true, true),
            (Some("cross-site"), None, true, true),
            (Some("cross-site"), Some(ours), true, true),
            (Some("same-site"), None, true, true),
            (Some(""), None, true, true),
            (None, Some(ours), false, false),
            (None, Some("https://10.0.0.7:7420"), false, false),
            (None, Some("http://10.0.0.7:7420"), false, false),
            (None, Some("https://10.0.0.7"), true, true),
            (None, Some("chrome-extension://10.0.0.7:7420"), true, true),
            (None, Some("https://evil.example"), true, true),
            (None, Some("null"), true, true),
            (None, Some(""), true, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "10.0.0.7:7420".parse().unwrap());
            for (name, value) in [(SITE, site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            for (method, expected) in
                [(Method::GET, reads), (Method::POST, changes), (Method::DELETE, changes)]
            {
                assert_eq!(
                    is_foreign(&method, &headers, Some(ours)),
                    expected,
                    "{method} {site:?} {origin:?}"
                );
            }
            let is_named = origin == Some(ours) && site.is_none();
            assert_eq!(is_foreign(&Method::GET, &headers, None), reads || is_named, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn changes_come_from_our_own_pages_and_questions_from_no_other_site() {
        let ours = "https://tacho.internal";
        for (site, origin, reads, changes) in [
            (Some("same-origin"), None, true, true),
            (Some("same-origin"), Some(ours), true, true),
            (Some("none"), None, true, false),
            (Some("same-site"), None, false, false),
            (Some("cross-site"), None, false, false),
            (Some("cross-site"), Some(ours), false, false),
            (Some("none"), Some("null"), false, false),
            (Some(""), None, false, false),
            (Some("SAME-ORIGIN"), None, false, false),
            (None, Some(ours), true, true),
            (None, Some("https://tacho.internal.evil.example"), false, false),
            (None, Some("http://tacho.internal"), false, false),
            (None, Some("null"), false, false),
            (None, Some(""), false, false),
            (None, None, true, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert(SITE, site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                assert_eq!(is_own(&method, &headers, ours), reads, "{method} {site:?} {origin:?}");
            }
            for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
                assert_eq!(is_own(&method, &headers, ours), changes, "{method} {site:?} {origin:?}");
            }
            assert!(
                !is_own(&Method::POST, &headers, "") || site == Some("same-origin") || origin == Some("")
            );
        }
    }
}
