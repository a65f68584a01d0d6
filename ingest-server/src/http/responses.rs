//! Responses that endpoints share, described for the OpenAPI document.

use crate::http::error::ErrorBody;
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// The errors of an endpoint that asks the store about a site.
pub struct QuestionErrors;

impl IntoResponses for QuestionErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let errors = [
            ("400", "A parameter or the body is wrong (`parameter`)"),
            ("401", "The token is missing or unknown"),
            ("404", "There is no such site (`site_unknown`)"),
            (
                "503",
                "The store is away (`store_away`), or too many questions are being answered (`busy`); try again",
            ),
            ("504", "The question took too long (`too_slow`); ask for less"),
        ];
        let response = |(status, description): (&str, &str)| {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
            let response = ResponseBuilder::new().description(description).content("application/json", body);
            (status.to_owned(), RefOr::T(response.build()))
        };
        errors.into_iter().map(response).collect()
    }
}

/// The answer to a client that has it already.
pub struct Unchanged;

impl IntoResponses for Unchanged {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new().description("The client has the answer (`If-None-Match`)");
        BTreeMap::from([("304".to_owned(), RefOr::T(response.build()))])
    }
}
