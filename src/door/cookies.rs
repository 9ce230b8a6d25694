//! Cookies: found in a request, set and taken back in an answer.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// The value of the cookie of this name, the first where there are several.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Sets one that no script reads, that no other site's form sends, and that lasts so many seconds; with none, as long as
/// the browser is open.
pub(super) fn set(response: &mut Response, name: &str, value: &str, is_secure: bool, lasting_s: Option<u64>) {
    let lasting = lasting_s.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{lasting}");
    // Names and values are of plain letters: what is no header value cannot come up.
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Has the browser forget one.
pub(super) fn take_back(response: &mut Response, name: &str, is_secure: bool) {
    set(response, name, "", is_secure, Some(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_of_a_name_is_found_and_no_other() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; tacho_session=x=y;b"));
        headers.append(header::COOKIE, HeaderValue::from_static("xtacho_session=2; c=3"));
        for (name, value) in [("a", Some("1")), ("tacho_session", Some("x=y")), ("c", Some("3")), ("b", None)]
        {
            assert_eq!(find(&headers, name), value, "{name}");
        }
        assert_eq!(find(&HeaderMap::new(), "a"), None);
    }

    #[test]
    fn cookies_are_for_no_script_and_for_no_other_site() {
        let mut response = Response::default();
        set(&mut response, "__Host-a", "b", true, None);
        take_back(&mut response, "c", false);
        let set: Vec<&str> = response
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(
            set,
            [
                "__Host-a=b; Path=/; HttpOnly; SameSite=Lax; Secure",
                "c=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
            ]
        );
    }
}
