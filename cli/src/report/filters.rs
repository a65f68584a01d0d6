//! The options that select page views.

use crate::client::{devices, period, systems};
use crate::{moment, output::plain};
use clap::builder::NonEmptyStringValueParser;
use fieldvitals_server::limits;
use fieldvitals_server::report::time_text;

/// Selects page views.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// The last hours or days: 24h, 7d, 28d, 90d.
    #[arg(long, default_value = "7d", value_parser = period)]
    pub(super) period: String,
    /// Start of the period, such as 2026-11-21 or 2026-11-21T14:00:00Z; replaces --period.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "period")]
    pub(super) from: Option<String>,
    /// End of the period, excluded; now without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Option<String>,
    /// Only page views on this class of device.
    #[arg(long, value_parser = devices())]
    pub(super) device: Option<String>,
    /// Only page views of this browser family, such as Chrome.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) browser: Option<String>,
    /// Only page views on this family of operating systems; reads page views, so only within their retention.
    #[arg(long, value_parser = systems())]
    pub(super) os: Option<String>,
    /// Only page views from this country, such as DE.
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) country: Option<String>,
    /// Only page views of this release.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) release: Option<String>,
    /// Only page views with this value of a tag, such as plan:pro; within the retention of page views.
    #[arg(long, value_name = "NAME:VALUE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) tag: Option<String>,
    /// Only page views with this mark, within the retention of page views. With --engagement, counts them.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) mark: Option<String>,
}

/// Parses a time; returns it as RFC 3339.
fn time(text: &str) -> Result<String, String> {
    moment::time(text).map(time_text)
}

impl Filters {
    /// Adds the parameters of a question to these.
    pub(super) fn query<'a>(
        &'a self,
        own: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Vec<(&'a str, Option<&'a str>)> {
        let given = |text: &'a Option<String>| text.as_deref();
        let filters = [
            ("period", Some(self.period.as_str()).filter(|_| self.from.is_none())),
            ("from", given(&self.from)),
            ("to", given(&self.to)),
            ("device", given(&self.device)),
            ("browser", given(&self.browser)),
            ("os", given(&self.os)),
            ("country", given(&self.country)),
            ("release", given(&self.release)),
            ("tag", given(&self.tag)),
            ("mark", given(&self.mark)),
        ];
        filters.into_iter().chain(own).collect()
    }

    /// The last days or hours in which a name of the filters may occur: with --from or --to, all that can be asked for.
    pub(super) fn longest_period(&self) -> String {
        match (&self.from, &self.to) {
            (None, None) => self.period.clone(),
            _ => format!("{}d", limits::QUERY_DAYS_MAX),
        }
    }

    /// The filters as parts of a title.
    pub(super) fn titles(&self) -> Vec<String> {
        let mut parts = vec![self.device.clone().unwrap_or_else(|| "all devices".to_owned())];
        parts.extend([&self.browser, &self.os, &self.country].into_iter().flatten().map(|text| plain(text)));
        for (name, value) in [("release", &self.release), ("tag", &self.tag), ("mark", &self.mark)] {
            parts.extend(value.as_deref().map(|value| format!("{name} {}", plain(value))));
        }
        parts
    }
}
