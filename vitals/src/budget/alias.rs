//! Names that other tools give to metrics and devices.

use crate::metric::Metric;
use crate::view::Device;

/// Returns the metric of its abbreviation or its whole name, in upper or lower case, with `-`, `_` or spaces:
/// `LCP`, `largest-contentful-paint`, `largest_contentful_paint`. `interactive` is TTI, as in Lighthouse.
pub(super) fn metric(name: &str) -> Option<Metric> {
    let whole: String = name
        .chars()
        .map(|char| if matches!(char, '_' | ' ') { '-' } else { char.to_ascii_lowercase() })
        .collect();
    Metric::from_name(name).or(match whole.as_str() {
        "largest-contentful-paint" => Some(Metric::Lcp),
        "interaction-to-next-paint" => Some(Metric::Inp),
        "cumulative-layout-shift" => Some(Metric::Cls),
        "first-contentful-paint" => Some(Metric::Fcp),
        "time-to-first-byte" => Some(Metric::Ttfb),
        "first-input-delay" => Some(Metric::Fid),
        "time-to-interactive" | "interactive" => Some(Metric::Tti),
        _ => None,
    })
}

/// Returns the class of a device, in upper or lower case; `mobile` is a phone.
pub(super) fn device(name: &str) -> Option<Device> {
    let name = name.to_ascii_lowercase();
    if name == "mobile" { Some(Device::Phone) } else { Device::from_name(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_tools_are_known() {
        for (name, expected) in [
            ("LCP", Some(Metric::Lcp)),
            ("largest-contentful-paint", Some(Metric::Lcp)),
            ("Largest_Contentful_Paint", Some(Metric::Lcp)),
            ("cumulative layout shift", Some(Metric::Cls)),
            ("interactive", Some(Metric::Tti)),
            ("speed-index", None),
            ("", None),
        ] {
            assert_eq!(metric(name), expected, "{name}");
        }
        assert_eq!((device("mobile"), device("Desktop")), (Some(Device::Phone), Some(Device::Desktop)));
        assert_eq!(device("watch"), None);
    }
}
