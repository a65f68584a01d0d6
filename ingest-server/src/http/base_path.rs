//! The path under which a proxy shows the server on a host of others: `/vitals` of `https://shop.example/vitals`.
//!
//! The server answers with and without this path, so a proxy may pass it on or remove it, and checks of health come
//! without it. Pages and scripts of the server address each other relatively.

use crate::http::refuse;
use actix_http::Request;
use actix_web::http::Uri;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use std::sync::Arc;

/// A path such as `/vitals`, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Option<Arc<str>>);

impl std::str::FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.trim_end_matches('/');
        let is_proper = |segment: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            !segment.is_empty() && segment.bytes().all(is_plain) && segment.bytes().any(|byte| byte != b'.')
        };
        match path.strip_prefix('/') {
            _ if path.is_empty() => Ok(Self(None)),
            Some(rest) if rest.split('/').all(is_proper) => Ok(Self(Some(path.into()))),
            _ => Err("expected a path such as /vitals, of letters, digits and -_.~".to_owned()),
        }
    }
}

impl BasePath {
    /// The path without a slash at its end; empty without one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The path as a folder: `/vitals/`, or `/`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/", self.as_str())
    }

    /// Removes the path from a request's.
    pub(super) fn strip(&self, request: &mut Request) {
        let Some(base) = &self.0 else { return };
        let uri = request.uri();
        let rest = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(&**base));
        // A rest of another folder, such as `-old/`, has no slash.
        let rest = rest.filter(|rest| rest.starts_with('/')).map(|rest| {
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = rest.parse().ok();
            Uri::from_parts(parts)
        });
        if let Some(Ok(uri)) = rest {
            request.head_mut().uri = uri;
        }
    }
}

/// Redirects from the path to its folder, so that relative addresses work.
pub(super) fn routes(config: &mut web::ServiceConfig, base: &BasePath) {
    let Some(path) = &base.0 else { return };
    let last = path.rsplit('/').next().unwrap_or_default();
    let location = format!("{last}/");
    let redirect = move || {
        let location = location.clone();
        async move { HttpResponse::PermanentRedirect().insert_header((header::LOCATION, location)).finish() }
    };
    config.service(
        web::resource(path.as_ref())
            .default_service(web::to(|request| refuse(request, "GET")))
            .route(web::get().to(redirect)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn paths_are_read() {
        let read = |text: &str| text.parse::<BasePath>().map(|path| path.folder());
        assert_eq!(read("/vitals"), Ok("/vitals/".to_owned()));
        assert_eq!(read("/a/b-c/"), Ok("/a/b-c/".to_owned()));
        assert_eq!(read("/"), Ok("/".to_owned()));
        assert_eq!(read(""), Ok("/".to_owned()));
        for wrong in ["vitals", "/a b", "/a//b", "/..", "/a?b", "https://h/vitals", "/é"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn path_is_removed_from_requests_that_have_it() {
        let base: BasePath = "/vitals".parse().unwrap();
        let stripped = |uri: &str| {
            let mut request = TestRequest::with_uri(uri).to_request();
            base.strip(&mut request);
            request.uri().to_string()
        };
        for (uri, rest) in [
            ("/vitals/v.js?site=K", "/v.js?site=K"),
            ("/vitals/", "/"),
            ("/vitals", "/vitals"),
            ("/vitals-old/x", "/vitals-old/x"),
            ("/v.js", "/v.js"),
            ("/vitals/vitals/x", "/vitals/x"),
        ] {
            assert_eq!(stripped(uri), rest, "{uri}");
        }
    }
}
