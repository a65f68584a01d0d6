//! Measures the main-thread cost of scripts by Chromium's trace.

use crate::browser::Browser;
use crate::eventually;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Traced categories: tasks, scripts and events, microtasks, wasm.
const CATEGORIES: &str = "toplevel,devtools.timeline,v8.execute,v8.wasm,disabled-by-default-v8.wasm.detailed";

/// Capabilities of a tracing Chromium. The driver buffers the events until [`Trace::take`].
#[must_use]
pub fn capabilities() -> Map<String, Value> {
    let preferences = json!({"enableNetwork": false, "enablePage": false, "traceCategories": CATEGORIES});
    let mut more = Map::new();
    more.insert("goog:loggingPrefs".to_owned(), json!({"performance": "ALL"}));
    more.insert("goog:chromeOptions".to_owned(), json!({"perfLoggingPrefs": preferences}));
    more
}

/// The main-thread activity of one page, ordered by start.
#[derive(Debug)]
pub struct Trace {
    spans: Vec<Span>,
}

/// A traced activity. Spans nest, and do not overlap otherwise.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    /// URL of the script, if the browser reports it.
    script: String,
    /// Type of the event, for event spans.
    event: String,
    start: Duration,
    /// Wall time.
    long: Duration,
    /// CPU time of the thread.
    cpu: Duration,
}

/// The cost of one owner's scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// CPU time on the main thread. CPU time excludes the work of other programs.
    pub total: Duration,
    /// Largest share of a single task, in CPU time.
    pub longest_task: Duration,
    /// CPU time in `visibilitychange` and `pagehide` events.
    pub hiding: Duration,
}

impl Trace {
    /// Returns the activity of the page with this URL. The page must have been left.
    ///
    /// # Panics
    /// If the browser does not trace, did not open the page, or the page does not end.
    pub async fn take(browser: &Browser, url: &str) -> Self {
        // The driver returns only the events received so far, so this polls for the rest.
        let events = Mutex::new(Vec::new());
        eventually(|| async {
            let log = browser.log("performance").await;
            let messages = log.iter().filter_map(|entry| entry["message"].as_str());
            let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
            events.extend(
                messages
                    .filter_map(|message| serde_json::from_str::<Value>(message).ok())
                    .map(|mut event| event["message"].take())
                    .filter(|event| event["method"] == "Tracing.dataCollected")
                    .map(|mut event| event["params"].take()),
            );
            let ended = commit(&events, url).is_some_and(|commit| {
                let of_page = |event: &&Value| {
                    is_after(event, commit) && event["args"]["data"]["type"] == "visibilitychange"
                };
                events.iter().any(|event| of_page(&event))
            });
            if ended { Ok(()) } else { Err(format!("{} events, and not the end of {url}", events.len())) }
        })
        .await;
        let events = events.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self::of(&events, url)
    }

    fn of(events: &[Value], url: &str) -> Self {
        let commit = commit(events, url);
        let commit =
            commit.unwrap_or_else(|| panic!("the trace of {} events has no load of {url}", events.len()));
        let micros = |value: &Value| Duration::from_secs_f64(value.as_f64().unwrap_or(0.0).max(0.0) / 1e6);
        let mut spans: Vec<Span> = events
            .iter()
            .filter(|event| event["ph"] == "X" && is_after(event, commit))
            .map(|event| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let data = &event["args"]["data"];
                Span {
                    name: text(&event["name"]),
                    script: text(&data["url"]),
                    event: text(&data["type"]),
                    start: micros(&event["ts"]),
                    long: micros(&event["dur"]),
                    cpu: micros(&event["tdur"]),
                }
            })
            .collect();
        // Parents first: a parent starts earlier, or at the same time and lasts longer.
        spans.sort_by(|one, other| one.start.cmp(&other.start).then(other.long.cmp(&one.long)));
        Self { spans }
    }

    /// Returns the cost of the scripts with an owned URL. Spans without a URL (microtasks, wasm) belong to the
    /// enclosing script. Without an enclosing script they belong to the owner, because the page itself has no such
    /// spans.
    #[must_use]
    pub fn cost(&self, owns: impl Fn(&str) -> bool) -> Cost {
        // The open spans, each with its owner flag and the CPU time of its children.
        let mut open: Vec<(&Span, bool, Duration)> = Vec::new();
        let mut cost = Cost::default();
        let mut tasks: HashMap<Duration, Duration> = HashMap::new();
        let mut close = |open: &mut Vec<(&Span, bool, Duration)>| {
            let Some((span, owned, children)) = open.pop() else { return };
            if let Some((_, _, children)) = open.last_mut() {
                *children += span.cpu;
            }
            if owned {
                let cpu = span.cpu.saturating_sub(children);
                cost.total += cpu;
                if open
                    .iter()
                    .any(|(span, ..)| matches!(span.event.as_str(), "visibilitychange" | "pagehide"))
                {
                    cost.hiding += cpu;
                }
                let task = open.first().map_or(span.start, |(task, ..)| task.start);
                *tasks.entry(task).or_default() += cpu;
            }
        };
        for span in &self.spans {
            while open.last().is_some_and(|(outer, ..)| outer.start + outer.long <= span.start) {
                close(&mut open);
            }
            let inherited =
                open.iter().rev().find(|(outer, ..)| is_script(outer)).map(|&(_, owned, ..)| owned);
            let owned = is_script(span)
                && if span.script.is_empty() { inherited.unwrap_or(true) } else { owns(&span.script) };
            // Browser work inside a script (style, layout) belongs to the script.
            let owned = owned || (!is_script(span) && inherited.unwrap_or(false));
            open.push((span, owned, Duration::ZERO));
        }
        while !open.is_empty() {
            close(&mut open);
        }
        cost.longest_task = tasks.into_values().max().unwrap_or_default();
        cost
    }
}

/// Returns the event of the page's start.
fn commit<'a>(events: &'a [Value], url: &str) -> Option<&'a Value> {
    events.iter().find(|event| event["name"] == "CommitLoad" && event["args"]["data"]["url"] == url)
}

/// Returns whether an event is of the same thread as another, and not earlier.
fn is_after(event: &Value, other: &Value) -> bool {
    event["pid"] == other["pid"]
        && event["tid"] == other["tid"]
        && event["ts"].as_f64() >= other["ts"].as_f64()
}

/// Returns whether a span runs, compiles or loads a script or wasm.
fn is_script(span: &Span) -> bool {
    matches!(
        span.name.as_str(),
        "EvaluateScript"
            | "FunctionCall"
            | "RunMicrotasks"
            | "v8.compile"
            | "v8.compileModule"
            | "v8.evaluateModule"
    ) || span.name.starts_with("wasm.")
        || span.name.starts_with("v8.wasm.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, ts: u64, dur: u64, data: &Value) -> Value {
        json!({"name": name, "ph": "X", "pid": 1, "tid": 1, "ts": ts, "dur": dur, "tdur": dur, "args": {"data": data}})
    }

    #[test]
    fn time_is_of_whom_it_ran_for() {
        let none = json!({});
        let ours = json!({"url": "http://x/v.js"});
        let page = json!({"url": "http://x/page.html"});
        let events = [
            // Activity of the previous page.
            event("FunctionCall", 500, 200, &ours),
            event("CommitLoad", 1_000, 10, &page),
            event("ThreadControllerImpl::RunTask", 2_000, 900, &none),
            event("EvaluateScript", 2_100, 300, &ours),
            // Microtasks inside a script count once.
            event("RunMicrotasks", 2_200, 100, &none),
            event("EvaluateScript", 2_500, 300, &page),
            event("RunMicrotasks", 2_600, 100, &none),
            event("ThreadControllerImpl::RunTask", 3_000, 500, &none),
            event("EventDispatch", 3_000, 500, &json!({"type": "pagehide"})),
            event("FunctionCall", 3_100, 200, &ours),
            event("UpdateLayoutTree", 3_150, 50, &none),
            // Microtasks outside a script count for the owner.
            event("RunMicrotasks", 3_400, 50, &none),
        ];
        let mut elsewhere = event("FunctionCall", 2_000, 700, &ours);
        elsewhere["tid"] = json!(2);
        let events: Vec<Value> = events.into_iter().chain([elsewhere]).collect();
        let cost = Trace::of(&events, "http://x/page.html").cost(|script| script.ends_with("v.js"));
        let micros = Duration::from_micros;
        assert_eq!(cost, Cost { total: micros(550), longest_task: micros(300), hiding: micros(250) });
    }
}
