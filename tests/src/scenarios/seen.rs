//! The results of a scenario's run: the collector's page views, the reference's, and the observer's record.

use super::lab::Capture;
use serde_json::Value;
use std::collections::BTreeMap;
use vitals::beacon::{Content, decode};
use vitals::metric::Metric;
use vitals::view::{NavigationType, TtiGap, ViewId};

/// A page view as reported by one side.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Navigation type, by its name.
    pub nav: String,
    /// Values by metric.
    pub values: BTreeMap<&'static str, f64>,
    /// Reason of a missing TTI, if reported.
    pub tti_gap: Option<TtiGap>,
    /// The URL, if it differs from the document's.
    pub url: Option<String>,
    /// Whether the server measured the view from a raw queue.
    pub raw: bool,
    /// Metrics of the collector with an attribution.
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

    /// Returns a number field, or 0 if missing.
    #[must_use]
    pub fn number(&self, field: &str) -> f64 {
        self.0[field].as_f64().unwrap_or(0.0)
    }

    /// Returns a text field, or an empty text if missing.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }
}

/// An event in a page's life.
#[derive(Clone, Debug)]
pub struct Moment {
    /// `start`, `visibility`, `pagehide`, `pageshow`, `frame` (the second frame after a restore), `input`,
    /// `activation`, or a name chosen by the page.
    pub what: String,
    /// Time stamp of the event.
    pub at: f64,
    /// Whether the page was hidden at that time.
    pub hidden: bool,
    /// For `pageshow`: whether the page came from the back-forward cache.
    pub persisted: bool,
}

/// One document as the observer recorded it.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// All entries, in order of reporting.
    pub entries: Vec<Entry>,
    /// The events of the page's life, in order.
    pub life: Vec<Moment>,
    /// The navigation entry as last read.
    pub navigation: Option<Entry>,
    /// The navigation entry's type as first read. Firefox overwrites it when a page is restored.
    pub navigation_type: String,
    /// The entry types that the browser supports.
    pub supported: Vec<String>,
    /// `performance.interactionCount`, if the browser has it.
    pub interactions: Option<f64>,
    /// Time of the last report.
    pub now: f64,
}

/// The results of a run.
#[derive(Debug, Default)]
pub struct Seen {
    /// The collector's page views, by start.
    pub ours: Vec<View>,
    /// The reference's page views, by document and order of reporting.
    pub reference: Vec<View>,
    /// The observer's documents, by start.
    pub documents: Vec<Document>,
    /// Values that pages report as expected by construction.
    pub expected: BTreeMap<String, f64>,
    /// Refused beacons of the collector: the answer's status and the body.
    pub refused: Vec<(u16, String)>,
    /// The bodies of the collector's raw beacons.
    pub raw: Vec<Vec<u8>>,
    /// Number of beacons of the collector.
    pub beacons: usize,
}

impl Seen {
    /// Decodes the captures.
    ///
    /// # Panics
    /// If a beacon of the collector does not decode.
    #[must_use]
    pub fn of(captures: &[Capture]) -> Self {
        let mut seen = Self::default();
        let mut views: BTreeMap<ViewId, (u32, View)> = BTreeMap::new();
        let mut references: BTreeMap<u64, Vec<(String, View)>> = BTreeMap::new();
        let mut documents: BTreeMap<u64, Document> = BTreeMap::new();
        // Requests may overtake each other, so this sorts them by the page's clock.
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

/// Returns the time of a report by the page's clock; 0 for beacons, whose order does not matter.
fn said_at(capture: &Capture) -> f64 {
    match capture {
        Capture::Report(report) => report["now"].as_f64().unwrap_or(0.0),
        Capture::Beacon(..) => 0.0,
    }
}

/// Returns the id of a report's document: its time origin in microseconds.
fn origin(report: &Value) -> u64 {
    (report["origin"].as_f64().unwrap_or(0.0) * 1_000.0) as u64
}

fn refer(views: &mut Vec<(String, View)>, values: &Value) {
    for value in values.as_array().into_iter().flatten() {
        let nav = value["navigationType"].as_str().unwrap_or_default();
        let metric = value["name"].as_str().and_then(Metric::from_name).expect("a metric's name");
        let number = value["value"].as_f64().expect("a number");
        // Each metric of a restore has a new id, so restores are not distinguished; one restore a run is enough.
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
