//! Refuses a value that no page view of the site has, and names the nearest one.
//!
//! Looks only after an answer without page views, so that usual questions read no names.

use crate::http::error::ApiError;
use crate::http::question::{one_of, short};
use crate::intake::lookup;
use fieldvitals_store::dimension::DimensionValue;
use fieldvitals_store::{Dimension, Filters, SiteId, Store};

/// Known values listed in a message.
const VALUES_MAX: usize = 10;

/// Checks the text filters of a question without page views.
///
/// # Errors
/// A value is unknown, or the store fails.
pub(in crate::http) async fn check(
    store: &dyn Store,
    site: SiteId,
    filters: &Filters,
) -> Result<(), ApiError> {
    let mut names = None;
    for dimension in Dimension::LABELLED {
        let Some(DimensionValue::Label(value)) = filters.asked(dimension) else { continue };
        if names.is_none() {
            names = Some(store.names(site).await?);
        }
        let of_dimension = names.iter().flatten().filter(|name| name.dimension == Some(dimension));
        let known: Vec<String> = of_dimension.map(|name| name.text.clone()).collect();
        if !known.iter().any(|known| known == value) {
            return Err(ApiError::parameter(unknown(dimension.name(), value, &known)));
        }
    }
    Ok(())
}

/// ``there is no browser `chrome`; did you mean `Chrome`?``
fn unknown(what: &str, value: &str, known: &[String]) -> String {
    let start = format!("there is no {what} `{}`", short(value));
    if let Some(near) = lookup::nearest(value, known).first() {
        return format!("{start}; did you mean `{}`?", short(near));
    }
    if known.is_empty() {
        return format!("{start}: no page view of the site has a {what}");
    }
    let listed = known.iter().take(VALUES_MAX).map(|known| short(known)).collect::<Vec<_>>();
    let more = if known.len() > VALUES_MAX { ", …" } else { "" };
    format!("{start}; known are {}{more}", one_of(listed.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_value_is_answered_with_the_nearest_or_a_list() {
        let known = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            unknown("browser", "chrome", &known(&["Safari", "Chrome"])),
            "there is no browser `chrome`; did you mean `Chrome`?"
        );
        assert_eq!(
            unknown("country", "DE", &known(&["FR", "JP"])),
            "there is no country `DE`; known are FR or JP"
        );
        assert_eq!(
            unknown("release", "1", &[]),
            "there is no release `1`: no page view of the site has a release"
        );
    }
}
