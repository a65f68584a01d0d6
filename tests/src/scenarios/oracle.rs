//! Computes the truth from the observer's raw entries, by the metrics' definitions. It shares no code with the
//! collector. It is written for readability: it may be slow, and it has all entries before it starts.

use super::seen::{Document, Entry, Moment, View};
use std::collections::BTreeMap;

const WINDOW_MS: f64 = 5_000.0;
/// INP of a later view whose interactions are all too short for the browser to report: the unit of durations.
const SHORT_INTERACTION_MS: f64 = 8.0;

/// Returns the page views of a document.
#[must_use]
pub fn views(document: &Document) -> Vec<View> {
    let navigation = document.navigation.as_ref();
    let activation = navigation.map_or(0.0, |entry| entry.number("activationStart"));
    let mut starts = vec![(activation, load_type(&document.navigation_type, activation), "load")];
    for moment in &document.life {
        if moment.what == "pageshow" && moment.persisted {
            starts.push((moment.at, "back-forward-cache".to_owned(), "restore"));
        }
        if moment.what == "soft" {
            starts.push((moment.at, "soft-navigation".to_owned(), "soft"));
        }
    }
    (0..starts.len())
        .map(|place| {
            let (start, nav, cause) = starts[place].clone();
            let end = starts.get(place + 1).map_or(f64::INFINITY, |next| next.0);
            View { nav, values: values(document, cause, start, end), ..View::default() }
        })
        .collect()
}

fn load_type(kind: &str, activation: f64) -> String {
    if activation > 0.0 || kind == "prerender" { "prerender".to_owned() } else { kind.replace('_', "-") }
}

fn values(document: &Document, cause: &str, start: f64, end: f64) -> BTreeMap<&'static str, f64> {
    let hidden = first_hidden(document, start, end);
    let of = |kind: &'static str| document.entries.iter().filter(move |entry| entry.kind() == kind);
    let knows = |kind: &str| document.supported.iter().any(|name| name == kind);
    let inside = |entry: &&Entry| (start..end).contains(&entry.number("startTime"));
    let since = |at: f64| (at - start).max(0.0);
    let mut found = BTreeMap::new();
    let mut tell = |metric: &'static str, value: Option<f64>| {
        if let Some(value) = value {
            found.insert(metric, value);
        }
    };

    let seen = |at: &f64| at.max(start) < hidden;
    let frame = || {
        let frames = document.life.iter().filter(|moment| moment.what == "frame");
        frames.map(|moment| moment.at).find(|at| (start..end).contains(at)).filter(seen).map(since)
    };
    let starts = |kind| of(kind).map(|entry| entry.number("startTime"));
    let fcp = match cause {
        "load" => of("paint")
            .find(|entry| entry.text("name") == "first-contentful-paint")
            .map(|entry| entry.number("startTime"))
            .filter(seen)
            .map(since),
        "restore" => frame(),
        _ => soft(document, start, "soft-navigation").first().copied(),
    };
    tell("FCP", fcp);
    tell(
        "LCP",
        match cause {
            "load" => starts("largest-contentful-paint").rfind(seen).map(since),
            "restore" if knows("largest-contentful-paint") => frame(),
            "restore" => None,
            _ => soft(document, start, "interaction-contentful-paint").last().copied(),
        },
    );
    tell(
        "TTFB",
        match cause {
            "load" => navigation_response(document).map(since),
            "restore" => Some(0.0),
            _ => None,
        },
    );
    if knows("layout-shift") && (fcp.is_some() || cause == "soft") {
        let shifts = of("layout-shift").filter(inside).filter(|entry| entry.0["hadRecentInput"] == false);
        let shifts = shifts.map(|entry| (entry.number("startTime"), entry.number("value"))).collect();
        tell("CLS", Some(cls(shifts)));
    }
    let count = if cause == "load" && end == f64::INFINITY { document.interactions } else { None };
    let measured = inp(document.entries.iter().filter(inside), count);
    let input =
        document.life.iter().any(|moment| moment.what == "input" && (start..end).contains(&moment.at));
    // Browsers report the first input of a document regardless of its duration, but in later views no interaction below
    // the threshold.
    let short = (cause != "load" && input && knows("event")).then_some(SHORT_INTERACTION_MS);
    tell("INP", measured.or(short));
    if cause == "load" {
        let first = of("first-input").find(|entry| entry.number("startTime") < end.min(hidden));
        tell("FID", first.map(|entry| entry.number("processingStart") - entry.number("startTime")));
        if knows("longtask")
            && let Some(fcp) = fcp
        {
            tell("TTI", tti(document, start + fcp, hidden.min(end).min(document.now)).map(since));
        }
    }
    found
}

/// Returns the paints of the soft navigation that the page began at this time, in milliseconds since the causing
/// interaction.
fn soft(document: &Document, at: f64, kind: &str) -> Vec<f64> {
    let of = |kind: &str| document.entries.iter().filter(|entry| entry.kind() == kind).collect::<Vec<_>>();
    let navigations = of("soft-navigation");
    let Some(navigation) = navigations.iter().rfind(|entry| entry.number("startTime") <= at) else {
        return Vec::new();
    };
    let caused = |entry: &&Entry| entry.number("interactionId") == navigation.number("interactionId");
    let painted = |entry: &Entry| entry.number("presentationTime").max(entry.number("paintTime"));
    of(kind).into_iter().filter(caused).map(|entry| painted(entry) - navigation.number("startTime")).collect()
}

/// Returns the start of the response. Returns `None` for 0, which a browser reports if it hides the time or its clock
/// is too coarse.
fn navigation_response(document: &Document) -> Option<f64> {
    document.navigation.as_ref().map(|entry| entry.number("responseStart")).filter(|&at| at > 0.0)
}

/// Returns the time at which the page was first hidden in a view, or infinity. Returns 0 for a document hidden from the
/// start.
fn first_hidden(document: &Document, start: f64, end: f64) -> f64 {
    let told = |moment: &&Moment| matches!(moment.what.as_str(), "visibility" | "pagehide");
    let life = document.life.iter().filter(told).filter(|moment| moment.hidden || moment.what == "pagehide");
    let states = document.entries.iter().filter(|entry| entry.kind() == "visibility-state");
    let states = states.filter(|entry| entry.text("name") == "hidden").map(|entry| entry.number("startTime"));
    let first = document.life.first().filter(|moment| moment.hidden && start == 0.0).map(|_| 0.0);
    let all = life.map(|moment| moment.at).chain(states).chain(first);
    all.filter(|at| (start..end).contains(at)).fold(f64::INFINITY, f64::min)
}

/// Returns the largest session window: shifts less than 1 s apart, less than 5 s in all.
fn cls(mut shifts: Vec<(f64, f64)>) -> f64 {
    shifts.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut largest = 0.0_f64;
    let (mut sum, mut first, mut last) = (0.0, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (at, score) in shifts {
        if at - last >= 1_000.0 || at - first >= WINDOW_MS {
            (sum, first) = (0.0, at);
        }
        sum += score;
        last = at;
        largest = largest.max(sum);
    }
    largest
}

/// Returns the longest interaction after the exclusion of one in fifty. `count` is the browser's own count.
fn inp<'a>(entries: impl Iterator<Item = &'a Entry>, count: Option<f64>) -> Option<f64> {
    let mut longest: BTreeMap<u64, f64> = BTreeMap::new();
    for entry in entries {
        // Collectors do not request shorter entries, except the first input.
        let asked = entry.kind() == "event" && entry.number("duration") >= 40.0;
        let id = entry.number("interactionId") as u64;
        if id > 0 && (asked || entry.kind() == "first-input") {
            let known = longest.entry(id).or_default();
            *known = known.max(entry.number("duration"));
        }
    }
    let (first, last) = (*longest.keys().next()?, *longest.keys().last()?);
    let count = count.unwrap_or((last - first) as f64 / 7.0 + 1.0).max(longest.len() as f64);
    let mut durations: Vec<f64> = longest.into_values().collect();
    durations.sort_by(|one, other| other.total_cmp(one));
    let outliers = (count / 50.0) as usize;
    durations.get(outliers.min(durations.len() - 1)).copied()
}

/// Computes TTI by Lighthouse's definition. Finds the first period of 5 s without long tasks and with at most two
/// requests in flight. TTI is the end of the last long task before that period, but no earlier than FCP and
/// DOMContentLoaded.
fn tti(document: &Document, fcp: f64, horizon: f64) -> Option<f64> {
    let tasks = document
        .entries
        .iter()
        .filter(|entry| entry.kind() == "longtask" && entry.number("duration") >= 50.0);
    let tasks: Vec<(f64, f64)> = tasks
        .map(|entry| (entry.number("startTime"), entry.number("startTime") + entry.number("duration")))
        .collect();
    let navigation = document.navigation.as_ref()?;
    let mut requests: Vec<(f64, f64)> = vec![(0.0, navigation.number("responseEnd"))];
    for entry in document.entries.iter().filter(|entry| entry.kind() == "resource") {
        if entry.number("responseStatus") < 400.0 && entry.text("initiatorType") != "beacon" {
            requests.push((entry.number("startTime"), entry.number("responseEnd")));
        }
    }
    // Times at which a task or a request begins or ends; nothing changes between two of them.
    let mut marks: Vec<f64> = tasks.iter().chain(&requests).flat_map(|&(start, end)| [start, end]).collect();
    marks.extend([fcp, horizon]);
    marks.retain(|mark| (fcp..=horizon).contains(mark));
    marks.sort_by(f64::total_cmp);
    let busy = |list: &[(f64, f64)], from: f64, to: f64| {
        list.iter().filter(|&&(start, end)| start < to && end > from).count()
    };
    let mut free_since = None;
    for pair in marks.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        if busy(&tasks, from, to) > 0 || busy(&requests, from, to) > 2 {
            free_since = None;
            continue;
        }
        let since = *free_since.get_or_insert(from);
        if to - since >= WINDOW_MS {
            let task = tasks.iter().filter(|&&(start, _)| start < since.max(fcp)).map(|&(_, end)| end);
            let last_task = task.fold(0.0, f64::max);
            return Some(last_task.max(fcp).max(navigation.number("domContentLoadedEventEnd")));
        }
    }
    None
}
