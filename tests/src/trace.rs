//! What scripts cost a page: Chromium's own trace of its main thread.

use crate::browser::Browser;
use crate::eventually;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is traced: tasks, scripts and events, microtasks, wasm.
const CATEGORIES: &str = "toplevel,devtools.timeline,v8.execute,v8.wasm,disabled-by-default-v8.wasm.detailed";

/// The capabilities of a Chromium that traces; the driver keeps the events until [`Trace::take`].
#[must_use]
pub fn capabilities() -> Map<String, Value> {
    let preferences = json!({"enableNetwork": false, "enablePage": false, "traceCategories": CATEGORIES});
    let mut more = Map::new();
    more.insert("goog:loggingPrefs".to_owned(), json!({"performance": "ALL"}));
    more.insert("goog:chromeOptions".to_owned(), json!({"perfLoggingPrefs": preferences}));
    more
}

/// What ran in one page on the main thread, in the order of beginning.
#[derive(Debug)]
pub struct Trace {
    spans: Vec<Span>,
}

/// Something that took time. Spans nest and never overlap otherwise.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    /// The script that it ran, where the browser tells.
    script: String,
    /// Of an event its type.
    event: String,
    start: Duration,
    /// By the wall.
    long: Duration,
    /// By the thread's own clock.
    cpu: Duration,
}

/// What scripts of one owner cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Time on the main thread, by the thread's own clock: what other programs did meanwhile is not in it.
    pub total: Duration,
    /// The most that it had of one task, by the same clock.
    pub longest_task: Duration,
    /// Its listeners while the page was being hidden or left, by the same clock.
    pub hiding: Duration,
}

impl Trace {
    /// What ran in the page of this URL, which has been left.
    ///
    /// # Panics
    /// Where the browser does not trace, or did not open the page, or the page does not end.
    pub async fn take(browser: &Browser, url: &str) -> Self {
        // The driver hands over what it has been told by then; the rest comes with the next question.
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
        // What contains another came first, and is longer where both came at once.
        spans.sort_by(|one, other| one.start.cmp(&other.start).then(other.long.cmp(&one.long)));
        Self { spans }
    }

    /// What the scripts cost whose URL is said to be their owner's. What has no URL (microtasks, wasm) is of whom
    /// it ran for, and where it ran for nobody, of the owner too: the page itself is built to have no such thing.
    #[must_use]
    pub fn cost(&self, owns: impl Fn(&str) -> bool) -> Cost {
        // The open spans, with what their children took and whether they are the owner's.
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
            // What a script makes the browser do (a style, a layout) is the script's.
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

/// The beginning of the page of this URL.
fn commit<'a>(events: &'a [Value], url: &str) -> Option<&'a Value> {
    events.iter().find(|event| event["name"] == "CommitLoad" && event["args"]["data"]["url"] == url)
}

/// Whether an event is of the same thread as another, and not before it.
fn is_after(event: &Value, other: &Value) -> bool {
    event["pid"] == other["pid"]
        && event["tid"] == other["tid"]
        && event["ts"].as_f64() >= other["ts"].as_f64()
}

/// Whether a span runs, compiles or loads a script or wasm.
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
            // The page before.
            event("FunctionCall", 500, 200, &ours),
            event("CommitLoad", 1_000, 10, &page),
            event("ThreadControllerImpl::RunTask", 2_000, 900, &none),
            event("EvaluateScript", 2_100, 300, &ours),
            // Its own microtasks are in it once.
            event("RunMicrotasks", 2_200, 100, &none),
            event("EvaluateScript", 2_500, 300, &page),
            event("RunMicrotasks", 2_600, 100, &none),
            event("ThreadControllerImpl::RunTask", 3_000, 500, &none),
            event("EventDispatch", 3_000, 500, &json!({"type": "pagehide"})),
            event("FunctionCall", 3_100, 200, &ours),
            event("UpdateLayoutTree", 3_150, 50, &none),
            // Nobody's: the owner's.
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
