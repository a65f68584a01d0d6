//! Finds sites that sent page views and stopped.

/// Hours that are looked back: a week, so that a weekend without visitors is known.
pub(super) const HOURS: usize = 7 * 24;
/// Page views of that time that a site needs to be watched. A site with fewer is quiet for hours by chance.
const VIEWS_MIN: i64 = 100;
/// Hours between the first and the last page view that a site needs to be watched: a day has a night.
const HOURS_MIN: usize = 24;
/// Times the longest quiet time of the week that a site must be quiet.
const QUIET_FACTOR: usize = 2;
/// Least number of quiet hours.
const QUIET_MIN: usize = 2;

/// Returns the number of whole hours since the last page view if a site has stopped sending; `None` if it sends, or was
/// never regular. `views` are the page views of the last hours, the running hour last.
pub(super) fn quiet_hours(views: &[i64]) -> Option<usize> {
    let first = views.iter().position(|&views| views > 0)?;
    let last = views.iter().rposition(|&views| views > 0)?;
    let active = views.get(first..=last)?;
    if active.len() < HOURS_MIN || active.iter().sum::<i64>() < VIEWS_MIN {
        return None;
    }
    let longest = active.split(|&views| views > 0).map(<[i64]>::len).max().unwrap_or(0);
    // The running hour is not over.
    let quiet = views.len().saturating_sub(last + 2);
    (quiet >= QUIET_MIN.max(longest * QUIET_FACTOR)).then_some(quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours with page views, then hours without, then the running hour.
    fn stopped(active: &[i64], quiet: usize) -> Option<usize> {
        let mut views = vec![0; HOURS - active.len() - quiet - 1];
        views.extend(active);
        views.extend(vec![0; quiet + 1]);
        assert_eq!(views.len(), HOURS);
        quiet_hours(&views)
    }

    #[test]
    fn site_that_stops_is_silent_after_twice_its_longest_pause() {
        let busy = [10; 48];
        assert_eq!([0, 1, 2, 5].map(|quiet| stopped(&busy, quiet)), [None, None, Some(2), Some(5)]);
        let mut nights = [10; 48];
        nights[10..16].fill(0);
        assert_eq!([11, 12].map(|quiet| stopped(&nights, quiet)), [None, Some(12)]);
    }

    #[test]
    fn site_that_was_never_regular_is_not_watched() {
        assert_eq!(stopped(&[1_000; 23], 20), None, "less than a day");
        assert_eq!(stopped(&[1; 48], 20), None, "few page views");
        assert_eq!(quiet_hours(&[0; HOURS]), None);
        assert_eq!(quiet_hours(&[]), None);
    }
}
