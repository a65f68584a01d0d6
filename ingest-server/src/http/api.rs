//! The API: authenticates with a bearer token and answers JSON.
//!
//! One file an endpoint, in the order of [`routes`]. [`route`] holds the parameter `route`, which several endpoints
//! take, and `settings` what endpoints that change settings share.

pub mod advice;
pub mod alerts;
pub mod attribution;
pub mod audit;
pub mod breakdown;
pub mod budgets;
pub mod compare;
pub mod crux;
pub mod digest;
pub mod engagement;
pub mod gate;
pub mod health;
pub mod links;
pub mod live;
pub mod metrics;
pub mod open;
pub mod pages;
pub mod rejections;
pub mod releases;
pub mod report;
pub mod retention;
pub mod route;
pub mod routes;
pub mod samples;
pub mod series;
pub mod session;
pub mod settings;
pub mod site_settings;
pub mod sites;
pub mod status;
pub mod status_history;
pub mod summary;
pub mod thresholds;
pub mod tokens;
pub mod trends;
pub mod violations;

use crate::http::error::ApiError;
use crate::http::refuse;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Serialize;

/// Result of an API handler.
pub type Answer = Result<HttpResponse, ApiError>;

/// The paths of the API, but for its description in `openapi.rs`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let get = |path: &str| web::resource(path).default_service(web::to(|request| refuse(request, "GET")));
    let post = |path: &str| web::resource(path).default_service(web::to(|request| refuse(request, "POST")));
    config
        .service(get("/healthz").route(web::get().to(health::healthz)).route(web::head().to(health::healthz)))
        .service(get("/readyz").route(web::get().to(health::readyz)).route(web::head().to(health::readyz)))
        .service(get("/metrics").route(web::get().to(metrics::metrics)))
        .service(get("/api/v1/status").route(web::get().to(status::status)))
        .service(get("/api/v1/status/history").route(web::get().to(status_history::status_history)))
        .service(
            web::resource("/api/v1/status/thresholds")
                .default_service(web::to(|request| refuse(request, "GET, PUT")))
                .route(web::get().to(thresholds::thresholds))
                .route(web::put().to(thresholds::set_thresholds)),
        )
        .service(
            web::resource("/api/v1/session")
                .default_service(web::to(|request| refuse(request, "GET, POST, DELETE")))
                .route(web::get().to(session::ways))
                .route(web::post().to(session::sign_in))
                .route(web::delete().to(session::sign_out)),
        )
        .service(
            web::resource("/api/v1/sites")
                .default_service(web::to(|request| refuse(request, "GET, POST")))
                .route(web::get().to(sites::sites))
                .route(web::post().to(site_settings::add)),
        )
        .service(
            web::resource("/api/v1/sites/{site}")
                .default_service(web::to(|request| refuse(request, "PATCH, DELETE")))
                .route(web::patch().to(site_settings::update))
                .route(web::delete().to(site_settings::delete)),
        )
        .service(post("/api/v1/sites/{site}/keys").route(web::post().to(site_settings::rotate_key)))
        .service(
            web::resource("/api/v1/tokens")
                .default_service(web::to(|request| refuse(request, "GET, POST")))
                .route(web::get().to(tokens::tokens))
                .route(web::post().to(tokens::add)),
        )
        .service(
            web::resource("/api/v1/tokens/{token}")
                .default_service(web::to(|request| refuse(request, "DELETE")))
                .route(web::delete().to(tokens::revoke)),
        )
        .service(
            web::resource("/api/v1/retention")
                .default_service(web::to(|request| refuse(request, "GET, PUT")))
                .route(web::get().to(retention::retention))
                .route(web::put().to(retention::set)),
        )
        .service(get("/api/v1/audit").route(web::get().to(audit::audit)))
        .service(get("/api/v1/sites/{site}/summary").route(web::get().to(summary::summary)))
        .service(get("/api/v1/sites/{site}/pages").route(web::get().to(pages::pages)))
        .service(get("/api/v1/sites/{site}/trends").route(web::get().to(trends::trends)))
        .service(get("/api/v1/sites/{site}/report").route(web::get().to(report::report)))
        .service(get("/api/v1/sites/{site}/breakdown").route(web::get().to(breakdown::breakdown)))
        .service(get("/api/v1/sites/{site}/series").route(web::get().to(series::series)))
        .service(get("/api/v1/sites/{site}/compare").route(web::get().to(compare::compare)))
        .service(get("/api/v1/sites/{site}/crux").route(web::get().to(crux::crux)))
        .service(
            web::resource("/api/v1/sites/{site}/releases")
                .default_service(web::to(|request| refuse(request, "GET, POST")))
                .route(web::get().to(releases::releases))
                .route(web::post().to(releases::mark)),
        )
        .service(get("/api/v1/sites/{site}/attribution").route(web::get().to(attribution::attribution)))
        .service(get("/api/v1/sites/{site}/samples").route(web::get().to(samples::samples)))
        .service(get("/api/v1/sites/{site}/engagement").route(web::get().to(engagement::engagement)))
        .service(get("/api/v1/sites/{site}/advice").route(web::get().to(advice::advice)))
        .service(get("/api/v1/sites/{site}/routes/suggestions").route(web::get().to(routes::suggestions)))
        .service(post("/api/v1/sites/{site}/routes/preview").route(web::post().to(routes::preview)))
        .service(post("/api/v1/sites/{site}/routes/groups").route(web::post().to(routes::groups)))
        .service(get("/api/v1/sites/{site}/rejections").route(web::get().to(rejections::rejections)))
        .service(get("/api/v1/sites/{site}/open").route(web::get().to(open::open)))
        .service(get("/api/v1/sites/{site}/violations").route(web::get().to(violations::violations)))
        .service(post("/api/v1/sites/{site}/violations/{id}").route(web::post().to(violations::change)))
        .service(get("/api/v1/sites/{site}/alerts").route(web::get().to(alerts::alerts)))
        .service(post("/api/v1/sites/{site}/alerts/{id}").route(web::post().to(alerts::change)))
        .service(
            web::resource("/api/v1/sites/{site}/digest")
                .default_service(web::to(|request| refuse(request, "GET, POST")))
                .route(web::get().to(digest::digest))
                .route(web::post().to(digest::test)),
        )
        .service(get("/api/v1/channels").route(web::get().to(alerts::channels)))
        .service(post("/api/v1/channels/{channel}/test").route(web::post().to(alerts::test)))
        .service(
            web::resource("/api/v1/sites/{site}/budgets")
                .default_service(web::to(|request| refuse(request, "GET, PUT")))
                .route(web::get().to(budgets::kept))
                .route(web::put().to(budgets::apply)),
        )
        .service(get("/api/v1/sites/{site}/budgets/state").route(web::get().to(budgets::state)))
        .service(post("/api/v1/sites/{site}/budgets/what-if").route(web::post().to(budgets::replay)))
        .service(get("/api/v1/sites/{site}/live").route(web::get().to(live::live)))
        .service(post("/api/v1/sites/{site}/links").route(web::post().to(links::links)))
        .service(post("/api/v1/sites/{site}/gate/flagger").route(web::post().to(gate::flagger)))
        .service(
            web::resource("/api/v1/sites/{site}/gate")
                .default_service(web::to(|request| refuse(request, "GET, POST")))
                .route(web::get().to(gate::one))
                .route(web::post().to(gate::gate)),
        );
}

fn json(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}
