//! Google's own records of an origin or a page: asked with a key, and kept for a day. Without a key there is no
//! [`GoogleCrux`], so no connection.

use super::{METRICS, Source};
use crate::egress::{Egress, EgressError, Guard};
use crate::limits;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::Expiry;
use moka::future::Cache;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;
use vitals::metric::Metric;
use vitals::view::Device;

/// The address of the API.
const GOOGLE: &str = "https://chromeuxreport.googleapis.com/";
/// The path of records.
const PATH: &str = "v1/records:queryRecord";

/// The key, and the address of a stand-in in tests.
#[derive(Clone)]
pub struct CruxSource {
    /// A key of the CrUX API.
    pub key: String,
    /// A loopback address instead of Google's; `None` outside of tests.
    pub stand_in: Option<Url>,
}

/// Does not print the key.
impl std::fmt::Debug for CruxSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CruxSource").field("stand_in", &self.stand_in).finish_non_exhaustive()
    }
}

/// Why there is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CruxProblem {
    /// Google has too few visits.
    #[error("CrUX has no data for it: Google counts too few visits, or does not list the page")]
    NoData,
    /// The key's quota is used up, or the server's share of it.
    #[error(
        "the quota of the key is used up (150 queries a minute, of which this server sends at most 120); try again in a minute"
    )]
    RateLimited,
    /// Google refuses the question, such as a wrong key.
    #[error("Google answered {status}: {message}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Google's message.
        message: String,
    },
    /// No answer, or one of another shape.
    #[error("Google cannot be asked: {0}")]
    Unreachable(String),
}

impl CruxProblem {
    /// The name in answers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::RateLimited => "rate_limited",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

/// Google's record.
#[derive(Clone, Debug, PartialEq)]
pub struct GoogleRecord {
    /// First and last day, `YYYY-MM-DD`.
    pub days: [String; 2],
    /// The metrics that Google has.
    pub metrics: BTreeMap<Metric, GoogleMetric>,
}

/// A metric of Google's record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoogleMetric {
    /// The 75th percentile, in milliseconds or as a score.
    pub p75: f64,
    /// Shares of good, needs-improvement and poor page views, 0 to 1.
    pub shares: [f64; 3],
}

type Answered = Result<Arc<GoogleRecord>, CruxProblem>;

/// The client of Google's CrUX API.
pub struct GoogleCrux {
    source: CruxSource,
    egress: Egress,
    kept: Cache<(String, Option<Device>), Answered>,
    /// Bounds the questions of all readers, so that none uses up the key's quota.
    rate: DefaultDirectRateLimiter,
}

impl std::fmt::Debug for GoogleCrux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoogleCrux").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Google renews records once a day. Other problems than missing data may pass soon.
struct Kept;

impl Expiry<(String, Option<Device>), Answered> for Kept {
    fn expire_after_create(
        &self,
        _: &(String, Option<Device>),
        answered: &Answered,
        _: Instant,
    ) -> Option<Duration> {
        Some(Duration::from_secs(match answered {
            Ok(_) | Err(CruxProblem::NoData) => limits::CRUX_KEPT_S,
            Err(_) => limits::CRUX_PROBLEM_KEPT_S,
        }))
    }
}

impl GoogleCrux {
    /// Creates the client. Nothing is sent yet.
    ///
    /// # Errors
    /// If the certificates of the system cannot be read, or the stand-in is not on this machine.
    pub fn new(source: CruxSource) -> Result<Self, EgressError> {
        let guard = match source.stand_in.as_ref().map(loopback) {
            None => Guard::default(),
            Some(Some(host)) => Guard::new(&[host]).map_err(EgressError::Refused)?,
            Some(None) => {
                return Err(EgressError::Refused("the stand-in of Google is not on this machine".to_owned()));
            }
        };
        let kept = Cache::builder().max_capacity(limits::CRUX_KEPT_MAX).expire_after(Kept).build();
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(count(limits::CRUX_QUESTIONS_PER_MINUTE));
        let rate = RateLimiter::direct(quota.allow_burst(count(limits::CRUX_QUESTIONS_BURST)));
        Ok(Self { source, egress: Egress::new(guard)?, kept, rate })
    }

    /// Returns the record of an origin or of a page, at most a day old. Concurrent questions for one record are sent once.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn record(&self, pages: &CruxPages, device: Option<Device>) -> Answered {
        let key = (pages.text().to_owned(), device);
        self.kept.get_with(key, async { self.ask(pages, device).await.map(Arc::new) }).await
    }

    async fn ask(&self, pages: &CruxPages, device: Option<Device>) -> Result<GoogleRecord, CruxProblem> {
        if self.rate.check().is_err() {
            return Err(CruxProblem::RateLimited);
        }
        let base = self.source.stand_in.clone().map_or_else(|| Url::parse(GOOGLE), Ok);
        let unreachable = |error: &dyn std::fmt::Display| CruxProblem::Unreachable(error.to_string());
        let url = base.and_then(|base| base.join(PATH)).map_err(|error| unreachable(&error))?;
        let mut question = match pages {
            CruxPages::Origin(origin) => json!({ "origin": origin }),
            CruxPages::Url(url) => json!({ "url": url }),
        };
        if let Some(device) = device {
            question["formFactor"] = device.name().to_uppercase().into();
        }
        // In a header, because addresses are logged on the way.
        let headers = [("x-goog-api-key", self.source.key.clone())];
        let bytes_max = limits::CRUX_ANSWER_BYTES_MAX;
        let asked = self.egress.ask(&url, &headers, question.to_string(), bytes_max).await;
        let (status, body) = asked.map_err(|error| unreachable(&error))?;
        if status != 200 {
            return Err(refused(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| unreachable(&format_args!("its answer has another shape: {error}")))?;
        Ok(answer.record.into())
    }
}

/// The pages of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CruxPages {
    /// All pages of an origin.
    Origin(String),
    /// One page.
    Url(String),
}

impl CruxPages {
    /// The origin or the URL.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Origin(text) | Self::Url(text) => text,
        }
    }
}

/// Returns the host of a loopback address.
fn loopback(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    host.parse::<std::net::IpAddr>().ok()?.is_loopback().then(|| host.to_owned())
}

fn refused(status: u16, body: &[u8]) -> CruxProblem {
    match status {
        404 => CruxProblem::NoData,
        429 => CruxProblem::RateLimited,
        _ => {
            let answer: Json = serde_json::from_slice(body).unwrap_or_default();
            let message = answer["error"]["message"].as_str().unwrap_or("without a message");
            let message = message.chars().filter(|char| !char.is_control()).take(limits::LABEL_BYTES_MAX);
            CruxProblem::Refused { status, message: message.collect() }
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    record: RecordJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordJson {
    metrics: HashMap<String, MetricJson>,
    collection_period: PeriodJson,
}

#[derive(Deserialize)]
struct MetricJson {
    #[serde(default)]
    histogram: Vec<BinJson>,
    percentiles: Option<PercentilesJson>,
}

/// A bin; Google leaves out a density of 0.
#[derive(Deserialize)]
struct BinJson {
    #[serde(default)]
    density: f64,
}

#[derive(Deserialize)]
struct PercentilesJson {
    p75: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeriodJson {
    first_date: DateJson,
    last_date: DateJson,
}

#[derive(Deserialize)]
struct DateJson {
    year: u16,
    month: u8,
    day: u8,
}

impl DateJson {
    fn text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl From<RecordJson> for GoogleRecord {
    fn from(record: RecordJson) -> Self {
        let metrics = METRICS.into_iter().filter_map(|(name, source)| {
            let Source::Distribution(metric) = source else { return None };
            Some((metric, record.metrics.get(name)?.read()?))
        });
        let PeriodJson { first_date, last_date } = &record.collection_period;
        Self { days: [first_date.text(), last_date.text()], metrics: metrics.collect() }
    }
}

impl MetricJson {
    /// Reads a distribution of three bins with its percentile, which is a text for scores.
    fn read(&self) -> Option<GoogleMetric> {
        let p75 = &self.percentiles.as_ref()?.p75;
        let p75 = p75.as_f64().or_else(|| p75.as_str()?.parse().ok())?;
        let [good, needs_improvement, poor] = self.histogram.as_slice() else { return None };
        Some(GoogleMetric { p75, shares: [good.density, needs_improvement.density, poor.density] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_as_google_writes_it() {
        let answer = json!({"record": {
            "key": {"origin": "https://shop.example"},
            "metrics": {
                "largest_contentful_paint": {"histogram": [{"start": 0, "end": 2500, "density": 0.9}, {"start": 2500, "end": 4000, "density": 0.1},
                                                           {"start": 4000}], "percentiles": {"p75": 1800}},
                "cumulative_layout_shift": {"histogram": [{"start": "0.00", "end": "0.10", "density": 1}, {}, {}], "percentiles": {"p75": "0.05"}},
                "form_factors": {"fractions": {"desktop": 0.4, "phone": 0.6, "tablet": 0}},
                "round_trip_time": {"percentiles": {"p75": 120}},
            },
            "collectionPeriod": {"firstDate": {"year": 2026, "month": 11, "day": 2}, "lastDate": {"year": 2026, "month": 11, "day": 29}},
        }});
        let record = GoogleRecord::from(serde_json::from_value::<Answer>(answer).unwrap().record);
        assert_eq!(record.days, ["2026-11-02", "2026-11-29"]);
        let of = |p75, shares| GoogleMetric { p75, shares };
        let expected =
            [(Metric::Lcp, of(1_800.0, [0.9, 0.1, 0.0])), (Metric::Cls, of(0.05, [1.0, 0.0, 0.0]))];
        assert_eq!(record.metrics, expected.into());
    }

    #[test]
    fn refusals_are_named_and_do_not_show_controls() {
        assert_eq!(refused(404, b""), CruxProblem::NoData);
        assert_eq!(refused(429, b"<html>"), CruxProblem::RateLimited);
        let message = json!({"error": {"message": "API key not valid.\u{1b}[31m"}}).to_string();
        let refusal = refused(400, message.as_bytes()).to_string();
        assert_eq!(refusal, "Google answered 400: API key not valid.[31m");
    }

    #[tokio::test]
    async fn questions_past_the_rate_are_not_sent() {
        let google = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stand_in = Url::parse(&format!("http://{}/", google.local_addr().unwrap())).ok();
        // Its port is closed, so every question fails at once.
        drop(google);
        let google = GoogleCrux::new(CruxSource { key: "k".to_owned(), stand_in }).unwrap();
        let burst = limits::CRUX_QUESTIONS_BURST;
        let mut refused_at = None;
        for place in 0..burst * 3 {
            let page = CruxPages::Url(format!("https://shop.example/{place}"));
            let problem = google.record(&page, None).await.unwrap_err();
            if problem == CruxProblem::RateLimited {
                refused_at = Some(place);
                break;
            }
            assert_eq!(problem.name(), "unreachable");
        }
        assert!(refused_at.is_some_and(|place| place >= burst), "{refused_at:?}");
        let first = CruxPages::Url("https://shop.example/0".to_owned());
        let kept = google.record(&first, None).await.unwrap_err();
        assert_eq!(kept.name(), "unreachable", "an answer in memory is not limited");
    }

    #[test]
    fn stand_in_is_on_this_machine() {
        for (address, is_allowed) in [
            ("http://127.0.0.1:9/", true),
            ("http://[::1]:9/", true),
            ("http://10.0.0.7/", false),
            ("https://a.example/", false),
        ] {
            let source = CruxSource { key: "k".to_owned(), stand_in: Url::parse(address).ok() };
            assert_eq!(GoogleCrux::new(source).is_ok(), is_allowed, "{address}");
        }
    }
}
