//! Tests the documents of a planted answer.

use super::{html, markdown};
use crate::client::answer::SeriesAnswer;
use crate::client::answer::summary::SummaryAnswer;
use crate::report::Args;
use clap::Parser as _;
use serde_json::{Value, json};

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn args() -> Args {
    Command::try_parse_from(["report", "--token", "t", "--device", "phone"]).unwrap().args
}

fn metric(unit: &str, p75: f64, rating: &str, edges: [f64; 3]) -> Value {
    let [good, poor, last] = edges;
    json!({"unit": unit, "n": 1000, "p50": p75 / 2.0, "p75": p75, "p90": p75 * 1.5, "p95": p75 * 2.0,
        "p75_interval": [p75 * 0.96, p75 * 1.04], "rating": rating, "good": 600, "needs_improvement": 250, "poor": 150,
        "thresholds": [good, poor], "distribution": [
            {"from": 0.0, "to": good / 2.0, "n": 200}, {"from": good / 2.0, "to": good, "n": 400},
            {"from": good, "to": poor, "n": 250}, {"from": poor, "to": last, "n": 100},
            {"from": last, "to": null, "n": 50}]})
}

/// An answer with hostile texts in all places that visitors or sites fill.
fn answer(hostile: &str) -> SummaryAnswer {
    let quality = json!({"core_web_vitals": "fail", "min_n": 100, "field_score": 63.4, "parts": [
        {"metric": "LCP", "n": 1000, "score": 58.2, "weight": 0.5}, {"metric": "CLS", "n": 900, "score": 71.0, "weight": 0.5}]});
    let (lcp, cls) = (
        metric("ms", 3_120.0, "needs-improvement", [2_500.0, 4_000.0, 8_000.0]),
        metric("score", 0.31, "poor", [0.1, 0.25, 0.5]),
    );
    let page = |route: String, views: u64, impact: f64| {
        json!({"route": route, "views": views, "views_estimated": views,
        "impact": {"metric": "LCP", "views": impact, "share": 0.4, "share_at_least": 0.37}, "quality": quality,
        "metrics": {"LCP": lcp, "CLS": cls},
        "previous": {"LCP": {"n": 900, "p75": 2_600.0, "change_percent": 20.0, "verdict": "worse"}}})
    };
    let period = json!({"from": "2026-11-13T00:00:00Z", "to": "2026-11-20T00:00:00Z"});
    let side = |value: f64| json!({"n": 1000, "value": value, "interval": [value * 0.96, value * 1.04]});
    let previous = json!({"period": {"from": "2026-11-06T00:00:00Z", "to": "2026-11-13T00:00:00Z"}, "views": 11_000,
        "metrics": {"LCP": {"unit": "ms", "baseline": side(2_600.0), "current": side(3_120.0), "change": 520.0,
            "change_percent": 20.0, "interval": [410.0, 640.0], "p_value": 0.001, "verdict": "worse"}}});
    let answer = json!({"site": format!("shop{hostile}"), "route": null, "period": period, "views": 12_345, "views_estimated": 123_450,
        "quality": quality, "metrics": {"LCP": lcp, "CLS": cls}, "previous": previous, "min_n": 100, "routes_hidden": 7, "next_cursor": null,
        "pages": [page(format!("/c/{hostile}"), 9_000, 3_330.0), page("/".to_owned(), 3_000, 120.0)],
        "advice": {
            "causes": [{"metric": "LCP", "period": period, "slow": 400, "explained": 300, "parts": [
                {"code": "lcp-render-delay", "name": "render delay", "n": 240, "share": 0.8, "median": 1830.0, "element": format!("#hero{hostile}")},
                {"code": "lcp-ttfb", "name": "time to first byte", "n": 60, "share": 0.2, "median": 1400.0}]}],
            "silent": [{"metric": "INP", "code": "too-few-values", "message": "12 page views with a value; advice needs 100"}],
            "recommendations": [{"code": "lcp-render-delay", "metric": "LCP", "severity": "high",
                "title": "Paint the largest element as soon as it is loaded",
                "evidence": "40.0 % of 1000 page views with LCP are not good. In 240 of 300 slow ones with a known cause (80.0 %), the render delay exceeds its target most: median 1830 ms, target 250 ms.",
                "element": format!("#hero{hostile}"), "resource": format!("https://cdn.example/{hostile}"), "dominated": 240, "named": 200,
                "steps": [{"horizon": "immediate", "text": "Load scripts with `defer` or `async`."}, {"horizon": "long-term", "text": "Render the element on the server."}]}]},
        "missing": [{"code": "too-few-values", "message": "INP: 12 page views with a value; advice needs 100."}]});
    serde_json::from_value(answer).unwrap()
}

/// Four days of LCP, one of them without values, and the first day of a release.
fn series(hostile: &str) -> SeriesAnswer {
    let point = |value: Option<f64>| json!({"n": 9, "value": value, "interval": null, "good": 5, "needs_improvement": 3, "poor": 1});
    let (points, start) =
        ([Some(2_400.0), None, Some(2_900.0), Some(3_300.0)].map(point), json!({"start": "", "end": ""}));
    let series = json!({"site": "shop", "route": null, "step": "day", "timezone": "UTC", "percentile": 75,
        "period": {"from": "2026-11-16T00:00:00Z", "to": "2026-11-20T00:00:00Z"}, "steps": [start, start, start, start],
        "lines": [{"value": null, "views": [12, 0, 12, 12],
            "metrics": {"LCP": {"points": points}, "INP": {"points": [point(None), point(None), point(None), point(None)]}}}],
        "marks": [{"at": "2026-11-18T00:00:00Z", "release": format!("5.1.0{hostile}"), "kind": "first_seen"}]});
    serde_json::from_value(series).unwrap()
}

#[test]
fn markdown_has_every_section() {
    insta::assert_snapshot!(markdown(&answer(""), Some(&series("")), &args()));
}

#[test]
fn html_has_every_section_and_charts() {
    let document = html(&answer(""), Some(&series("")), &args());
    for part in [
        "<!doctype html>",
        "Metrics</h2>",
        "Change since the period before</h2>",
        "<td>+20.0 %</td><td>+410 to +640</td><td>worse</td>",
        "Over time</h2>",
        ">2026-11-16 00:00</text>",
        ">2026-11-20 00:00</text>",
        // The release, after two of four days.
        "<line x1=\"122.0\" x2=\"122.0\" y1=\"8.0\" y2=\"72.0\" class=\"mark\">",
        "Releases: 5.1.0 first seen 2026-11-18.",
        "Worst pages</h2>",
        "Causes</h2>",
        "Recommendations</h2>",
        "What is missing</h2>",
        "<code>defer</code>",
        "p75 3120 ms",
        "aria-label=\"Field score 63 of 100\"",
        "@media print",
        "prefers-color-scheme: dark",
    ] {
        assert!(document.contains(part), "{part}");
    }
    assert_eq!(
        document.matches("<svg").count(),
        1 + 2 * 2 + 1 + 2 + 1,
        "a score, two charts a metric, a trend, pages, causes"
    );
    // The day without values leaves a gap: a point, and a line of two points.
    assert_eq!(
        (document.matches("<circle cx=\"30.5\"").count(), document.matches("<polyline").count()),
        (1, 1)
    );
}

#[test]
fn verdict_names_the_metrics_with_shares_that_agree_with_it() {
    let mut answer = answer("");
    for (good, n, expected) in [
        (749_999, 1_000_000, "Core Web Vitals: fail. Fewer than 75 % of the values are good: LCP 74.9999 %"),
        (700_000, 1_000_000, "Core Web Vitals: fail. Fewer than 75 % of the values are good: LCP 70.0 %"),
    ] {
        if let Some(lcp) = answer.metrics.get_mut("LCP") {
            (lcp.good, lcp.n) = (good, n);
        }
        if let Some(cls) = answer.metrics.get_mut("CLS") {
            (cls.good, cls.n) = (900, 1_000);
        }
        let document = markdown(&answer, None, &args());
        assert!(document.contains(&format!("**{expected}.**")), "{document}");
    }
}

#[test]
fn sample_of_causes_is_stated() {
    let mut answer = answer("");
    let sample = json!({"of": 1_000_000, "share": 0.027, "max": 30_000, "cut": false});
    for slow in answer.advice.iter_mut().flat_map(|advice| &mut advice.causes) {
        slow.sample = Some(serde_json::from_value(sample.clone()).unwrap());
    }
    let stated = "Numbers are of a sample: 2.7 % of about 1000000 page views, spread evenly over the period.";
    assert!(markdown(&answer, None, &args()).contains(stated));
    assert!(html(&answer, None, &args()).contains(&stated.replace(" %", "\u{a0}%")));
}

#[test]
fn hostile_texts_are_texts() {
    let hostile = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>|`*@all\u{202e}\n# x";
    let document = html(&answer(hostile), Some(&series(hostile)), &args());
    let parsed = document.replace("&lt;", "").replace("&gt;", "");
    assert!(!parsed.contains("<script") && !parsed.contains("<img") && !document.contains('\u{202e}'));
    assert_eq!(parsed.matches("</title>").count(), 1);
    let document = markdown(&answer(hostile), Some(&series(hostile)), &args());
    assert!(!document.contains("<script") && !document.contains("\n# x") && !document.contains("@all"));
    let rows = document.lines().filter(|line| line.starts_with("| /c/"));
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 9, "{row}");
    }
}

#[test]
fn report_without_recommendations_says_why_and_all_is_good_only_if_it_is() {
    let mut clean = answer("");
    if let Some(advice) = &mut clean.advice {
        advice.recommendations.clear();
        advice.causes.clear();
    }
    clean.pages.clear();
    for document in [markdown(&clean, None, &args()), html(&clean, None, &args())] {
        assert!(document.contains("There is no recommendation yet."), "LCP fails: {document}");
        assert!(document.contains("advice needs 100") && !document.contains("Causes"), "{document}");
    }
    for silent in clean.advice.iter_mut().flat_map(|advice| &mut advice.silent) {
        silent.code = "good".to_owned();
    }
    let document = markdown(&clean, None, &args());
    assert!(document.contains("Nothing: every metric that advice is about is good."), "{document}");
}
