//! What a run of a scenario left behind: our page views, the reference's, and the observer's record.

use super::lab::Capture;
use serde_json::Value;
use std::collections::BTreeMap;
use vitals::beacon::{Content, decode};
use vitals::metric::Metric;
use vitals::view::{NavigationType, TtiGap, ViewId};

/// A page view as one side tells it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Navigation type, by its name.
    pub nav: String,
    /// Values by metric.
    pub values: BTreeMap<&'static str, f64>,
    /// Why there is no TTI, where that was said.
    pub tti_gap: Option<TtiGap>,
    /// The URL, where it is not the document's.
    pub url: Option<String>,
    /// Whether it was measured by the server, from a raw queue.
    pub raw: bool,
    /// The values of ours that are explained.
    pub explained: Vec<&'static str>,
}

/// A performance entry as the observer recorded it.
#[derive(Clone, Debug)]
pub struct Entry(pub Value);

impl Entry {
    /// The entry type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("entryType")
    }

    /// A number, 0 where there is none.
    #[must_use]
    pub fn number(&self, field: &str) -> f64 {
        self.0[field].as_f64().unwrap_or(0.0)
    }

    /// A text, empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }
}

/// Something that happened to a page.
#[derive(Clone, Debug)]
pub struct Moment {
    /// `start`, `visibility`, `pagehide`, `pageshow`, `frame` (the second after a restore), `input`,
    /// `activation`, or what the page says.
    pub what: String,
    /// When, by the event's time stamp.
    pub at: f64,
    /// Whether the page was hidden then.
    pub hidden: bool,
    /// Of `pageshow`: whether it came from the back/forward cache.
    pub persisted: bool,
}

/// One document as the observer recorded it.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Every entry, in the order of telling.
    pub entries: Vec<Entry>,
    /// The life of the page, in order.
    pub life: Vec<Moment>,
    /// The navigation entry as last read.
    pub navigation: Option<Entry>,
    /// The navigation entry's type as first read: Firefox writes another into it when a page is restored.
    pub navigation_type: String,
    /// The entry types that the browser knows.
    pub supported: Vec<String>,
    /// `performance.interactionCount`, where the browser has it.
    pub interactions: Option<f64>,
    /// When the last record was sent.
    pub now: f64,
}

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Seen {
    /// Our page views, by start.
    pub ours: Vec<View>,
    /// The reference's, by document and order of telling.
    pub reference: Vec<View>,
    /// The observer's documents, by start.
    pub documents: Vec<Document>,
    /// What pages say they were built to have.
    pub expected: BTreeMap<String, f64>,
    /// Beacons of ours that the server did not take, with its answer.
    pub refused: Vec<(u16, String)>,
    /// The bodies of our raw beacons.
    pub raw: Vec<Vec<u8>>,
    /// How many beacons we sent.
    pub beacons: usize,
}

impl Seen {
    /// Reads what was captured.
    ///
    /// # Panics
    /// Where a beacon of ours is none.
    #[must_use]
    pub fn of(captures: &[Capture]) -> Self {
        let mut seen = Self::default();
        let mut views: BTreeMap<ViewId, (u32, View)> = BTreeMap::new();
        let mut references: BTreeMap<u64, Vec<(String, View)>> = BTreeMap::new();
        let mut documents: BTreeMap<u64, Document> = BTreeMap::new();
        // Requests overtake each other; what the page said first is read first.
        let mut captures: Vec<&Capture> = captures.iter().collect();
        captures.sort_by(|one, other| said_at(one).total_cmp(&said_at(other)));
        for capture in captures {
            match capture {
                Capture::Beacon(body, status) => {
                    seen.beacons += 1;
                    if *status != 204 {
                        seen.refused.push((*status, String::from_utf8_lossy(body).into_owned()));
                    }
                    let beacon = decode(body).expect("what we send is a beacon");
                    let (seq, raw) = (beacon.seq, matches!(beacon.content, Content::Raw(_)));
                    if raw {
                        seen.raw.push(body.clone());
                    }
                    for snapshot in beacon.snapshots() {
                        let known = views.entry(snapshot.id).or_default();
                        if seq < known.0 {
                            continue;
                        }
                        let values = snapshot.values.iter();
                        let values =
                            values.map(|(metric, value)| (metric.name(), value.number(metric))).collect();
                        let nav = snapshot.navigation_type.map_or("", NavigationType::name).to_owned();
                        let causes = &snapshot.attribution;
                        let explained = [
                            ("LCP", causes.lcp.is_some()),
                            ("INP", causes.inp.is_some()),
                            ("CLS", causes.cls.is_some()),
                        ];
                        let explained =
                            explained.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
                        let view = View {
                            nav,
                            values,
                            tti_gap: snapshot.tti_gap,
                            url: snapshot.url,
                            raw,
                            explained,
                        };
                        *known = (seq, view);
                    }
                }
                Capture::Report(report) => match report["kind"].as_str() {
                    Some("reference") => {
                        refer(references.entry(origin(report)).or_default(), &report["values"]);
                    }
                    Some("observed") => observe(documents.entry(origin(report)).or_default(), report),
                    _ => {
                        let name = report["name"].as_str().unwrap_or_default().to_owned();
                        seen.expected.insert(name, report["value"].as_f64().unwrap_or(f64::NAN));
                    }
                },
            }
        }
        seen.ours = views.into_values().map(|(_, view)| view).collect();
        seen.reference = references.into_values().flatten().map(|(_, view)| view).collect();
        seen.documents = documents.into_values().collect();
        seen
    }
}

/// When a report was sent, by the page's clock; 0 where the order does not matter.
fn said_at(capture: &Capture) -> f64 {
    match capture {
        Capture::Report(report) => report["now"].as_f64().unwrap_or(0.0),
        Capture::Beacon(..) => 0.0,
    }
}

/// The document that a report is of, by its time origin in microseconds.
fn origin(report: &Value) -> u64 {
    (report["origin"].as_f64().unwrap_or(0.0) * 1_000.0) as u64
}

fn refer(views: &mut Vec<(String, View)>, values: &Value) {
    for value in values.as_array().into_iter().flatten() {
        let nav = value["navigationType"].as_str().unwrap_or_default();
        let metric = value["name"].as_str().and_then(Metric::from_name).expect("a metric's name");
        let number = value["value"].as_f64().expect("a number");
        // A restore has no id of its own, but every metric of it has a new one; one restore a run will do.
        let key = if nav == "soft-navigation" {
            format!("{nav} {}", value["navigationId"])
        } else {
            nav.to_owned()
        };
        let place = views.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            views.push((key, View { nav: nav.to_owned(), ..View::default() }));
            views.len() - 1
        });
        views[place].1.values.insert(metric.name(), number);
    }
}

fn observe(document: &mut Document, report: &Value) {
    let list = |field: &str| report[field].as_array().cloned().unwrap_or_default();
    document.entries.extend(list("entries").into_iter().map(Entry));
    document.life.extend(list("life").iter().map(|moment| Moment {
        what: moment["what"].as_str().unwrap_or_default().to_owned(),
        at: moment["at"].as_f64().unwrap_or(0.0),
        hidden: moment["hidden"] == true,
        persisted: moment["persisted"] == true,
    }));
    document.supported =
        list("supported").iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if document.navigation.is_none() {
        document.navigation_type = report["navigation"]["type"].as_str().unwrap_or_default().to_owned();
    }
    document.navigation = Some(Entry(report["navigation"].clone()));
    document.interactions = report["interactionCount"].as_f64();
    document.now = report["now"].as_f64().unwrap_or(0.0);
}
