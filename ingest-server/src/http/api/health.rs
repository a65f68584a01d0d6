//! `/healthz` and `/readyz`: whether the server accepts beacons.

use crate::http::State;
use crate::spool::Cause;
use actix_web::http::header;
use actix_web::{HttpResponse, web};

/// The line of `/healthz` that allows load tests. `fieldvitals load` refuses servers without it.
pub const LOAD_TESTS_ALLOWED: &str = "load tests are allowed";

/// Returns why the server should get no beacons; `None` if it should.
///
/// An overloaded server that sheds some beacons, because more arrive than its disk syncs, should: if the other servers
/// are as busy, all of them would be taken out of service.
#[must_use]
pub fn trouble(state: &State) -> Option<String> {
    if state.connections.is_draining() {
        Some("the server is about to stop; send beacons to another one".to_owned())
    } else if state.spool.is_failed() {
        Some("the spool cannot be written; see the log".to_owned())
    } else {
        let refusal = state.spool.refusal().filter(|refusal| refusal.cause > Cause::InFlight)?;
        Some(format!("the spool refuses beacons: {}", refusal.trouble.error))
    }
}

fn answer(state: &State) -> HttpResponse {
    let Some(trouble) = trouble(state) else {
        let body = if state.load_test { format!("ok\n{LOAD_TESTS_ALLOWED}\n") } else { "ok\n".to_owned() };
        return HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(body);
    };
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(trouble + "\n")
}

/// `200` while the server accepts beacons; `503` with the reason while it cannot store them.
///
/// The answer is `503` while the spool refuses beacons: on a full disk, or after a store outage has filled the spool.
/// The server checks each second whether the refusal is over, even without beacons. An overloaded server that sheds
/// some beacons, because more arrive than its disk syncs, stays `200`. A stopping server answers `503` while it still
/// serves, so that balancers choose another server. A second line, `load tests are allowed`, is that of a server with
/// `--allow-load-test`.
#[utoipa::path(get, path = "/healthz", tag = "read",
    responses((status = 200, description = "Beacons are taken"), (status = 503, description = "Beacons cannot be kept, or the server is starting or about to stop")))]
pub async fn healthz(state: web::Data<State>) -> HttpResponse {
    answer(&state)
}

/// As `/healthz`, under the name that orchestrators expect for readiness.
///
/// `503` is no reason to restart the server: a restart neither frees a disk nor brings back a database.
#[utoipa::path(get, path = "/readyz", tag = "read",
    responses((status = 200, description = "Beacons are taken"), (status = 503, description = "Beacons cannot be kept, or the server is starting or about to stop")))]
pub async fn readyz(state: web::Data<State>) -> HttpResponse {
    answer(&state)
}
