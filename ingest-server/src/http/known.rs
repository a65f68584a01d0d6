//! Refuses filter values that no page view of the site has, and names the nearest value. So a misspelled value is no empty
//! answer.
//!
//! [`check`] looks before the answer. It does not check releases, because a release is known before its first page view,
//! nor a site without values. [`check_empty`] looks after an answer without page views, and checks these too.

use crate::clock::now_ms;
use crate::http::error::ApiError;
use crate::http::nearest::nearest;
use crate::http::question::{one_of, short};
use crate::limits;
use fieldvitals_store::context::texts::TextKind;
use fieldvitals_store::dimension::DimensionValue;
use fieldvitals_store::{Dimension, Filters, SiteId, Store};
use std::collections::BTreeSet;

/// The parameters with labels.
const LABELS: [(&str, Dimension); 3] =
    [("browser", Dimension::Browser), ("country", Dimension::Country), ("connection", Dimension::Connection)];
/// The parameters with texts of the context, and what they name.
const TEXTS: [(&str, &str); 3] = [("tag", "tag"), ("mark", "mark"), ("server_timing", "Server-Timing entry")];

/// Checks the filters and the grouping of a query string.
///
/// # Errors
/// 400 if a value is unknown; those of the store.
pub(super) async fn check(store: &dyn Store, site: SiteId, query: &str) -> Result<(), ApiError> {
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty())
    {
        if let Some(&(parameter, dimension)) = LABELS.iter().find(|(parameter, _)| *parameter == name) {
            label(store, site, parameter, dimension, &value).await?;
        } else if let Some(&(parameter, kind)) = TEXTS.iter().find(|(parameter, _)| *parameter == name) {
            let (text, of_text) = match (parameter, value.split_once(':')) {
                ("tag" | "server_timing", Some((text, of_text))) => (text, of_text),
                _ => (value.as_ref(), ""),
            };
            said(store, site, (parameter, value.as_ref()), (parameter, kind), text, of_text).await?;
        } else if let ("by", Some((by, text))) = (name.as_ref(), value.split_once(':'))
            && let Some(&(parameter, kind)) = TEXTS.iter().find(|(parameter, _)| *parameter == by)
        {
            said(store, site, ("by", value.as_ref()), (parameter, kind), text, "").await?;
        }
    }
    Ok(())
}

/// Checks the labels of the filters of a question without page views.
///
/// # Errors
/// 400 if a value is unknown; those of the store.
pub(super) async fn check_empty(store: &dyn Store, site: SiteId, filters: &Filters) -> Result<(), ApiError> {
    for dimension in Dimension::LABELLED {
        let Some(DimensionValue::Label(value)) = filters.asked(dimension) else { continue };
        let known = store.labels(site, dimension).await?;
        if !known.iter().any(|known| known == value) {
            return Err(unlabelled(dimension.name(), value, &known));
        }
    }
    Ok(())
}

async fn label(
    store: &dyn Store,
    site: SiteId,
    parameter: &str,
    dimension: Dimension,
    value: &str,
) -> Result<(), ApiError> {
    let known = store.labels(site, dimension).await?;
    if known.is_empty() || known.iter().any(|known| known == value) {
        return Ok(());
    }
    Err(unlabelled(parameter, value, &known))
}

/// The error for a release that no page view has, and no deploy mark.
pub(super) fn no_release(parameter: &str, value: &str, known: &[String]) -> ApiError {
    let what = "no page view has this release, and no deploy is marked";
    unknown(parameter, value, what, value, known.iter().map(String::as_str))
}

fn unlabelled(parameter: &str, value: &str, known: &[String]) -> ApiError {
    let what = format!("no page view has this {parameter}");
    unknown(parameter, value, &what, value, known.iter().map(String::as_str))
}

/// Checks the name of a tag, mark or entry, and its value unless empty.
async fn said(
    store: &dyn Store,
    site: SiteId,
    (parameter, given): (&str, &str),
    (source, kind): (&str, &str),
    name: &str,
    value: &str,
) -> Result<(), ApiError> {
    let names = store.texts(site, TextKind::Word).await?;
    if names.is_empty() {
        return Ok(());
    }
    let is_named = names.iter().any(|known| known == name);
    if is_named
        && (value.is_empty()
            || store.texts(site, TextKind::TagValue).await?.iter().any(|known| known == value))
    {
        return Ok(());
    }
    // A text may be of another kind, so the page views tell the names to suggest.
    let now_ms = now_ms();
    let from_ms = store.retention_edges().await?.views_from_ms.max(now_ms - limits::SUGGESTED_MS_MAX);
    let said = store.said(site, from_ms..now_ms).await?;
    let values = match source {
        "tag" => &said.tags,
        _ => &said.server_timings,
    };
    if is_named && let Some(values) = values.get(name) {
        let what = format!("no page view has this value of the {kind} `{}`", short(name));
        return Err(unknown(parameter, given, &what, value, values.iter().map(String::as_str)));
    }
    let names: BTreeSet<&str> = match source {
        "mark" => said.marks.iter().map(String::as_str).collect(),
        _ => values.keys().map(String::as_str).collect(),
    };
    let what = format!("no page view has the {kind} `{}`", short(name));
    Err(unknown(parameter, given, &what, name, names))
}

fn unknown<'a>(
    parameter: &str,
    given: &str,
    what: &str,
    text: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> ApiError {
    let known: Vec<&str> = known.into_iter().collect();
    let advice = match nearest(&short(text), known.iter().copied()) {
        Some(near) => format!("did you mean `{}`?", short(near)),
        None if known.is_empty() => "the site has none".to_owned(),
        None => {
            let mut shown: Vec<String> =
                known.iter().take(limits::SUGGESTED_MAX).map(|one| short(one)).collect();
            if known.len() > shown.len() {
                shown.push(format!("{} more", known.len() - shown.len()));
            }
            format!("expected {}", one_of(shown.iter().map(String::as_str)))
        }
    };
    ApiError::parameter(format!("`{parameter}` is `{}`: {what}; {advice}", short(given)))
}
