//! Files for browsers, embedded in the binary: the snippet, the module, the dashboard.

use crate::http::error::ApiError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Path, bytes, brotli form, gzip form (empty where there is none).
type File = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

/// The embedded files.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

static ETAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|(_, bytes, _, _)| URL_SAFE_NO_PAD.encode(Sha256::digest(bytes).get(..12).unwrap_or_default()))
        .collect()
});

/// A new `v.js` must reach visitors within an hour of a deployment.
const SNIPPET_CACHE: &str = "public, max-age=3600";
/// The names of the module's and the dashboard's files hold the hash of their bytes.
const HASHED_CACHE: &str = "public, max-age=31536000, immutable";
const PAGE_CACHE: &str = "no-cache";

/// No inline code, no code from texts, no other origin; the browser refuses markup from texts (Trusted Types).
const DASHBOARD_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The dashboard's files whose names have no hash.
const UNHASHED: [&str; 2] = ["/assets/index.html", "/assets/icon.svg"];

/// Whether the wasm module is part of this binary.
#[must_use]
pub fn has_module() -> bool {
    FILES.iter().any(|(path, ..)| path.starts_with("/c/") && path.ends_with(".wasm"))
}

/// The dashboard.
pub async fn dashboard(request: HttpRequest) -> HttpResponse {
    answer(&request, "/assets/index.html")
}

/// The embedded file of the request's path.
pub async fn file(request: HttpRequest) -> HttpResponse {
    answer(&request, request.path())
}

/// The bytes of an embedded file, uncompressed.
#[must_use]
pub fn bytes(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, ..)| *name == path).map(|(_, bytes, ..)| *bytes)
}

/// The media type of a file's name.
#[must_use]
pub fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn answer(request: &HttpRequest, path: &str) -> HttpResponse {
    let Some((place, &(_, plain, brotli, gzip))) =
        FILES.iter().enumerate().find(|(_, (name, ..))| *name == path)
    else {
        return if path.starts_with("/c/") && !has_module() {
            ApiError::no_collector().error_response()
        } else {
            ApiError::no_path(path).error_response()
        };
    };
    let encodings = accepted(request.headers());
    let (bytes, encoding) = match encodings {
        (true, _) if !brotli.is_empty() => (brotli, Some("br")),
        (_, true) if !gzip.is_empty() => (gzip, Some("gzip")),
        _ => (plain, None),
    };
    let etag = format!("\"{}{}\"", ETAGS.get(place).map_or("", String::as_str), encoding.unwrap_or(""));
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag.clone()));
    let collector = path == "/v.js" || path.starts_with("/c/");
    response.insert_header((
        header::CACHE_CONTROL,
        match path {
            "/v.js" => SNIPPET_CACHE,
            _ if UNHASHED.contains(&path) => PAGE_CACHE,
            _ => HASHED_CACHE,
        },
    ));
    response.insert_header((header::VARY, "Accept-Encoding"));
    if collector {
        // Modules of another origin are fetched with CORS; pages with COEP need the resource policy.
        response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        response.insert_header(("Cross-Origin-Resource-Policy", "cross-origin"));
        response.insert_header(("Timing-Allow-Origin", "*"));
    } else {
        response.insert_header((header::CONTENT_SECURITY_POLICY, DASHBOARD_CSP));
        response.insert_header((header::REFERRER_POLICY, "no-referrer"));
    }
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return response.status(actix_web::http::StatusCode::NOT_MODIFIED).finish();
    }
    if let Some(encoding) = encoding {
        response.insert_header((header::CONTENT_ENCODING, encoding));
    }
    response.content_type(media_type(path)).body(bytes)
}

/// Whether brotli and gzip are accepted.
pub(super) fn accepted(headers: &HeaderMap) -> (bool, bool) {
    let list = headers.get(header::ACCEPT_ENCODING).and_then(|list| list.to_str().ok()).unwrap_or("");
    let takes = |name: &str| {
        list.split(',').any(|item| {
            let (encoding, weight) = item.split_once(';').unwrap_or((item, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            encoding.trim().eq_ignore_ascii_case(name) && !refused
        })
    };
    (takes("br"), takes("gzip"))
}

#[cfg(test)]
mod tests {
    use vitals::metric::Metric;

    #[test]
    fn dashboard_and_types_name_each_metric() {
        let dashboard = include_str!("../../assets/dashboard/format.js");
        let types = include_str!("../../../js-snippet/src/index.d.ts");
        for name in Metric::ALL.map(Metric::name) {
            assert!(dashboard.contains(&format!("{{ name: \"{name}\"")), "format.js lacks {name}");
            assert!(types.contains(&format!("\"{name}\"")), "index.d.ts lacks {name}");
        }
    }
}
