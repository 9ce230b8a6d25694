//! A browser, as far as a login needs one: it keeps cookies and goes where it is sent.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::{Method, Url};

/// An answer, with every header.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The code of a problem, which it must be.
    pub fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        self.json()["code"].as_str().unwrap().to_string()
    }

    pub fn location(&self) -> String {
        self.headers[LOCATION].to_str().unwrap().to_string()
    }

    pub fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap().to_string()).collect()
    }
}

/// Cookies by host and port, then name: value and path.
type Jar = BTreeMap<String, BTreeMap<String, (String, String)>>;

pub struct Browser {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    pub jar: Jar,
}

impl Browser {
    pub fn new() -> Browser {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // A service that is started again does not know the connections of the one before.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Browser { runtime, http, jar: Jar::new() }
    }

    pub fn get(&mut self, url: &str) -> Page {
        self.send(Method::GET, url, &[], "")
    }

    pub fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let url: Url = url.parse().unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let mut request = self.http.request(method, url.clone());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let kept = self.jar.entry(host).or_default();
        let sent: Vec<String> = kept
            .iter()
            .filter(|(_, (_, path))| url.path().starts_with(path.as_str()))
            .map(|(name, (value, _))| format!("{name}={value}"))
            .collect();
        if !sent.is_empty() {
            request = request.header(COOKIE, sent.join("; "));
        }
        let page = self.runtime.block_on(async {
            let response = request.body(body.to_string()).send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Page { status, headers, text: response.text().await.unwrap() }
        });
        for cookie in page.set_cookies() {
            let mut parts = cookie.split(';').map(str::trim);
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let attributes: Vec<(&str, &str)> =
                parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
            let attribute = |name: &str| {
                attributes.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
            };
            let is_past = attribute("expires").is_some_and(|date| date.contains(" 1970 "));
            if is_past || attribute("max-age") == Some("0") {
                kept.remove(name);
            } else {
                let path = attribute("path").unwrap_or("/").to_string();
                kept.insert(name.to_string(), (value.to_string(), path));
            }
        }
        page
    }

    /// Has `user` log in at the provider from the address that the service sent the browser to; where the provider sends it in
    /// the end. With `None` the person thinks better of it.
    pub fn at_provider(&mut self, location: &str, user: Option<&str>) -> String {
        let provider: Url = location.parse().unwrap();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let mut at = provider.clone();
        for _ in 0..20 {
            if at.port() != provider.port() {
                return at.into();
            }
            let mut page = self.get(at.as_str());
            if page.status == 200 {
                page = match user {
                    None => self.get(&format!("{at}/abort")),
                    Some(user) if page.text.contains("value=\"login\"") => {
                        let filled = format!("prompt=login&login={user}&password=x");
                        self.send(Method::POST, at.as_str(), &form, &filled)
                    }
                    Some(_) => self.send(Method::POST, at.as_str(), &form, "prompt=consent"),
                };
            }
            assert!((300..400).contains(&page.status), "{at}: {page:?}");
            at = at.join(&page.location()).unwrap();
        }
        panic!("the provider sends in circles: {at}");
    }
}
