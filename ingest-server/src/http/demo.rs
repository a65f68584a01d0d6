//! The live demo site: pages with known metric values, measured like any other page.

use crate::http::State;
use crate::http::assets;
use crate::http::error::ApiError;
use crate::intake::origin;
use crate::limits;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use fieldvitals_store::Site;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A strict policy: only the directives that embedding the collector needs.
const CSP: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'";

/// Limits delayed responses, because each holds a connection.
static DELAYS: Semaphore = Semaphore::const_new(limits::DEMO_DELAYS_MAX);

/// Longest delay of an asset, in milliseconds.
const DELAY_MS_MAX: u64 = 10_000;

/// The delay of a demo asset.
#[derive(Debug, Deserialize)]
pub struct Delay {
    /// Time before the response begins, in milliseconds.
    #[serde(default)]
    delay_ms: u64,
}

/// Redirects `/demo` to `/demo/`, so that relative links work.
pub async fn index() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "demo/")).finish()
}

/// Serves a file after a delay, to simulate slow resources. Skips the delay if too many responses are delayed.
pub async fn delayed(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    delay: web::Query<Delay>,
) -> HttpResponse {
    let path = format!("/demo/asset/{name}");
    let Some(bytes) = assets::bytes(&path).filter(|_| state.demo) else {
        return ApiError::no_path(request.path()).error_response();
    };
    if let Ok(_delay) = DELAYS.try_acquire() {
        tokio::time::sleep(Duration::from_millis(delay.delay_ms.min(DELAY_MS_MAX))).await;
    }
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(assets::media_type(&path))
        .body(bytes)
}

/// Returns the site that the demo's visits go to.
fn measured(sites: &[Arc<Site>]) -> Option<&Arc<Site>> {
    sites.iter().find(|site| site.name == crate::FIRST_SITE).or_else(|| sites.first())
}

/// Whether the site takes beacons of pages on this host (`localhost:8080`). Both schemes count: behind a TLS proxy, a
/// request does not contain the browser's.
fn takes(site: &Site, host: &str) -> bool {
    ["http", "https"].iter().any(|scheme| origin::allowed(&format!("{scheme}://{host}"), &site.origins))
}

/// Whether the demo answers on this host: the site that it is measured in takes its beacons.
#[must_use]
pub fn answers(sites: &[Arc<Site>], host: &str) -> bool {
    measured(sites).is_none_or(|site| takes(site, host))
}

/// Serves a page of the demo, with the site's key in its script tag.
pub async fn page(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let path = match request.path() {
        "/demo/" => "/demo/index.html",
        // The single-page app answers under each of its routes, so that reloading works.
        path if path.starts_with("/demo/spa/") => "/demo/spa.html",
        path => path,
    };
    let Some(bytes) = assets::bytes(path).filter(|_| state.demo) else {
        return ApiError::no_path(request.path()).error_response();
    };
    let directory = state.directory.current();
    let site = measured(directory.sites());
    let host = request.connection_info().host().to_owned();
    if let Some(site) = site.filter(|site| !takes(site, &host)) {
        return ApiError::demo_off(&site.name, &format!("http://{host}")).error_response();
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CSP))
        .content_type(assets::media_type(path));
    match std::str::from_utf8(bytes) {
        Ok(text) if path.ends_with(".html") => {
            // The pages' addresses are absolute, because the single-page app is served under several paths.
            let address = format!("=\"{}", state.base_path.folder());
            response.body(text.replace("__SITE_KEY__", site_key(site)).replace("=\"/", &address))
        }
        _ => response.body(bytes),
    }
}

/// Returns the site's current key.
fn site_key(site: Option<&Arc<Site>>) -> &str {
    site.and_then(|site| site.keys.iter().find(|key| key.until_ms.is_none())).map_or("", |key| &key.key)
}
