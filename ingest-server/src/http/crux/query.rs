//! Parses requests of the CrUX API. Takes names in camel case and in snake case, as Google's servers do.

use crate::crux::{Asked, FormFactor, METRICS, PERIODS_DEFAULT};
use crate::http::error::ApiError;
use crate::http::nearest::nearest;
use crate::http::question::{one_of, short};
use crate::intake::origin;
use crate::limits;
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

/// The value of `formFactor` for all devices.
const ALL_FORM_FACTORS: &str = "ALL_FORM_FACTORS";

/// A request for a record; exactly one of `origin` and `url` is required.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CruxQuery {
    /// An origin, such as `https://shop.example`: all pages of the site.
    origin: Option<String>,
    /// The URL of a page: the pages of its route.
    url: Option<String>,
    /// `PHONE`, `TABLET`, `DESKTOP`, or `ALL_FORM_FACTORS` (the default).
    form_factor: Option<String>,
    /// Names of metrics, such as `largest_contentful_paint`; all when absent.
    metrics: Option<Vec<String>>,
    /// Of a history: weekly periods, 1 to 40; 25 when absent.
    collection_period_count: Option<usize>,
}

/// The pages of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pages {
    /// All pages of an origin.
    Origin(String),
    /// The pages of the route of a URL, and the URL's origin.
    Url { url: String, origin: String },
}

impl Pages {
    /// The origin.
    pub(super) fn origin(&self) -> &str {
        match self {
            Self::Origin(origin) | Self::Url { origin, .. } => origin,
        }
    }
}

/// A parsed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) pages: Pages,
    pub(super) form_factor: Option<FormFactor>,
    pub(super) metrics: Asked,
}

/// Parses the body of `queryRecord`.
///
/// # Errors
/// 400 with the wrong field.
pub(super) fn record(body: &[u8]) -> Result<Question, ApiError> {
    CruxQuery::read(&Fields::parse(body, &FIELDS)?)?.question()
}

/// Parses the body of `queryHistoryRecord`. Also returns the number of periods.
///
/// # Errors
/// 400 with the wrong field.
pub(super) fn history(body: &[u8]) -> Result<(Question, usize), ApiError> {
    let query = CruxQuery::read(&Fields::parse(body, &HISTORY_FIELDS)?)?;
    let periods = query.collection_period_count.unwrap_or(PERIODS_DEFAULT);
    Ok((query.question()?, periods))
}

impl CruxQuery {
    fn read(fields: &Fields) -> Result<Self, ApiError> {
        Ok(Self {
            origin: fields.text("origin")?,
            url: fields.text("url")?,
            form_factor: fields.text("formFactor")?,
            metrics: fields.texts("metrics")?,
            collection_period_count: fields.count("collectionPeriodCount", limits::CRUX_PERIODS_MAX)?,
        })
    }

    fn question(self) -> Result<Question, ApiError> {
        let pages = match (self.origin, self.url) {
            (Some(text), None) => Pages::Origin(whole_origin(&text)?),
            (None, Some(url)) => {
                let origin = origin::of_url(&url).ok_or_else(|| {
                    invalid("url", &url, "expected a URL such as https://shop.example/cart")
                })?;
                Pages::Url { url, origin }
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::parameter("'origin' and 'url' exclude each other"));
            }
            (None, None) => {
                return Err(ApiError::parameter("one of 'origin' and 'url' is required"));
            }
        };
        let form_factor = match self.form_factor.as_deref() {
            None | Some(ALL_FORM_FACTORS) => None,
            Some(text) => Some(form_factor(text)?),
        };
        let metrics = match &self.metrics {
            None => Asked::all(),
            Some(names) if names.is_empty() => Asked::all(),
            Some(names) => named(names)?,
        };
        Ok(Question { pages, form_factor, metrics })
    }
}

fn invalid(field: &str, text: &str, expected: &str) -> ApiError {
    ApiError::parameter(format!("invalid value at '{field}': \"{}\"; {expected}", short(text)))
}

/// Parses an origin. Refuses URLs of pages, because their record would be of the whole site.
fn whole_origin(text: &str) -> Result<String, ApiError> {
    let is_page = Url::parse(text).is_ok_and(|url| {
        !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()
    });
    if is_page {
        return Err(invalid("origin", text, "this is a page's URL, which 'url' takes"));
    }
    origin::of_url(text)
        .ok_or_else(|| invalid("origin", text, "expected an origin such as https://shop.example"))
}

fn form_factor(text: &str) -> Result<FormFactor, ApiError> {
    let found = FormFactor::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, factor)| factor);
    found.ok_or_else(|| {
        let names = FormFactor::ALL.into_iter().map(|(name, _)| name);
        invalid("formFactor", text, &format!("expected {}", one_of(names.chain([ALL_FORM_FACTORS]))))
    })
}

fn named(names: &[String]) -> Result<Asked, ApiError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Asked::named(&names).map_err(|unknown| {
        let known = || METRICS.into_iter().map(|(name, _)| name);
        let advice = match nearest(&short(unknown), known()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("expected {}", one_of(known())),
        };
        invalid("metrics", unknown, &advice)
    })
}

/// The fields of `queryRecord`: in camel case, and in snake case.
const FIELDS: [(&str, &str); 4] =
    [("origin", "origin"), ("url", "url"), ("formFactor", "form_factor"), ("metrics", "metrics")];
/// The fields of `queryHistoryRecord`.
const HISTORY_FIELDS: [(&str, &str); 5] =
    [FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3], ("collectionPeriodCount", "collection_period_count")];

/// The fields of a body by their names in camel case, without nulls.
struct Fields(Map<String, Value>);

impl Fields {
    fn parse(body: &[u8], known: &[(&str, &str)]) -> Result<Self, ApiError> {
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            ApiError::parameter(format!("invalid JSON payload: expected an object such as {{\"origin\": \"https://shop.example\"}}: {error}"))
        })?;
        let mut fields = Map::new();
        for (name, value) in object.into_iter().filter(|(_, value)| !value.is_null()) {
            let found = known.iter().find(|(camel, snake)| name == *camel || name == *snake);
            let Some((camel, _)) = found else {
                let shown = short(&name);
                let advice = match nearest(&shown, known.iter().map(|(camel, _)| *camel)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("expected {}", one_of(known.iter().map(|(camel, _)| *camel))),
                };
                return Err(ApiError::parameter(format!(
                    "invalid JSON payload: unknown name \"{shown}\": {advice}"
                )));
            };
            fields.insert((*camel).to_owned(), value);
        }
        Ok(Self(fields))
    }

    fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(invalid(name, &other.to_string(), "expected a text")),
        }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let wrong = |value: &Value| invalid(name, &value.to_string(), "expected a list of texts");
        let texts = value.as_array().ok_or_else(|| wrong(value))?.iter();
        texts
            .map(|text| text.as_str().map(str::to_owned).ok_or_else(|| wrong(text)))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Parses a number, which may be a text: JSON of Google's clients writes some numbers so.
    fn count(&self, name: &str, most: usize) -> Result<Option<usize>, ApiError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let number = number.and_then(|number: u64| usize::try_from(number).ok());
        let number = number.filter(|number| (1..=most).contains(number));
        number.map(Some).ok_or_else(|| invalid(name, &value.to_string(), &format!("expected 1 to {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Question, String> {
        record(body.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn request_is_read_in_both_cases() {
        let origin = Pages::Origin("https://shop.example".to_owned());
        let all = Question { pages: origin.clone(), form_factor: None, metrics: Asked::all() };
        assert_eq!(read(&json!({"origin": "https://Shop.example/", "url": null})), Ok(all));
        for (name, factor) in [("formFactor", "PHONE"), ("form_factor", "PHONE")] {
            let question = read(&json!({"origin": "https://shop.example", name: factor})).unwrap();
            assert_eq!((question.pages, question.form_factor), (origin.clone(), Some(FormFactor::Phone)));
        }
        let question = read(&json!({"url": "http://localhost:3000/a?b", "formFactor": "ALL_FORM_FACTORS"}));
        let pages = question.map(|question| (question.pages, question.form_factor));
        let url = Pages::Url {
            url: "http://localhost:3000/a?b".to_owned(),
            origin: "http://localhost:3000".to_owned(),
        };
        assert_eq!(pages, Ok((url, None)));
        let history = |body: Value| history(body.to_string().as_bytes()).map(|(_, count)| count).unwrap();
        assert_eq!(history(json!({"origin": "https://a.example"})), 25);
        assert_eq!(history(json!({"origin": "https://a.example", "collectionPeriodCount": "40"})), 40);
        assert_eq!(history(json!({"origin": "https://a.example", "collection_period_count": 1})), 1);
    }

    #[test]
    fn wrong_request_is_told_in_the_terms_of_crux() {
        let origin = "https://a.example";
        for (body, expected) in [
            (json!([]), "invalid JSON payload: expected an object such as "),
            (json!({}), "one of 'origin' and 'url' is required"),
            (json!({"origin": origin, "url": origin}), "'origin' and 'url' exclude each other"),
            (json!({"origin": 5}), "invalid value at 'origin': \"5\"; expected a text"),
            (
                json!({"origin": "a.example"}),
                "invalid value at 'origin': \"a.example\"; expected an origin such",
            ),
            (
                json!({"origin": "https://a.example/b"}),
                "invalid value at 'origin': \"https://a.example/b\"; this is a",
            ),
            (
                json!({"url": "data:text/html,x"}),
                "invalid value at 'url': \"data:text/html,x\"; expected a URL such",
            ),
            (
                json!({"origin": origin, "formFactor": "mobile"}),
                "invalid value at 'formFactor': \"mobile\"; expected PHONE, TABLET, DESKTOP or ALL_FORM_FACTORS",
            ),
            (
                json!({"origin": origin, "formfactor": "PHONE"}),
                "invalid JSON payload: unknown name \"formfactor\": did you mean \"formFactor\"?",
            ),
            (
                json!({"origin": origin, "collectionPeriodCount": 5}),
                "invalid JSON payload: unknown name \"collectionPeriodCount\": expected ",
            ),
            (
                json!({"origin": origin, "metrics": "lcp"}),
                "invalid value at 'metrics': \"\"lcp\"\"; expected a list of texts",
            ),
            (
                json!({"origin": origin, "metrics": ["largest_contentful_pain"]}),
                "invalid value at 'metrics': \"largest_contentful_pain\"; did you mean largest_contentful_paint?",
            ),
            (
                json!({"origin": origin, "metrics": ["q"]}),
                "invalid value at 'metrics': \"q\"; expected cumulative_layout_shift, ",
            ),
        ] {
            let told = read(&body).unwrap_err();
            assert!(told.starts_with(expected), "{body}: {told}");
        }
        for count in [json!(0), json!(41), json!("x"), json!(-1), json!(2.5)] {
            let body = json!({"origin": origin, "collectionPeriodCount": count}).to_string();
            let told = history(body.as_bytes()).unwrap_err().to_string();
            assert!(told.ends_with("; expected 1 to 40"), "{told}");
        }
    }
}
