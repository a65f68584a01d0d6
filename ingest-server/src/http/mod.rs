//! HTTP: the only place that knows actix. Handlers read the request, call what is pure or the store,
//! and write the answer.

pub mod api;
pub mod assets;
pub mod attribution;
pub mod auth;
pub mod body;
pub mod client;
pub mod demo;
pub mod error;
pub mod ingest;
pub mod openapi;
pub mod parameters;
pub mod question;
pub mod starting;

use crate::directory::Directory;
use crate::intake::scrub;
use crate::maintenance::Maintenance;
use crate::outcome::{Outcomes, Rejections};
use crate::spool::Spool;
use actix_web::dev::ServerHandle;
use actix_web::middleware::{self, DefaultHeaders};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use error::ApiError;
use fieldvitals_store::Store;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use vitals::limits;

/// What every request handler needs.
pub struct State {
    /// Where measurements are kept.
    pub store: Arc<dyn Store>,
    /// Where accepted beacons go first.
    pub spool: Spool,
    /// Sites and tokens.
    pub directory: Arc<Directory>,
    /// Counts of outcomes.
    pub outcomes: Outcomes,
    /// Recent rejections.
    pub rejections: Rejections,
    /// How many beacons a client network may send.
    pub client_rate: client::ClientRate,
    /// What names a client's country.
    pub country_header: client::CountryHeader,
    /// Whose turn it is to read what explains a metric.
    pub explaining: tokio::sync::Mutex<()>,
    /// What maintenance does.
    pub maintenance: Arc<Maintenance>,
    /// Whether the demo site is served.
    pub demo: bool,
    /// Whether visits of programs are kept.
    pub keep_bots: bool,
}

/// UTC milliseconds now.
#[must_use]
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A server that answers requests.
pub struct Running(ServerHandle);

impl Running {
    /// Stops taking connections, and where `graceful`, lets requests in flight end.
    pub async fn stop(&self, graceful: bool) {
        self.0.stop(graceful).await;
    }
}

/// Serves on a socket that is bound already, until the server is stopped.
///
/// # Errors
/// Where the socket cannot be served.
pub fn serve(state: State, listener: TcpListener) -> std::io::Result<Running> {
    let state = web::Data::new(state);
    let rate = state.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            rate.client_rate.forget_quiet();
        }
    });
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(web::QueryConfig::default().error_handler(|error, _| unreadable(&error.to_string())))
            .app_data(web::PathConfig::default().error_handler(|error, _| unreadable(&error.to_string())))
            .configure(ingest_routes)
            .service(
                web::scope("")
                    .wrap(middleware::from_fn(parameters::check))
                    .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")))
                    .configure(routes),
            )
    })
    .workers(workers)
    .max_connections(limits::CONNECTIONS_MAX.div_ceil(workers))
    .client_request_timeout(Duration::from_secs(5))
    .shutdown_timeout(10)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Running(handle))
}

/// What browsers send. Its answers have no body that could be taken for something else, but for errors, which
/// say so themselves.
fn ingest_routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/v1/beacon")
                .default_service(web::to(ingest::wrong_method))
                .route(web::post().to(ingest::beacon))
                .route(web::method(actix_web::http::Method::OPTIONS).to(ingest::preflight)),
        )
        .service(
            web::resource("/v1/web-vitals")
                .default_service(web::to(ingest::wrong_method))
                .route(web::post().to(ingest::web_vitals))
                .route(web::method(actix_web::http::Method::OPTIONS).to(ingest::preflight)),
        );
}

fn routes(config: &mut web::ServiceConfig) {
    let get = |path: &str| web::resource(path).default_service(web::to(|request| refuse(request, "GET")));
    let post = |path: &str| web::resource(path).default_service(web::to(|request| refuse(request, "POST")));
    config
        .service(get("/healthz").route(web::get().to(api::healthz)).route(web::head().to(api::healthz)))
        .service(get("/api/v1/status").route(web::get().to(api::status)))
        .service(get("/api/v1/openapi.json").route(web::get().to(openapi::document)))
        .service(get("/api/v1/sites").route(web::get().to(api::sites)))
        .service(get("/api/v1/sites/{site}/pages").route(web::get().to(api::pages)))
        .service(get("/api/v1/sites/{site}/report").route(web::get().to(api::report)))
        .service(get("/api/v1/sites/{site}/breakdown").route(web::get().to(api::breakdown)))
        .service(get("/api/v1/sites/{site}/attribution").route(web::get().to(attribution::attribution)))
        .service(get("/api/v1/sites/{site}/rejections").route(web::get().to(api::rejections)))
        .service(get("/api/v1/sites/{site}/violations").route(web::get().to(api::violations)))
        .service(post("/api/v1/sites/{site}/gate").route(web::post().to(api::gate)))
        .service(get("/demo").route(web::get().to(demo::index)))
        .service(get("/demo/asset/{name}").route(web::get().to(demo::delayed)))
        .service(get("/demo/{path:.*}").route(web::get().to(demo::page)))
        .service(get("/").route(web::get().to(assets::dashboard)).route(web::head().to(assets::dashboard)))
        .service(get("/v.js").route(web::get().to(assets::file)).route(web::head().to(assets::file)))
        .service(get("/c/{name}").route(web::get().to(assets::file)).route(web::head().to(assets::file)))
        .service(get("/assets/{name}").route(web::get().to(assets::file)).route(web::head().to(assets::file)))
        .default_service(web::to(nothing_here));
}

async fn refuse(request: HttpRequest, allowed: &'static str) -> HttpResponse {
    let mut response = ApiError::method(request.method().as_str(), allowed).error_response();
    response
        .headers_mut()
        .insert(actix_web::http::header::ALLOW, actix_web::http::header::HeaderValue::from_static(allowed));
    response
}

/// The answer to a query or path that cannot be read.
fn unreadable(problem: &str) -> actix_web::Error {
    ApiError::parameter(scrub::label(problem, limits::MESSAGE_BYTES_MAX).into_owned()).into()
}

async fn nothing_here(request: HttpRequest) -> HttpResponse {
    ApiError::no_path(request.path()).error_response()
}
