//! The API described for programs, at `/api/v1/openapi.json`.

use crate::http::{api, attribution, ingest};
use actix_web::HttpResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fieldvitals",
        description = "Real-user Web Vitals that a team owns. Times are UTC, RFC 3339; percentiles are within \
                       0.55 %, rating counts exact. Errors are `{\"error\":{\"code\",\"message\",\"hint\"}}`.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        ingest::beacon, ingest::web_vitals, api::healthz, api::status, api::sites, api::pages, api::report,
        api::breakdown, attribution::attribution, api::rejections, api::violations, api::gate
    ),
    modifiers(&Bearer),
    tags((name = "ingest", description = "Beacons in"), (name = "read", description = "Reports out")),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Default::default);
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token: `fieldvitals token add NAME --scope read`"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document.
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().json(description())
}

/// The description itself, for tests.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
