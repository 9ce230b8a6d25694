//! HTTP: statuses, headers, bodies.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use http_body_util::BodyExt;
use schemas::principal::Role;
use tower::ServiceExt;

use super::fixture::{World, principal};

fn app(role: Option<Role>) -> Router {
    let router = crate::router(World::with_events(100, 50, 10).query());
    match role {
        Some(role) => router.layer(axum::Extension(principal(role))),
        None => router,
    }
}

async fn send(app: Router, request: Request<Body>) -> (u16, Response<()>, String) {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => format!("cut: {error}"),
    };
    (parts.status.as_u16(), Response::from_parts(parts, ()), body)
}

fn post(kind: &str, body: &str) -> Request<Body> {
    Request::post("/api/v1/sql")
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn field(body: &str, name: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|error| panic!("{body}: {error}"))[name]
        .clone()
}

#[tokio::test]
async fn sql_over_post_and_get() {
    let body = r#"{"query":"SELECT log_index, user_id FROM events WHERE log_index < $1 ORDER BY 1","params":[2],"format":"ndjson"}"#;
    let (status, response, text) = send(app(Some(Role::Auditor)), post("application/json", body)).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(
        text,
        "{\"log_index\":0,\"user_id\":\"user0\"}\n{\"log_index\":1,\"user_id\":\"user1\"}\n{\"$end\":{\"rows\":2}}\n"
    );
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["tacho-snapshot"], "events=100/100/110;alerts=0/0/0;access=0/0/0");
    assert_eq!(headers["tacho-query-id"], "q-1");

    let request = Request::get("/api/v1/sql?q=SELECT%201%20AS%20a&format=csv").body(Body::empty()).unwrap();
    assert_eq!(send(app(Some(Role::Auditor)), request).await.2, "a\r\n1\r\n");
    let request = Request::get("/api/v1/sql?q=SELECT%201%20AS%20a")
        .header(header::ACCEPT, "application/x-ndjson")
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(app(Some(Role::Auditor)), request).await.2, "{\"a\":1}\n{\"$end\":{\"rows\":1}}\n");
    let (_, response, text) = send(app(Some(Role::Auditor)), post("text/plain", "SELECT 1 AS a")).await;
    assert_eq!(
        (response.headers()["content-type"].to_str().unwrap(), text.as_str()),
        ("application/json", "[{\"a\":1}]\n")
    );
}

#[tokio::test]
async fn errors_are_problems_with_a_code() {
    let json = "application/json";
    for (role, request, status, code) in [
        (None, post(json, r#"{"query":"SELECT 1"}"#), 401, "unauthenticated"),
        (Some(Role::Collector), post(json, r#"{"query":"SELECT 1"}"#), 403, "forbidden"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELEC 1"}"#), 400, "syntax"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELECT nothing FROM events"}"#), 400, "plan"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELECT 1/0"}"#), 400, "execution"),
        (Some(Role::Auditor), post(json, r#"{"query":"DROP TABLE events"}"#), 400, "statement_not_allowed"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELECT 1","format":"xml"}"#), 400, "format"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELECT 1","as_of":1}"#), 400, "request"),
        (Some(Role::Auditor), post(json, r#"{"query":"SELECT $1","params":[{}]}"#), 400, "request"),
        (Some(Role::Auditor), post(json, "{"), 400, "request"),
        (Some(Role::Auditor), post("image/png", "x"), 415, "media_type"),
        (Some(Role::Auditor), post("text/plain", &"x".repeat(100_000)), 413, "too_large"),
        (Some(Role::Auditor), post("text/plain", &"x".repeat(2_000_000)), 413, "too_large"),
    ] {
        let (found, response, body) = send(app(role), request).await;
        assert_eq!((found, field(&body, "code").as_str().unwrap()), (status, code), "{body}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(field(&body, "status"), status);
    }
    let (_, _, body) =
        send(app(Some(Role::Auditor)), post("text/plain", "SELECT 1\n  FROM events WHERE )")).await;
    assert_eq!((field(&body, "line"), field(&body, "code")), (2.into(), "syntax".into()), "{body}");
    let (_, _, body) =
        send(app(Some(Role::Auditor)), post("text/plain", "SELECT time,\n  nothing FROM events")).await;
    assert_eq!((field(&body, "line"), field(&body, "column")), (2.into(), 3.into()), "{body}");
}

#[tokio::test]
async fn a_failure_after_rows_shows() {
    // Sorted so that the failing row comes last, behind more rows than fit a batch.
    let world = World::with_events(30_000, 30_000, 0);
    let router = crate::router(world.query()).layer(axum::Extension(principal(Role::Auditor)));
    let sql = "SELECT 1 / (29999 - log_index) AS x FROM (SELECT log_index FROM events ORDER BY log_index LIMIT 30000)";
    for (format, ending) in [("ndjson", "{\"$error\":{\"code\":\"execution\""), ("csv", "cut: ")] {
        let body = format!(r#"{{"query":"{sql}","format":"{format}"}}"#);
        let (status, _, text) = send(router.clone(), post("application/json", &body)).await;
        assert_eq!(status, 200);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(ending), "{format}: {last}");
    }
}

#[tokio::test]
async fn an_own_limit_refuses_what_is_larger() {
    let ask = |rows: u64| {
        post(
            "application/json",
            &format!(
                r#"{{"query":"SELECT event_id FROM events","format":"ndjson","limits":{{"rows":{rows}}}}}"#
            ),
        )
    };
    assert!(send(app(Some(Role::Auditor)), ask(110)).await.2.ends_with("{\"$end\":{\"rows\":110}}\n"));
    assert!(send(app(Some(Role::Auditor)), ask(109)).await.2.contains("answer_too_large"));
}

#[tokio::test]
async fn replay_over_http() {
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let (status, response, text) =
        send(app(Some(Role::Auditor)), get("/api/v1/sessions/s000003/replay?format=timeline")).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(
        text.starts_with("session s000003\n2026-11-20T00:00:30Z  #30  call  github/tool10  repo/30  read"),
        "{text}"
    );
    let (status, _, body) = send(app(Some(Role::Auditor)), get("/api/v1/sessions/none/replay")).await;
    assert_eq!((status, field(&body, "code")), (404, "not_found".into()));
    let (status, _, body) =
        send(app(Some(Role::Auditor)), get("/api/v1/sessions/s000003/replay?format=pdf")).await;
    assert_eq!((status, field(&body, "code")), (400, "format".into()));
    let (status, _, body) =
        send(app(Some(Role::Auditor)), get("/api/v1/sessions/s000003/replay?after=x")).await;
    assert_eq!((status, field(&body, "code")), (400, "cursor".into()));
}

#[tokio::test]
async fn an_answer_whose_end_could_not_be_told_is_not_given() {
    let mut request = Request::get("/api/v1/sql?q=SELECT%201&format=csv").body(Body::empty()).unwrap();
    *request.version_mut() = axum::http::Version::HTTP_10;
    let (status, _, body) = send(app(Some(Role::Auditor)), request).await;
    assert_eq!((status, field(&body, "code")), (505, "http_version".into()), "{body}");
}
