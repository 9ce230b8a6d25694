//! Whether a request that only a cookie lets in comes from this service's own pages.
//!
//! A browser sends a cookie along whoever made it ask. What changes something must come from our own pages; what only reads,
//! from there or from the person (an address typed in). Otherwise another site could make changes, or have questions
//! put on the access log under the name of whoever visits it.

use axum::http::{HeaderMap, Method, header};

/// Where the request comes from, as the browser says and no page can make it say otherwise.
const SITE: &str = "sec-fetch-site";

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

#[cfg(test)]
mod tests {
    use super::*;

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
