//! The HTTP server: the only module that depends on actix. Handlers parse the request, call pure code or the store,
//! and write the response.

mod answer;
pub mod api;
pub mod assets;
pub mod auth;
pub mod base_path;
pub mod body;
pub mod client;
mod compress;
pub mod connection;
pub mod crux;
pub mod demo;
pub mod error;
pub mod ingest;
mod known;
mod measure;
pub(crate) mod nearest;
pub mod openapi;
pub mod parameters;
pub mod proxies;
pub mod question;
pub mod ranking;
pub mod responses;
pub mod sign_in;
pub mod starting;
mod throttle;
pub mod token_rate;
pub mod watch;

use crate::alert::Outbox;
use crate::answers::Answers;
use crate::closed_days::ClosedDays;
use crate::crux::GoogleCrux;
use crate::directory::Directory;
use crate::health::Health;
use crate::intake::scrub;
use crate::limits;
use crate::live::Live;
use crate::maintenance::Maintenance;
use crate::outcome::{Outcomes, Rejections};
use crate::questions::Questions;
use crate::retention::Keeping;
use crate::site_vitals::SiteVitals;
use crate::spool::Spool;
use crate::telemetry::Telemetry;
use crate::tls::Tls;
use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{self, DefaultHeaders};
use actix_web::{App, Error, HttpRequest, HttpResponse, ResponseError, web};
use base_path::BasePath;
use connection::Connections;
use error::ApiError;
use fieldvitals_store::Store;
use socket2::SockRef;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// State of all request handlers.
pub struct State {
    /// Receives accepted beacons.
    pub spool: Spool,
    /// Sites and tokens, and the store.
    pub directory: Arc<Directory>,
    /// Counts of outcomes.
    pub outcomes: Outcomes,
    /// Recent rejections.
    pub rejections: Rejections,
    /// Rate limit of client networks.
    pub client_rate: client::ClientRate,
    /// The connections of clients.
    pub connections: Arc<Connections>,
    /// The header with a client's country.
    pub country_header: client::CountryHeader,
    /// The threads and the queue of questions to the store.
    pub questions: Questions,
    /// The answers kept in memory.
    pub answers: Answers,
    /// The cells of closed days kept in memory.
    pub closed_days: Arc<ClosedDays>,
    /// Clients that watch sites.
    pub live: Arc<Live>,
    /// Attempts to sign in.
    pub sign_ins: sign_in::SignIns,
    /// Rate limits of tokens.
    pub token_rates: token_rate::TokenRates,
    /// The maintenance task's state.
    pub maintenance: Arc<Maintenance>,
    /// Counts and durations of requests and questions.
    pub telemetry: Arc<Telemetry>,
    /// The server's judgement of itself.
    pub health: Health,
    /// The vitals of the sites that `/metrics` has.
    pub site_vitals: SiteVitals,
    /// The data folder, whose disk is watched.
    pub data_dir: PathBuf,
    /// Start of the server, in UTC milliseconds.
    pub started_ms: i64,
    /// Delivers notices of alerts.
    pub outbox: Arc<Outbox>,
    /// Retention of stored data.
    pub keeping: Arc<Keeping>,
    /// Asks Google's CrUX API; `None` without a key.
    pub google_crux: Option<Arc<GoogleCrux>>,
    /// Serves the demo site.
    pub demo: bool,
    /// Keeps page views of bots.
    pub keep_bots: bool,
    /// Load tests may send to this server.
    pub load_test: bool,
    /// The certificate; `None` if the server speaks http.
    pub tls: Option<Arc<Tls>>,
    /// The path that a proxy passes on before those of the server.
    pub base_path: BasePath,
}

impl State {
    /// Returns the store for a query.
    ///
    /// # Errors
    /// 503 while the store is unreachable. The query would only wait for a connection, and then fail.
    fn store(&self) -> Result<&Arc<dyn Store>, ApiError> {
        self.directory.store().ok_or_else(ApiError::store_away)
    }
}

/// Interval for polling the open connections of a stopping server.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// Maximum number of threads of actix-server.
const WORKERS_MAX: usize = 512;

/// Returns the number of threads that handle requests.
#[must_use]
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// Connections that a worker accepts above its share, so that it can refuse them or evict others.
const SURPLUS_PER_WORKER: usize = 8;

/// A server that answers requests.
pub struct Running {
    handle: ServerHandle,
    connections: Arc<Connections>,
    live: Arc<Live>,
    state: web::Data<State>,
    /// Tasks beside the requests.
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Makes `/healthz` answer 503, and closes connections after their responses. Live updates end. The server continues to
    /// serve.
    pub fn drain(&self) {
        self.connections.drain();
        self.live.end();
    }

    /// Accepts no more connections. If `graceful`, waits for requests in progress, with a timeout.
    pub async fn stop(&self, graceful: bool) {
        // Workers must outlive the last accepted connection.
        self.handle.pause().await;
        self.connections.end();
        self.live.end();
        let deadline = Instant::now() + Duration::from_millis(limits::STOP_REQUESTS_MS_MAX);
        while graceful && Instant::now() < deadline {
            tokio::time::sleep(STOP_LOOK).await;
            if self.connections.open() == 0 {
                break;
            }
        }
        self.handle.stop(false).await;
        for task in &self.tasks {
            task.abort();
        }
        watch::end(&self.state).await;
    }
}

/// Serves on a bound socket until the server is stopped.
///
/// # Errors
/// If the socket cannot be served.
pub fn serve(state: State, listener: TcpListener) -> std::io::Result<Running> {
    let state = web::Data::new(state);
    let rate = state.clone();
    let forgets = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            rate.client_rate.forget_quiet();
            rate.sign_ins.forget_quiet();
            rate.token_rates.forget_quiet();
        }
    });
    SockRef::from(&listener).set_send_buffer_size(limits::SEND_BUFFER_BYTES)?;
    let connections = Arc::clone(&state.connections);
    let running = Arc::clone(&connections);
    let live = Arc::clone(&state.live);
    let served = state.clone();
    let workers = workers();
    let server = ServerBuilder::new()
        .workers(workers)
        .max_concurrent_connections(connections.limits().all_max.div_ceil(workers) + SURPLUS_PER_WORKER)
        .disable_signals()
        .listen("http", listener, move || {
            let app =
                app(served.clone()).into_factory().map_err(|error: Error| error.error_response().into());
            let (tls, base_path) = (served.tls.clone(), served.base_path.clone());
            let app = map_config(app, |()| AppConfig::default());
            connection::factory(app, Arc::clone(&connections), tls, base_path)
        })?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    let watches = tokio::spawn(watch::run(state.clone()));
    let vitals = state.clone();
    let reads = tokio::spawn(async move {
        vitals.site_vitals.keep_fresh(&vitals.directory, &vitals.questions).await;
    });
    let renews = state.tls.clone().map(|tls| tokio::spawn(tls.keep_fresh()));
    let tasks = [forgets, watches, reads].into_iter().chain(renews).collect();
    Ok(Running { handle, connections: running, live, state, tasks })
}

fn app(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>,
> {
    let base_path = state.base_path.clone();
    App::new()
        .app_data(state)
        .app_data(web::QueryConfig::default().error_handler(|error, _| unreadable(&error.to_string())))
        .app_data(web::PathConfig::default().error_handler(|error, _| unreadable(&error.to_string())))
        .configure(ingest_routes)
        .service(
            web::scope("")
                .wrap(middleware::from_fn(parameters::check))
                .wrap(middleware::from_fn(compress::compress))
                .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")))
                .wrap(middleware::from_fn(measure::measure))
                .configure(|config| routes(config, &base_path)),
        )
}

/// Ingest routes. Their responses do not need the `nosniff` header of other routes: only errors and JSON have a body, and
/// errors set the header themselves.
fn ingest_routes(config: &mut web::ServiceConfig) {
    let resource = |path: &str| {
        web::resource(path)
            .default_service(web::to(ingest::wrong_method))
            .route(web::method(actix_web::http::Method::OPTIONS).to(ingest::preflight))
    };
    config
        .service(resource("/v1/beacon").route(web::post().to(ingest::beacon)))
        .service(resource("/v1/web-vitals").route(web::post().to(ingest::web_vitals)))
        .service(resource("/collect").route(web::post().to(ingest::faro)))
        .service(resource("/collect/{key}").route(web::post().to(ingest::faro)))
        .service(resource("/v1/logs").route(web::post().to(ingest::otlp)))
        .service(resource("/api/send").route(web::post().to(ingest::umami)))
        .service(
            resource(ingest::BOOMERANG)
                .route(web::post().to(ingest::boomerang))
                .route(web::get().to(ingest::boomerang_image)),
        );
}

fn routes(config: &mut web::ServiceConfig, base_path: &BasePath) {
    let get = |path: &str| web::resource(path).default_service(web::to(|request| refuse(request, "GET")));
    config
        .configure(api::routes)
        .configure(crux::routes)
        .service(get("/api/v1/openapi.json").route(web::get().to(openapi::document)))
        .service(get("/demo").route(web::get().to(demo::index)))
        .service(get("/demo/asset/{name}").route(web::get().to(demo::delayed)))
        .service(get("/demo/{path:.*}").route(web::get().to(demo::page)))
        .configure(|config| base_path::routes(config, base_path))
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

/// Returns the error for a malformed query or path.
fn unreadable(problem: &str) -> actix_web::Error {
    ApiError::parameter(scrub::label(problem, limits::MESSAGE_BYTES_MAX).into_owned()).into()
}

async fn nothing_here(request: HttpRequest) -> HttpResponse {
    ApiError::no_path(request.path()).error_response()
}
