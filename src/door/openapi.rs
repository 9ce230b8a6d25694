//! `GET /api/v1/openapi.json`: what can be asked of this process, described from the code that answers.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, ContentBuilder, OpenApi as Description, RefOr, ResponseBuilder};
use utoipa::{OpenApi, openapi};

use crate::node::Node;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tachograph",
        description = "The sealed recorder beside AI agents. Errors are problems (RFC 9457) with a stable code, but for \
            /metrics/{gate}, where every answer that is no number has the body 2147483647, and /v1/traces and /v1/logs, where \
            they are google.rpc.Status in the encoding of the request."
    ),
    paths(
        super::health,
        super::ready,
        super::metrics,
        super::tokens::list_tokens,
        super::tokens::create_token,
        super::tokens::revoke_token,
        super::alerts::judge_alert,
        super::sinks::list_sinks,
        super::sinks::replay_sink,
        super::sinks::discard_sink,
        super::redaction::draw_sample,
        super::redaction::record_verdict,
        super::rules::reload_rules,
    ),
    components(schemas(super::ProblemBody))
)]
struct Document;

/// The cookie of a session, among the credentials.
const SESSION: &str = "session";

/// What every path behind the door can answer, beside what it says itself.
const COMMON: [(&str, &str); 12] = [
    ("400", "The request is not as documented, or the statement is refused."),
    ("401", "There is no credential, or none that is taken."),
    ("403", "The role may not do this."),
    ("404", "There is nothing under this path."),
    ("405", "This path is not asked in this way."),
    ("413", "The request is larger than its limit."),
    ("415", "The request is of a kind that is not read here."),
    ("429", "Too much at once, or locked out after failed logins: come again after Retry-After."),
    ("500", "A fault of the service, or a file that is not what its manifest says."),
    ("503", "The service is recovering, stopping or cannot record what is asked, or a gate has no number."),
    ("504", "The query ran longer than its deadline."),
    ("505", "Ask over HTTP/1.1."),
];

/// The description of all that `node` answers.
pub(super) fn document(node: &Node) -> Description {
    let mut document = Document::openapi();
    if node.ingest.is_some() {
        document.merge(ingest::openapi());
    }
    if node.query.is_some() {
        document.merge(query::openapi());
        document.merge(super::proofs::Document::openapi());
    }
    let people = node.identity.people();
    if people.is_some() {
        document.merge(super::login::Document::openapi());
    }
    let is_open = |path: &str| matches!(path, "/health" | "/ready" | "/auth/login" | "/auth/callback");
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten().filter(|_| !is_open(path)) {
            complete(operation, Errors::of(path), people.is_some());
        }
    }
    let schemes = document.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("Any user; the password is the token."))
        .build();
    schemes.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    schemes.add_security_scheme("basic", SecurityScheme::Http(basic));
    if let Some(people) = people {
        let description = "From /auth/login. What changes something must come from this service's own pages.";
        let cookie = ApiKeyValue::with_description(people.session_cookie(), description);
        schemes.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
    document
}

/// What an operation says errors in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errors {
    Problem,
    NoNumber,
    Status,
}

impl Errors {
    fn of(path: &str) -> Errors {
        match path {
            "/v1/traces" | "/v1/logs" => Errors::Status,
            path if path.starts_with("/metrics/") => Errors::NoNumber,
            _ => Errors::Problem,
        }
    }
}

/// Adds the credentials that an operation takes and the errors that it shares with all others.
fn complete(operation: &mut Operation, errors: Errors, has_people: bool) {
    let names = ["bearer", "basic"].into_iter().chain(has_people.then_some(SESSION));
    let either = names.map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    operation.security.get_or_insert_with(|| either.collect());
    for (status, description) in COMMON {
        let described = |schema: Option<&str>| {
            ContentBuilder::new().schema(schema.map(openapi::Ref::from_schema_name)).build()
        };
        let response = ResponseBuilder::new().description(description);
        let response = match errors {
            Errors::NoNumber => response.content("text/plain", described(None)),
            Errors::Problem => {
                response.content("application/problem+json", described(Some("ServiceProblem")))
            }
            Errors::Status => response
                .content("application/json", described(Some("OtlpStatus")))
                .content("application/x-protobuf", described(None)),
        };
        let response = response.build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

#[cfg(test)]
mod tests {
    /// Every route of the sources is described, and no other.
    #[test]
    fn every_route_is_described() {
        let sources = [
            include_str!("../door.rs"),
            include_str!("tokens.rs"),
            include_str!("login.rs"),
            include_str!("alerts.rs"),
            include_str!("redaction.rs"),
            include_str!("rules.rs"),
            include_str!("sinks.rs"),
            include_str!("proofs.rs"),
            include_str!("proofs/inclusion.rs"),
            include_str!("proofs/evidence.rs"),
            include_str!("../../ingest/src/http.rs"),
            include_str!("../../ingest/src/otlp/door.rs"),
            include_str!("../../query/src/http.rs"),
        ];
        // A rest of a path is called so in a route alone.
        let mut routes: Vec<String> = sources
            .iter()
            .flat_map(|source| source.split(".route(\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .filter(|route| *route != "/api/v1/openapi.json")
            .map(|route| route.replace("{*", "{"))
            .collect();
        routes.sort_unstable();
        let mut document = <super::Document as utoipa::OpenApi>::openapi();
        document.merge(ingest::openapi());
        document.merge(query::openapi());
        document.merge(<crate::door::login::Document as utoipa::OpenApi>::openapi());
        document.merge(<crate::door::proofs::Document as utoipa::OpenApi>::openapi());
        let described: Vec<String> = document.paths.paths.keys().cloned().collect();
        assert_eq!(described, routes);
    }
}
