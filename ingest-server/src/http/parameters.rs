//! Refuses query parameters that an endpoint of the API does not have, so that a misspelled filter is no answer about
//! all page views. The OpenAPI document says which ones it has.

use crate::http::error::ApiError;
use crate::http::nearest::nearest;
use crate::http::openapi;
use crate::http::question::{one_of, short};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use std::collections::HashMap;
use std::sync::LazyLock;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn};

/// The query parameters of each method and path.
static KNOWN: LazyLock<HashMap<(&str, String), Vec<String>>> = LazyLock::new(|| {
    let paths = openapi::description().paths.paths.into_iter().filter(|(path, _)| path.starts_with("/api/"));
    let operations = paths.flat_map(|(path, item)| {
        [
            ("GET", item.get),
            ("POST", item.post),
            ("PUT", item.put),
            ("PATCH", item.patch),
            ("DELETE", item.delete),
        ]
        .map(|(method, operation)| (method, path.clone(), operation))
    });
    operations
        .filter_map(|(method, path, operation)| Some(((method, path), query_parameters(operation?))))
        .collect()
});

fn query_parameters(operation: Operation) -> Vec<String> {
    let parameters = operation.parameters.unwrap_or_default().into_iter();
    let of_query = parameters.filter_map(|one| match one {
        RefOr::T(one) => (one.parameter_in == ParameterIn::Query).then_some(one.name),
        RefOr::Ref(_) => None,
    });
    of_query.collect()
}

/// Lets a request pass whose parameters its endpoint has.
///
/// # Errors
/// A parameter is unknown; the nearest known one is named. A value has a control character.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let method = match *request.method() {
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    };
    let known = request.match_pattern().and_then(|pattern| KNOWN.get(&(method, pattern)));
    if let Some(known) = known
        && let Some(error) =
            unknown(request.query_string(), known).or_else(|| unprintable(request.query_string()))
    {
        return Err(error.into());
    }
    next.call(request).await
}

fn unknown(query: &str, known: &[String]) -> Option<ApiError> {
    let (name, _) = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| !name.is_empty() && !known.iter().any(|known| known == name))?;
    let shown = short(&name);
    let similar = nearest(&shown, known.iter().map(String::as_str));
    let advice = match similar {
        Some(similar) => format!("did you mean `{similar}`?"),
        None if known.is_empty() => "this path takes none".to_owned(),
        None => format!("expected {}", one_of(known.iter().map(String::as_str))),
    };
    Some(ApiError::parameter(format!("unknown parameter `{shown}`; {advice}")))
}

/// Refuses control characters: no stored text has one, and Postgres takes no NUL.
fn unprintable(query: &str) -> Option<ApiError> {
    let (name, value) = url::form_urlencoded::parse(query.as_bytes())
        .find(|(_, value)| value.chars().any(char::is_control))?;
    let shown = short(&value).escape_debug().to_string();
    Some(ApiError::parameter(format!("`{name}` is `{shown}`: expected a text without control characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest_name() {
        let of = |method: &'static str, path: &str| &KNOWN[&(method, path.to_owned())];
        let known = of("GET", "/api/v1/sites/{site}/report");
        for (query, expected) in [
            ("devices=phone", "unknown parameter `devices`; did you mean `device`?"),
            ("period=7d&relase=1", "unknown parameter `relase`; did you mean `release`?"),
            ("Route=/", "unknown parameter `Route`; did you mean `route`?"),
            ("per%69ods=7d", "unknown parameter `periods`; did you mean `period`?"),
            ("search=x", "unknown parameter `search`; expected route, period, "),
        ] {
            let refused = unknown(query, known).map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.starts_with(expected), "{query}: {refused}");
        }
        for query in ["", "&", "period=7d&device=phone&route=%2F", "release="] {
            assert!(unknown(query, known).is_none(), "{query}");
        }
        let none = unknown("days=1", of("GET", "/api/v1/sites")).map(|error| error.to_string());
        assert_eq!(none.as_deref(), Some("unknown parameter `days`; this path takes none"));
        let gate = "/api/v1/sites/{site}/gate";
        assert!(
            unknown("record=true", of("GET", gate)).is_some() && unknown("max=1", of("POST", gate)).is_some()
        );
        assert!(
            unknown("max=1", of("GET", gate)).is_none() && unknown("record=true", of("POST", gate)).is_none()
        );
    }

    #[test]
    fn a_control_character_is_refused() {
        for (query, expected) in [
            ("route=/a%00", "`route` is `/a\\0`: expected a text without control characters"),
            ("device=&release=1%0a2", "`release` is `1\\n2`: expected a text without control characters"),
        ] {
            assert_eq!(unprintable(query).map(|error| error.to_string()).as_deref(), Some(expected));
        }
        assert!(unprintable("route=%2Fgr%C3%B6%C3%9Fe+1").is_none());
    }
}
