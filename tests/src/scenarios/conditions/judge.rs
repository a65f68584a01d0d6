//! Compares the views of a condition's page with the correct values.

use super::{By, Condition, Run};
use crate::engines::Engine;
use crate::eventually_within;
use crate::scenarios::lab::{Capture, RESTRICTED};
use crate::scenarios::list::knows;
use crate::scenarios::verdict::{self, Must};
use crate::server::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use vitals::beacon::{Beacon, Content, DROPPED_URL, decode};
use vitals::metric::Metric;
use vitals::snapshot::Snapshot;
use vitals::view::{NavigationType, ViewId};

/// Timeout until acknowledged views are in the store.
const STORE_PATIENCE: Duration = Duration::from_secs(15);

/// A view with the data of its last beacon.
pub struct StoredView {
    /// The page view.
    pub snapshot: Snapshot,
    /// Its URL.
    pub url: String,
    /// Its route.
    pub route: Option<String>,
    /// Whether the server measured the view from raw entries.
    pub is_raw: bool,
}

/// The beacons of a condition's pages, with their results.
#[derive(Default)]
pub struct Stored {
    /// Every accepted beacon, in order of sending.
    pub beacons: Vec<Beacon>,
    /// The views, by start.
    pub views: Vec<StoredView>,
    /// Refused or unreadable beacons: the answer's status and the body.
    pub refused: Vec<String>,
    /// Errors and console messages that reached the page.
    pub reached: Vec<String>,
}

/// One line of the table: a value with and without the condition.
#[derive(Clone, Debug)]
pub struct Line {
    /// The condition.
    pub condition: &'static str,
    /// The engine.
    pub engine: Engine,
    /// The view's number, its navigation type, and `(raw)` if the server measured it.
    pub view: String,
    /// The metric.
    pub metric: &'static str,
    /// The value of the plain page.
    pub without: Option<f64>,
    /// The value with the condition.
    pub with: Option<f64>,
    /// The correct value or range.
    pub must: String,
    /// Whether the value is correct.
    pub is_right: bool,
}

impl Stored {
    /// Decodes the captures.
    #[must_use]
    pub fn of(captures: &[Capture]) -> Self {
        let mut stored = Self::default();
        let mut views: BTreeMap<ViewId, (u32, StoredView)> = BTreeMap::new();
        for capture in captures {
            match capture {
                Capture::Report(report) => {
                    let text = || report["value"].to_string();
                    match report["name"].as_str() {
                        Some("thrown") => stored.reached.push(format!("an error: {}", text())),
                        // Other console messages of the page's libraries are allowed.
                        Some("console")
                            if text().contains("fieldvitals")
                                || text().contains("/v.js")
                                || text().contains("/c/collector")
                                || text().contains("127.0.0.1") =>
                        {
                            stored.reached.push(format!("in the console: {}", text()));
                        }
                        _ => {}
                    }
                }
                Capture::Beacon(body, status) => {
                    let text = String::from_utf8_lossy(body);
                    let beacon = match decode(body) {
                        Ok(beacon) if (200..300).contains(status) => beacon,
                        Ok(_) => {
                            stored.refused.push(format!("{status} to {text}"));
                            continue;
                        }
                        Err(error) => {
                            stored.refused.push(format!("{status}, and {error} in {text}"));
                            continue;
                        }
                    };
                    stored.beacons.push(beacon.clone());
                    let is_raw = matches!(beacon.content, Content::Raw(_));
                    let (seq, url, route) = (beacon.seq, beacon.url.clone(), beacon.route.clone());
                    for snapshot in beacon.snapshots() {
                        if views.get(&snapshot.id).is_some_and(|(known, _)| *known > seq) {
                            continue;
                        }
                        let url = snapshot.url.clone().unwrap_or_else(|| url.clone());
                        let route = snapshot.route.clone().or_else(|| {
                            // The beacon's route belongs to the document's first view, which has no URL of its own.
                            snapshot.url.is_none().then(|| route.clone()).flatten()
                        });
                        if url != DROPPED_URL {
                            views.insert(snapshot.id, (seq, StoredView { snapshot, url, route, is_raw }));
                        }
                    }
                }
            }
        }
        stored.views = views.into_values().map(|(_, view)| view).collect();
        stored
    }

    /// Returns a value of a view.
    #[must_use]
    pub fn value(&self, view: usize, metric: &str) -> Option<f64> {
        let metric = Metric::from_name(metric)?;
        Some(self.views.get(view)?.snapshot.values.get(metric)?.number(metric))
    }
}

/// Returns a URL without query and fragment.
fn path(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Compares a condition's views with the correct ones; returns the table's lines and the errors.
#[must_use]
pub fn judge(
    condition: &'static Condition,
    engine: Engine,
    run: &Run,
    stored: &Stored,
    plain: Option<&Stored>,
) -> (Vec<Line>, Vec<String>) {
    let mut wrong: Vec<String> = run.failed.iter().cloned().collect();
    wrong.extend(stored.refused.iter().map(|refused| format!("the server answered {refused}")));
    wrong.extend(stored.reached.iter().map(|reached| format!("reached the page: {reached}")));
    let mut lines = Vec::new();
    if stored.views.is_empty() && (condition.may_be_absent || condition.views.is_empty()) {
        return (lines, wrong);
    }
    let is_by = |view: &StoredView| match condition.by {
        By::Module => !view.is_raw,
        By::Server => view.is_raw,
        By::Either => true,
    };
    if !stored.views.iter().all(is_by) {
        wrong.push(format!("{:?} must measure, and did not", condition.by));
    }
    if stored.views.len() != condition.views.len() {
        let urls: Vec<&str> = stored.views.iter().map(|view| path(&view.url)).collect();
        wrong.push(format!("{} views, and {} are right: {urls:?}", urls.len(), condition.views.len()));
    }
    for (place, right) in condition.views.iter().enumerate() {
        let view = stored.views.get(place);
        let nav =
            view.map_or("none", |view| view.snapshot.navigation_type.map_or("unknown", NavigationType::name));
        if let Some(view) = view {
            if !path(&view.url).ends_with(right.at) {
                wrong.push(format!("view {} is of {}, {} is right", place + 1, view.url, right.at));
            }
            if right.nav.is_some_and(|right| right != nav) {
                wrong.push(format!("view {} is a {nav}", place + 1));
            }
            let route = view.route.as_deref();
            if right.route.is_some_and(|right| !route.is_some_and(|route| route.ends_with(right))) {
                wrong.push(format!("view {} has the route {route:?}, {:?} is right", place + 1, right.route));
            }
        }
        for (metric, must) in right.values {
            let must = if knows(engine, metric) { must.clone() } else { Must::BeAbsent };
            let with = stored.value(place, metric);
            let gap = view.and_then(|view| view.snapshot.tti_gap);
            let (must, is_right) = verdict::check(&must, with, gap);
            let is_empty = with.is_none() && is_right;
            if !is_right {
                let with = with.map_or_else(|| "absent".to_owned(), verdict::number);
                wrong.push(format!("{metric} of view {} is {with}; right: {must}", place + 1));
            }
            let by = if view.is_some_and(|view| view.is_raw) { " (raw)" } else { "" };
            if !is_empty {
                lines.push(Line {
                    condition: condition.name,
                    engine,
                    view: format!("{} {nav}{by}", place + 1),
                    metric,
                    without: plain.filter(|_| place == 0).and_then(|plain| plain.value(0, metric)),
                    with,
                    must,
                    is_right,
                });
            }
        }
    }
    if let Err(why) = (condition.also)(stored) {
        wrong.push(why);
    }
    (lines, wrong)
}

/// Waits until the store has the acknowledged views of these folders; returns the differences on timeout.
pub async fn compare(server: &Server, runs: &[(&Condition, &Run, &Stored)]) -> Vec<Option<String>> {
    let mut all = vec![None; runs.len()];
    let judged = |pages: &[Value], (condition, run, stored): &(&Condition, &Run, &Stored)| {
        let folder = format!("/r/{}/", run.name);
        let of = pages
            .iter()
            .filter(|page| page["route"].as_str().is_some_and(|route| format!("{route}/").contains(&folder)));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for page in of {
            *counts.entry("views").or_default() += page["views"].as_u64().unwrap_or(0);
            for metric in Metric::ALL.map(Metric::name) {
                *counts.entry(metric).or_default() += page["metrics"][metric]["n"].as_u64().unwrap_or(0);
            }
        }
        let sent = |what: &str| match Metric::from_name(what) {
            Some(metric) => {
                stored.views.iter().filter(|view| view.snapshot.values.get(metric).is_some()).count()
            }
            None => stored.views.len(),
        };
        let names = std::iter::once("views").chain(Metric::ALL.map(Metric::name));
        let differing: Vec<String> = names
            .filter_map(|what| {
                let (has, sent) = (counts.get(what).copied().unwrap_or(0), sent(what) as u64);
                (has != sent).then(|| format!("{has} {what}, and {sent} were sent"))
            })
            .collect();
        // The route of a `file:` page is only its file name, which other runs share.
        let is_file = stored.beacons.iter().any(|beacon| beacon.url.starts_with("file:"));
        let is_there = || pages.iter().any(|page| page["route"] == "/page.html");
        let is_right = differing.is_empty() || condition.may_be_filtered || (is_file && is_there());
        if is_right { None } else { Some(format!("the store has {}", differing.join(", "))) }
    };
    let waited = tokio::time::timeout(STORE_PATIENCE, async {
        loop {
            let pages = pages(server).await;
            all = runs.iter().map(|run| judged(&pages, run)).collect();
            if all.iter().all(Option::is_none) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    // Ignores a timeout: the differences are the result.
    let _ = waited.await;
    all
}

/// Returns all pages that the server reports.
async fn pages(server: &Server) -> Vec<Value> {
    let mut pages = Vec::new();
    for site in ["default", RESTRICTED] {
        let mut cursor = Some(String::new());
        while let Some(place) = cursor {
            let question = format!("sites/{site}/pages?period=24h&min_n=1&limit=500{place}");
            let answer = eventually_within(STORE_PATIENCE, || server.get(&question)).await;
            pages.extend(answer["pages"].as_array().cloned().unwrap_or_default());
            cursor = answer["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
        }
    }
    pages
}

/// Formats the lines as a table.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), verdict::number);
    let mut text = format!(
        "{:<28} {:<9} {:<28} {:<6} {:>9} {:>9} {:<18}\n",
        "condition", "engine", "view", "metric", "without", "with", "right"
    );
    for line in lines {
        text += &format!(
            "{:<28} {:<9} {:<28} {:<6} {:>9} {:>9} {:<18}{}\n",
            line.condition,
            line.engine.name(),
            line.view,
            line.metric,
            cell(line.without),
            cell(line.with),
            line.must,
            if line.is_right { "" } else { " WRONG" }
        );
    }
    text
}

impl Line {
    /// Returns the line as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "condition": self.condition, "engine": self.engine.name(), "view": self.view, "metric": self.metric,
            "without": self.without, "with": self.with, "right": self.must, "is_right": self.is_right,
        })
    }
}
