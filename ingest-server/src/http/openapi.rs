//! The API described for programs, at `/api/v1/openapi.json`.

use crate::http::api::{
    advice, alerts, attribution, audit, breakdown, budgets, compare, crux as crux_beside, digest, engagement,
    gate, health, links, live, metrics, open, pages, rejections, releases, report, retention, routes,
    samples, series, session, site_settings, sites, status, status_history, summary, thresholds, tokens,
    trends, violations,
};
use crate::http::error::ErrorBody;
use crate::http::{assets, crux, ingest};
use crate::report::{Order, Sort};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::LazyLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema as _};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fieldvitals",
        description = "Real-user Web Vitals that a team owns. Times are UTC, RFC 3339; percentiles are within \
                       0.55 %, rating counts exact. Errors are `{\"error\":{\"code\",\"message\",\"hint\"}}`.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        ingest::beacon, ingest::web_vitals, ingest::faro, ingest::otlp, ingest::umami, ingest::boomerang,
        ingest::boomerang_image, health::healthz, health::readyz, metrics::metrics,
        status::status, status_history::status_history, thresholds::thresholds, thresholds::set_thresholds,
        sites::sites, summary::summary,
        pages::pages, report::report, breakdown::breakdown, series::series, compare::compare, releases::releases,
        attribution::attribution, advice::advice, samples::samples, engagement::engagement, rejections::rejections,
    alerts::alerts, alerts::change, alerts::channels, alerts::test, audit::audit, budgets::apply, budgets::kept, budgets::replay, budgets::state, crux::query_history_record, crux::query_record, crux_beside::crux, digest::digest, digest::test, gate::flagger, gate::gate, gate::one, links::links, live::live, open::open, releases::mark, retention::retention, retention::set, routes::groups, routes::preview, routes::suggestions, session::sign_in, session::sign_out, session::ways, site_settings::add, site_settings::delete, site_settings::rotate_key, site_settings::update, tokens::add, tokens::revoke, tokens::tokens, trends::trends, violations::change, violations::violations,
    ),
    components(schemas(Order, Sort)),
    modifiers(&Bearer),
    tags((name = "ingest", description = "Beacons in"), (name = "read", description = "Reports out"),
         (name = "settings", description = "Sites, tokens and deploys, with an audit log")),
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
        let key = ApiKeyValue::with_description("key", "An API token, or a read-only link to one site");
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Query(key)));
        for item in openapi.paths.paths.values_mut() {
            let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in all.into_iter().flatten().filter(|operation| operation.security.is_some()) {
                let limited = ResponseBuilder::new()
                    .description(
                        "The token makes more requests than it may (`token_rate`); `Retry-After` has seconds",
                    )
                    .content(
                        "application/json",
                        ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build(),
                    );
                operation
                    .responses
                    .responses
                    .entry("429".to_owned())
                    .or_insert_with(|| limited.build().into());
            }
        }
    }
}

/// The document, written and compressed once: it is 30 times as large as a request for it.
static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    // It is made of texts, so neither fails; an empty document would show in tests.
    let plain = serde_json::to_vec(&description()).unwrap_or_default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = gzip.write_all(&plain).and_then(|()| gzip.finish()).unwrap_or_default();
    Document { plain: plain.into(), gzip: gzip.into() }
});

struct Document {
    plain: Bytes,
    gzip: Bytes,
}

/// The OpenAPI document.
pub async fn document(request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("application/json").insert_header((header::VARY, "Accept-Encoding"));
    let (_, is_gzip_accepted) = assets::accepted(request.headers());
    if is_gzip_accepted {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
        return response.body(DOCUMENT.gzip.clone());
    }
    response.body(DOCUMENT.plain.clone())
}

/// The description itself, for tests.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
