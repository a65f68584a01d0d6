//! The rules of settings. Each function returns the stored form of a value, or an error with the expected form.

use crate::intake::{lookup, origin, route};
use crate::limits::{KEEP_DAYS_MAX, KEEP_VIEWS_DAYS_MIN, TOKEN_NAME_BYTES_MAX};
use crate::password::is_password_name;
use crate::timeline;
use fieldvitals_store::{Retention, limits};

/// Checks the name of a site.
///
/// # Errors
/// If it is not a name.
pub fn site_name(name: &str) -> Result<String, String> {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let shown: String = name.chars().take(limits::SITE_NAME_BYTES_MAX).collect();
    if name.is_empty() || name.len() > limits::SITE_NAME_BYTES_MAX || !name.bytes().all(is_allowed) {
        return Err(format!(
            "`{shown}` is not a site's name: expected 1 to {} lower-case letters, digits, `-`, `_` and `.`",
            limits::SITE_NAME_BYTES_MAX
        ));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{shown}` is not a site's name: it needs more than digits, or it would be taken for an id"
        ));
    }
    Ok(name.to_owned())
}

/// Checks the allowed origins of a site.
///
/// # Errors
/// If one is no origin, or there are too many.
pub fn origins(origins: &[String]) -> Result<Vec<String>, String> {
    let max = limits::ORIGINS_PER_SITE_MAX;
    if origins.is_empty() || origins.len() > max {
        return Err(format!("a site has 1 to {max} origins"));
    }
    origins.iter().map(|text| origin::check_pattern(text)).collect()
}

/// Checks the route patterns of a site.
///
/// # Errors
/// If one is no pattern, or there are too many.
pub fn routes(patterns: &[String]) -> Result<Vec<String>, String> {
    let max = limits::ROUTE_RULES_PER_SITE_MAX;
    if patterns.len() > max {
        return Err(format!("at most {max} route patterns are taken"));
    }
    patterns.iter().map(|text| route::check_rule(text)).collect()
}

/// Checks the name of a time zone. Returns its usual spelling.
///
/// # Errors
/// If it is no IANA name.
pub fn timezone(name: &str) -> Result<String, String> {
    let known = timeline::zone_names();
    let name = name.trim();
    if let Some(found) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(found.clone());
    }
    let shown: String = name.chars().take(limits::SITE_NAME_BYTES_MAX).collect();
    let city = |known: &&String| known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(name));
    let near = known.iter().find(city).map(String::as_str);
    let near = near.or_else(|| lookup::nearest(name, &known).first().copied());
    let advice = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(format!("there is no time zone `{shown}`{advice} (an IANA name, such as Europe/Berlin)"))
}

/// Checks a retention.
///
/// # Errors
/// If a number of days is out of range, or daily rollups are kept shorter than what they are the sum of.
pub fn retention(retention: Retention) -> Result<Retention, String> {
    let Retention { raw_days, hourly_days, daily_days } = retention;
    let (least, most) = (KEEP_VIEWS_DAYS_MIN, KEEP_DAYS_MAX);
    for (name, days, least) in
        [("views_days", raw_days, least), ("hours_days", hourly_days, 1), ("rollups_days", daily_days, least)]
    {
        if !(least..=most).contains(&days) {
            return Err(format!("`{name}` is {days}: expected {least} to {most} days"));
        }
    }
    if daily_days < raw_days.max(hourly_days) {
        return Err(format!(
            "`rollups_days` is {daily_days}, less than `views_days` ({raw_days}) or `hours_days` ({hourly_days}): reports of \
             any past day are made of daily rollups, so keep them at least as long"
        ));
    }
    Ok(retention)
}

/// Checks the name of a token.
///
/// # Errors
/// If it is empty, too long, or that of a password.
pub fn token_name(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() || name.len() > TOKEN_NAME_BYTES_MAX {
        return Err(format!("a token's name is a text of 1 to {TOKEN_NAME_BYTES_MAX} bytes"));
    }
    if is_password_name(name) {
        return Err(format!("the name `{name}` is that of a password; `fieldvitals password set` sets one"));
    }
    Ok(name.to_owned())
}

/// Checks the name of a release by the rules of beacons.
///
/// # Errors
/// If it is empty or too long.
pub fn release(release: &str) -> Result<String, String> {
    let max = vitals::limits::RELEASE_BYTES_MAX;
    let release = release.trim();
    if release.is_empty() || release.len() > max || release.chars().any(char::is_control) {
        return Err(format!("a release is a text of 1 to {max} bytes without control characters"));
    }
    Ok(release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_releases_are_those_that_beacons_may_have() {
        assert_eq!(release(" 5.1.0 ").unwrap(), "5.1.0");
        for wrong in ["", "  ", "x".repeat(129).as_str(), "a\0"] {
            assert!(release(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_value_is_refused_with_what_is_expected() {
        for (refused, expected) in [
            (site_name("Shop").unwrap_err(), "lower-case"),
            (site_name("12").unwrap_err(), "more than digits"),
            (origins(&[]).unwrap_err(), "1 to 64 origins"),
            (timezone("Berlin").unwrap_err(), "did you mean `Europe/Berlin`?"),
            (token_name(" ").unwrap_err(), "1 to 64 bytes"),
        ] {
            assert!(refused.contains(expected), "{refused}");
        }
        assert_eq!(timezone("europe/berlin").as_deref(), Ok("Europe/Berlin"));
    }
}
