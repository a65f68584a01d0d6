//! The read API: authenticates with a bearer token and answers JSON.
//!
//! One file an endpoint, in the order of [`routes`]. [`route`] holds the parameter `route`, which several endpoints
//! take.

pub mod advice;
pub mod attribution;
pub mod breakdown;
pub mod compare;
pub mod engagement;
pub mod gate;
pub mod health;
pub mod links;
pub mod live;
pub mod pages;
pub mod rejections;
pub mod releases;
pub mod report;
pub mod route;
pub mod routes;
pub mod samples;
pub mod series;
pub mod session;
pub mod sites;
pub mod status;
pub mod summary;
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
        .service(get("/api/v1/status").route(web::get().to(status::status)))
        .service(
            web::resource("/api/v1/session")
                .default_service(web::to(|request| refuse(request, "GET, POST, DELETE")))
                .route(web::get().to(session::ways))
                .route(web::post().to(session::sign_in))
                .route(web::delete().to(session::sign_out)),
        )
        .service(get("/api/v1/sites").route(web::get().to(sites::sites)))
        .service(get("/api/v1/sites/{site}/summary").route(web::get().to(summary::summary)))
        .service(get("/api/v1/sites/{site}/pages").route(web::get().to(pages::pages)))
        .service(get("/api/v1/sites/{site}/report").route(web::get().to(report::report)))
        .service(get("/api/v1/sites/{site}/breakdown").route(web::get().to(breakdown::breakdown)))
        .service(get("/api/v1/sites/{site}/series").route(web::get().to(series::series)))
        .service(get("/api/v1/sites/{site}/compare").route(web::get().to(compare::compare)))
        .service(get("/api/v1/sites/{site}/releases").route(web::get().to(releases::releases)))
        .service(get("/api/v1/sites/{site}/attribution").route(web::get().to(attribution::attribution)))
        .service(get("/api/v1/sites/{site}/samples").route(web::get().to(samples::samples)))
        .service(get("/api/v1/sites/{site}/engagement").route(web::get().to(engagement::engagement)))
        .service(get("/api/v1/sites/{site}/advice").route(web::get().to(advice::advice)))
        .service(get("/api/v1/sites/{site}/routes/suggestions").route(web::get().to(routes::suggestions)))
        .service(get("/api/v1/sites/{site}/rejections").route(web::get().to(rejections::rejections)))
        .service(get("/api/v1/sites/{site}/violations").route(web::get().to(violations::violations)))
        .service(get("/api/v1/sites/{site}/live").route(web::get().to(live::live)))
        .service(post("/api/v1/sites/{site}/links").route(web::post().to(links::links)))
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
