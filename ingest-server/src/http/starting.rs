//! What is answered while a server is not ready yet: its database may be waited for.

use crate::http::Running;
use crate::http::error::ApiError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, ResponseError as _, web};
use std::net::TcpListener;
use std::time::Duration;
use vitals::limits;

/// Answers 503 to whatever is asked, until it is stopped.
///
/// # Errors
/// Where the socket cannot be served.
pub fn serve(listener: TcpListener) -> std::io::Result<Running> {
    let server = HttpServer::new(|| App::new().default_service(web::to(not_yet)))
        .workers(1)
        .max_connections(limits::CONNECTIONS_MAX)
        .client_request_timeout(Duration::from_secs(5))
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Running(handle))
}

async fn not_yet() -> HttpResponse {
    let mut response = ApiError::starting().error_response();
    // A page on any origin may read it, as it may any answer to a beacon.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // The next one is for the server that is ready then.
    response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    response
}
