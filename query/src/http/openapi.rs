//! The routes of this door as OpenAPI describes them.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    paths(
        super::get_sql,
        super::post_sql,
        super::get_replay,
        super::queries::list,
        super::queries::cancel,
        super::gates::all,
        super::gates::one,
    ),
    components(schemas(super::problem::ProblemBody))
)]
struct Document;

/// The paths and schemas of this door; errors that every path can give are for whoever serves it to add.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
