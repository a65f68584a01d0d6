//! Exports page views: one row for each, ordered by start.

use super::encode::{Encoder, Segment};
use super::schema::{Datum, Field, Kind};
use crate::limits;
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::{Detail, SiteId, Source, Store, ViewUpdate, Weight};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use vitals::attribution::LoadState;
use vitals::fetch::{Delivery, PARTS, Protocol};
use vitals::metric::{Metric, Value};
use vitals::view::{Device, NavigationType, Os, Rtt, Tier, TtiGap, ViewId, Viewport};

/// The columns.
pub(super) const FIELDS: &[Field] = &[
    Field::new("id", Kind::Id),
    Field::new("start_utc", Kind::Time),
    Field::new("received_utc", Kind::Time),
    Field::new("is_foreign", Kind::Flag),
    Field::new("weight", Kind::Number),
    Field::new("url", Kind::Text),
    Field::new("route", Kind::Text),
    Field::new("navigation_type", Kind::Text),
    Field::new("device", Kind::Text),
    Field::new("browser", Kind::Text),
    Field::new("os", Kind::Text),
    Field::new("connection", Kind::Text),
    Field::new("country", Kind::Text),
    Field::new("release", Kind::Text),
    Field::new("viewport", Kind::Text),
    Field::new("lcp_ms", Kind::Number),
    Field::new("inp_ms", Kind::Number),
    Field::new("cls", Kind::Number),
    Field::new("fcp_ms", Kind::Number),
    Field::new("ttfb_ms", Kind::Number),
    Field::new("fid_ms", Kind::Number),
    Field::new("tti_ms", Kind::Number),
    Field::new("tti_gap", Kind::Text),
    Field::new("tbt_ms", Kind::Number),
    Field::new("protocol", Kind::Text),
    Field::new("delivery", Kind::Text),
    Field::new("rtt", Kind::Text),
    Field::new("memory", Kind::Text),
    Field::new("cpu", Kind::Text),
    Field::new("engaged", Kind::Flag),
    Field::new("first_input_ms", Kind::Integer),
    Field::new("document_kb", Kind::Integer),
    Field::new("confidence", Kind::Text),
    Field::new("confidence_noise_percent", Kind::Integer),
    Field::new("attribution", Kind::Json),
    Field::new("server_timings", Kind::Json),
    Field::new("not_restored", Kind::Json),
    Field::new("tags", Kind::Json),
    Field::new("marks_ms", Kind::Json),
    Field::new("collector_errors", Kind::Integer),
];

const _: () = assert!(Metric::COUNT == 7, "the columns name each metric, in the order of `Metric::ALL`");

/// Reads the page views of a period.
pub(super) struct ViewReader {
    site: SiteId,
    /// End of the period, excluded.
    to_ms: i64,
    /// The last page view that was read.
    after: Option<ViewId>,
    is_done: bool,
}

impl ViewReader {
    /// Starts at the begin of a period, or after a page view of it.
    pub(super) fn new(site: SiteId, period: Range<i64>, after: Option<ViewId>) -> Self {
        // The largest id of the millisecond before the period.
        let before = || u64::try_from(period.start).ok()?.checked_sub(1).map(|ms| ViewId::new(ms, u128::MAX));
        Self { site, to_ms: period.end, after: after.or_else(before), is_done: false }
    }

    /// Reads the next page views into the encoder. Returns `None` at the end of the period.
    pub(super) async fn next(
        &mut self,
        store: &dyn Store,
        mut encoder: Encoder,
        rows_max: u64,
    ) -> anyhow::Result<Option<Segment>> {
        let mut last = None;
        while !self.is_done && encoder.rows() < rows_max {
            let left = u32::try_from(rows_max - encoder.rows()).unwrap_or(u32::MAX);
            let limit = limits::EXPORT_READ_VIEWS_MAX.min(left);
            let page = store.views(self.site, self.after, limit).await?;
            self.is_done = page.len() < limit as usize;
            let mut row = Vec::with_capacity(FIELDS.len());
            for view in &page {
                let id = view.update.id;
                if id.start_ms() >= self.to_ms {
                    self.is_done = true;
                    break;
                }
                row.clear();
                push(&view.update, &mut row);
                encoder.row(&row)?;
                last = Some(id);
            }
            self.after = last.or(self.after);
        }
        Ok(last.map(|id| Segment { cursor: id.text(), encoder }))
    }
}

/// Adds the values of a page view, in the order of [`FIELDS`].
fn push<'a>(view: &'a ViewUpdate, row: &mut Vec<Datum<'a>>) {
    let context = &view.context;
    let detail = context.detail.as_deref();
    let conditions = context.conditions.as_deref();
    let confidence = conditions.and_then(|of| of.confidence);
    row.extend([
        Datum::Id(view.id),
        Datum::Time(view.id.start_ms()),
        Datum::Time(view.received_ms),
        Datum::Flag(view.source == Source::Foreign),
        Datum::Number(f64::from(view.weight.milli()) / Weight::ONE_MILLI as f64),
        Datum::Text(&view.url),
        Datum::Text(&view.route),
        Datum::text(view.navigation_type.map(NavigationType::name)),
        Datum::text(view.device.map(Device::name)),
        Datum::text(view.browser.as_deref()),
        Datum::text(view.os.map(Os::name)),
        Datum::text(view.connection.as_deref()),
        Datum::text(view.country.as_deref()),
        Datum::text(view.release.as_deref()),
        Datum::text(context.viewport.map(Viewport::name)),
    ]);
    row.extend(Metric::ALL.map(|metric| {
        let value = view.values.get(metric);
        Datum::number(value.map(|value| value.number(metric)))
    }));
    row.extend([
        Datum::text(view.tti_gap.map(TtiGap::name)),
        Datum::number(context.tbt.map(|tbt| tbt.number(Metric::Tti))),
        Datum::text(conditions.and_then(|of| of.protocol).map(Protocol::name)),
        Datum::text(conditions.and_then(|of| of.delivery).map(Delivery::name)),
        Datum::text(conditions.and_then(|of| of.rtt).map(Rtt::name)),
        Datum::text(conditions.and_then(|of| of.memory).map(Tier::name)),
        Datum::text(conditions.and_then(|of| of.cpu).map(Tier::name)),
        Datum::flag(conditions.and_then(|of| of.engaged)),
        Datum::integer(conditions.and_then(|of| of.first_input_ms)),
        Datum::integer(conditions.and_then(|of| of.document_kb)),
        Datum::text(confidence.map(|(level, _)| level.name())),
        Datum::integer(confidence.map(|(_, noise)| noise)),
        json(Attribution::of(detail, conditions)),
        json(conditions.and_then(server_timings)),
        json(conditions.map(|of| &of.not_restored).filter(|reasons| !reasons.is_empty())),
        // Of several with the same name, the first counts, as in filters.
        json(detail.and_then(|detail| first_of_each(&detail.tags))),
        json(detail.and_then(|detail| first_of_each(&detail.marks))),
        Datum::integer((context.errors > 0).then_some(context.errors)),
    ]);
}

/// A JSON value that may be unknown.
fn json<'a>(value: Option<impl Serialize>) -> Datum<'a> {
    let text = value.and_then(|value| serde_json::to_string(&value).ok());
    text.map_or(Datum::Absent, Datum::Json)
}

/// The pairs by name, the first of each; `None` if there are none.
fn first_of_each<T>(pairs: &[(String, T)]) -> Option<BTreeMap<&str, &T>> {
    let by_name = pairs.iter().rev().map(|(name, value)| (name.as_str(), value));
    (!pairs.is_empty()).then(|| by_name.collect())
}

/// The column `attribution`.
#[derive(Serialize)]
struct Attribution<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    lcp: Option<Lcp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inp: Option<Inp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cls: Option<Cls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttfb_parts_ms: Option<BTreeMap<&'static str, u32>>,
}

#[derive(Serialize)]
struct Lcp<'a> {
    target: &'a str,
    url: &'a str,
    ttfb_ms: u32,
    load_delay_ms: u32,
    load_duration_ms: u32,
    render_delay_ms: u32,
}

#[derive(Serialize)]
struct Inp<'a> {
    target: &'a str,
    event: &'a str,
    at_ms: u32,
    input_delay_ms: u32,
    processing_ms: u32,
    presentation_ms: u32,
    script: &'a str,
    script_ms: u32,
    load_state: &'static str,
}

#[derive(Serialize)]
struct Cls<'a> {
    target: &'a str,
    at_ms: u32,
    shift: f64,
    load_state: &'static str,
}

impl<'a> Attribution<'a> {
    fn of(detail: Option<&'a Detail>, conditions: Option<&Conditions>) -> Option<Self> {
        let lcp = detail.and_then(|detail| detail.lcp.as_ref()).map(|lcp| {
            let [ttfb_ms, load_delay_ms, load_duration_ms, render_delay_ms] = lcp.parts_ms;
            let (target, url) = (&lcp.target, &lcp.url);
            Lcp { target, url, ttfb_ms, load_delay_ms, load_duration_ms, render_delay_ms }
        });
        let inp = detail.and_then(|detail| detail.inp.as_ref()).map(|inp| {
            let [input_delay_ms, processing_ms, presentation_ms] = inp.parts_ms;
            Inp {
                target: &inp.target,
                event: &inp.event,
                at_ms: inp.at_ms,
                input_delay_ms,
                processing_ms,
                presentation_ms,
                script: &inp.script,
                script_ms: inp.script_ms,
                load_state: LoadState::name(inp.load_state),
            }
        });
        let cls = detail.and_then(|detail| detail.cls.as_ref()).map(|cls| Cls {
            target: &cls.target,
            at_ms: cls.at_ms,
            shift: Value::from_micros(Metric::Cls, cls.value_micros)
                .unwrap_or(Value::ZERO)
                .number(Metric::Cls),
            load_state: LoadState::name(cls.load_state),
        });
        let parts_ms = conditions.and_then(|conditions| conditions.ttfb_parts_ms);
        let ttfb_parts_ms = parts_ms.map(|parts_ms| PARTS.into_iter().zip(parts_ms).collect());
        let is_known = lcp.is_some() || inp.is_some() || cls.is_some() || ttfb_parts_ms.is_some();
        is_known.then_some(Self { lcp, inp, cls, ttfb_parts_ms })
    }
}

/// An entry of the column `server_timings`.
#[derive(Serialize)]
struct ServerTiming<'a> {
    name: &'a str,
    duration_ms: u32,
    description: &'a str,
}

fn server_timings(conditions: &Conditions) -> Option<Vec<ServerTiming<'_>>> {
    let timings = conditions.server_timings.iter().map(|(name, duration_ms, description)| ServerTiming {
        name,
        duration_ms: *duration_ms,
        description,
    });
    (!conditions.server_timings.is_empty()).then(|| timings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::encode::Format;
    use fieldvitals_store::Context;
    use fieldvitals_store::context::{ClsDetail, InpDetail, LcpDetail};
    use vitals::fetch::ConfidenceLevel;

    /// A page view with everything that a page view can have.
    fn full_view() -> ViewUpdate {
        let text = str::to_owned;
        let mut values = vitals::metric::Values::EMPTY;
        for metric in Metric::ALL {
            values.set(metric, Value::from_micros(metric, 1_234_567));
        }
        let detail = Detail {
            lcp: Some(LcpDetail {
                target: text("img"),
                url: text("https://a/i.png"),
                parts_ms: [1, 2, 3, 4],
            }),
            inp: Some(InpDetail {
                target: text("button"),
                event: text("click"),
                at_ms: 5,
                parts_ms: [6, 7, 8],
                script: text("https://a/s.js"),
                script_ms: 9,
                load_state: LoadState::Complete,
            }),
            cls: Some(ClsDetail {
                target: text("div"),
                at_ms: 10,
                value_micros: 250_000,
                load_state: LoadState::Loading,
            }),
            tags: vec![(text("plan"), text("=pro")), (text("plan"), text("free"))],
            marks: vec![(text("order"), 11)],
        };
        let conditions = Conditions {
            ttfb_parts_ms: Some([0, 1, 2, 3, 4, 5]),
            protocol: Some(Protocol::H3),
            delivery: Some(Delivery::ALL[0]),
            document_kb: Some(12),
            confidence: Some((ConfidenceLevel::Low, 20)),
            server_timings: vec![(text("edge"), 13, text("HIT"))],
            not_restored: vec![text("unload-listener")],
            rtt: Some(Rtt::Under100),
            memory: Some(Tier::High),
            cpu: Some(Tier::Low),
            engaged: Some(true),
            first_input_ms: Some(14),
        };
        ViewUpdate {
            id: ViewId::new(1_763_632_800_123, 7),
            source: Source::Own { seq: 1 },
            received_ms: 1_763_632_900_000,
            url: text("https://a.example/p/17"),
            route: text("/p/:id"),
            navigation_type: Some(NavigationType::Navigate),
            device: Some(Device::Phone),
            browser: Some(text("=Browser")),
            os: Some(Os::Android),
            connection: Some(text("4g")),
            country: Some(text("DE")),
            release: Some(text("1.0")),
            values,
            tti_gap: Some(TtiGap::Cpu),
            weight: Weight::of_sample(0.5),
            context: Context {
                viewport: Some(Viewport::Small),
                tbt: Value::from_micros(Metric::Tti, 15_000),
                errors: 16,
                detail: Some(Box::new(detail)),
                conditions: Some(Box::new(conditions)),
            },
        }
    }

    #[test]
    fn page_view_has_a_value_of_each_column() {
        let view = full_view();
        let mut row = Vec::new();
        push(&view, &mut row);
        let kinds: Vec<Option<Kind>> = row.iter().map(Datum::kind).collect();
        assert_eq!(kinds, FIELDS.iter().map(|field| Some(field.kind)).collect::<Vec<_>>());
        let value = |name: &str| row[FIELDS.iter().position(|field| field.name == name).unwrap()].clone();
        assert_eq!(value("weight"), Datum::Number(2.0));
        assert_eq!(value("lcp_ms"), Datum::Number(1_234.567));
        assert_eq!(value("cls"), Datum::Number(1.234_567));
        assert_eq!(value("tags"), Datum::Json(r#"{"plan":"=pro"}"#.to_owned()), "the first of two");
        assert_eq!(value("confidence"), Datum::Text("low"));
        assert_eq!(value("confidence_noise_percent"), Datum::Integer(20));
        assert_eq!(value("marks_ms"), Datum::Json(r#"{"order":11}"#.to_owned()));
    }

    #[test]
    fn page_view_of_which_little_is_known_has_gaps() {
        let view = ViewUpdate {
            navigation_type: None,
            values: vitals::metric::Values::EMPTY,
            context: Context::NONE,
            ..full_view()
        };
        let mut row = Vec::new();
        push(&view, &mut row);
        assert_eq!(row.len(), FIELDS.len());
        assert_eq!(row.iter().filter(|value| **value == Datum::Absent).count(), 26);
    }

    #[test]
    fn row_is_the_same_in_each_format_of_text() {
        let view = full_view();
        let mut row = Vec::new();
        push(&view, &mut row);
        let text = |format| {
            let mut encoder = Encoder::new(format, FIELDS);
            encoder.row(&row).unwrap();
            String::from_utf8(encoder.finish().unwrap()).unwrap()
        };
        let line: serde_json::Value = serde_json::from_str(&text(Format::Jsonl)).unwrap();
        assert_eq!(line["start_utc"], "2025-11-20T10:00:00.123Z");
        assert_eq!(line["browser"], "=Browser", "JSON runs no formulas");
        assert_eq!(line["attribution"]["lcp"]["load_delay_ms"], 2);
        assert_eq!(line.as_object().unwrap().len(), FIELDS.len());
        let csv = text(Format::Csv);
        assert!(csv.contains(",'=Browser,android,"), "{csv}");
        assert!(csv.contains(r#","{""order"":11}",16"#), "{csv}");
    }
}
