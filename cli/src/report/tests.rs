//! Tests the command against a server that answers like the API.

use super::{Args, execute};
use crate::client::responder::Responder;
use crate::exit::{Exit, Failure};
use crate::output::Terminal;
use clap::Parser as _;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// The parsed arguments of a report.
pub(super) fn args(arguments: &[&str]) -> Args {
    parse("http://localhost:1", arguments).unwrap()
}

fn parse(server: &str, arguments: &[&str]) -> Result<Args, clap::Error> {
    let fixed = ["report", "--server", server, "--token", "t"];
    Command::try_parse_from(fixed.iter().chain(arguments)).map(|command| command.args)
}

fn lcp(p75: f64, rating: &str, n: u64) -> Value {
    json!({"unit": "ms", "n": n, "p50": 1200.1, "p75": p75, "p90": 2500.0, "p95": 3000.0,
           "p75_interval": if n < 11 { Value::Null } else { json!([1700.0, 1900.0]) },
           "rating": rating, "good": n - 5, "needs_improvement": 3, "poor": 2, "thresholds": [2500, 4000]})
}

fn quality(verdict: &str, score: f64) -> Value {
    json!({"core_web_vitals": verdict, "min_n": 100, "field_score": score, "parts": [
        {"metric": "LCP", "n": 100, "score": 50.0, "weight": 0.6666666666666666},
        {"metric": "CLS", "n": 100, "score": 90.0, "weight": 0.3333333333333333}]})
}

fn pages(next_cursor: &Value) -> String {
    let cls = json!({"unit": "score", "n": 100, "p50": 0.0, "p75": 0.1034, "p90": 0.2, "p95": 0.3,
        "p75_interval": [0.09, 0.12], "rating": "needs-improvement", "good": 50, "needs_improvement": 50, "poor": 0,
        "thresholds": [0.1, 0.25]});
    let steps = json!([{"horizon": "immediate", "text": "Load scripts with `defer`."},
                       {"horizon": "long-term", "text": "Render on the server."}]);
    json!({"site": "default", "route": null,
    "period": {"from": "2026-11-13T00:00:00Z", "to": "2026-11-20T00:00:00Z"},
    "device": null, "views": 132, "views_estimated": 132, "metrics": {},
    "quality": quality("fail", 63.4), "sort": "impact", "metric": null, "min_n": 100, "routes_found": 2,
    "routes_hidden": 3, "next_cursor": next_cursor, "missing": [], "pages": [
        {"route": "/", "views": 123, "views_estimated": 123, "metrics": {"LCP": lcp(1800.5, "good", 120), "CLS": cls, "NEW": cls},
         "impact": {"metric": "CLS", "views": 42.3, "share": 0.5, "share_at_least": 0.42}, "quality": quality("fail", 70.0),
         "previous": {"CLS": {"n": 90, "p75": 0.08, "change_percent": 29.3, "verdict": "worse"}}},
        {"route": "=cmd|' /C calc'!A0", "views": 9, "views_estimated": 9, "metrics": {"LCP": lcp(5000.0, "poor", 9)}},
    ], "advice": {"min_n": 100, "min_slow": 30, "causes": [], "silent": [], "recommendations": [
        {"code": "lcp-render-delay", "metric": "LCP", "severity": "high", "title": "Paint the largest element sooner",
         "evidence": "40.0 % of 1000 page views with LCP are not good.", "n": 1000, "slow_explained": 300,
         "dominated": 200, "share_of_slow": 0.66, "affected_share": 0.26, "median": 1800.0, "target": 250.0,
         "unit": "ms", "element": "#hero\u{1b}[2J", "named": 150, "steps": steps}]}})
    .to_string()
}

async fn report(answer: &str, arguments: &[&str]) -> (String, String) {
    report_on(Terminal::PIPE, answer, arguments).await
}

async fn report_on(terminal: Terminal, answer: &str, arguments: &[&str]) -> (String, String) {
    let server = Responder::start(&[("200 OK", answer)]);
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--site", "default"]).collect();
    let done = execute(&parse(&server.url, &arguments).unwrap(), terminal).await.unwrap();
    assert_eq!(done.exit, Exit::Pass);
    (done.stdout, server.requests().remove(0))
}

#[tokio::test]
async fn a_ranking_shows_every_metric_with_its_rating() {
    let (text, request) = report(
        &pages(&json!("next")),
        &["--sort", "poor", "--limit", "2", "--device", "phone", "--os", "ios"],
    )
    .await;
    assert!(
        request.starts_with(
            "GET /api/v1/sites/default/summary?period=7d&device=phone&os=ios&sort=poor&limit=2 "
        ),
        "{request}"
    );
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn reports_fit_the_terminal() {
    let answer =
        pages(&json!("next")).replace("\"/\"", "\"/商品/🚀/a-rather-long-name-of-a-product/in-a-category\"");
    let route = route_answer(130, &json!({"LCP": lcp(1800.5, "good", 120), "FID": lcp(3.0, "good", 8)}));
    for (name, answer, arguments) in [
        ("ranking", &answer, vec![]),
        ("one_metric", &answer, vec!["--metric", "lcp"]),
        ("one_route", &route, vec!["--route", "/x"]),
    ] {
        for columns in [80, 60] {
            let terminal = Terminal { color: false, columns: Some(columns) };
            let (text, _) = report_on(terminal, answer, &arguments).await;
            assert!(text.lines().all(|line| line.width() <= columns), "{text}");
            insta::assert_snapshot!(format!("{name}_at_{columns}_columns"), text);
        }
    }
}

#[tokio::test]
async fn one_metric_is_shown_with_all_percentiles() {
    let (text, request) = report(&pages(&Value::Null), &["--metric", "lcp", "--period", "28d"]).await;
    assert!(request.starts_with("GET /api/v1/sites/default/summary?period=28d&metric=LCP "), "{request}");
    insta::assert_snapshot!(text);
}

/// A ranking in which a route's page views stand for more.
fn sampled_pages() -> String {
    let mut answer: Value = serde_json::from_str(&pages(&Value::Null)).unwrap();
    answer["pages"][1]["views_estimated"] = json!(90);
    answer.to_string()
}

#[tokio::test]
async fn csv_holds_a_line_a_metric_and_no_formula() {
    let answer = sampled_pages();
    let (text, _) = report(&answer, &["--format", "csv"]).await;
    assert_eq!(
        text,
        "site,route,views,views_estimated,metric,unit,n,p50,p75,p90,p95,p75_low,p75_high,rating,good,needs_improvement,poor,\
         previous_n,previous_p75,change_percent,verdict\n\
         default,/,123,123,LCP,ms,120,1200.1,1800.5,2500,3000,1700,1900,good,115,3,2,,,,\n\
         default,/,123,123,CLS,score,100,0,0.1034,0.2,0.3,0.09,0.12,needs-improvement,50,50,0,90,0.08,29.3,worse\n\
         default,'=cmd|' /C calc'!A0,9,90,LCP,ms,9,1200.1,5000,2500,3000,,,poor,4,3,2,,,,\n"
    );
}

#[tokio::test]
async fn json_is_the_answer_whole() {
    let (text, _) = report(&pages(&Value::Null), &["--format", "json"]).await;
    let expected: Value = serde_json::from_str(&pages(&Value::Null)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

fn route_answer(views: u64, metrics: &Value) -> String {
    json!({"site": "default", "route": "/x", "period": {"from": "a", "to": "b"}, "device": null, "views": views,
           "views_estimated": views, "metrics": metrics, "quality": quality("not-enough-data", 91.2), "missing": [],
           "advice": {"causes": [], "silent": [], "recommendations": []}})
    .to_string()
}

#[tokio::test]
async fn ranking_is_asked_for_as_the_options_say() {
    let options =
        ["--route", "/c/*", "--sort", "impact", "--min-n", "1", "--search", "lamp", "--group", "section"];
    let (_, request) = report(&pages(&Value::Null), &options).await;
    assert!(
        request.starts_with(
            "GET /api/v1/sites/default/summary?period=7d&route=%2Fc%2F*&sort=impact&min_n=1&search=lamp&group=section "
        ),
        "{request}"
    );
}

#[tokio::test]
async fn hidden_routes_are_told_where_nothing_is_left() {
    let mut answer: Value = serde_json::from_str(&pages(&Value::Null)).unwrap();
    answer["pages"] = json!([]);
    let (text, _) = report(&answer.to_string(), &[]).await;
    assert!(
        text.contains("Routes with fewer than 100 page views are hidden: 3. --min-n 1 shows all."),
        "{text}"
    );
}

#[tokio::test]
async fn output_is_written_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.md");
    let server = Responder::start(&[("200 OK", &pages(&Value::Null))]);
    let path = file.to_str().unwrap();
    let args = parse(&server.url, &["--site", "default", "--format", "md", "--output", path]).unwrap();
    let done = super::written(execute(&args, Terminal::PIPE).await.unwrap(), &args).unwrap();
    assert_eq!(done.stdout, "");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Web Vitals of default\n"));
    let args = parse(&server.url, &["--output", "/nowhere/report.md"]).unwrap();
    let failure = super::written(done, &args).unwrap_err();
    assert!(failure.message.starts_with("cannot write /nowhere/report.md: "), "{failure}");
}

#[tokio::test]
async fn document_says_that_its_series_could_not_be_read() {
    let refused = json!({"error": {"code": "parameter", "message": "no hours", "hint": ""}}).to_string();
    let server = Responder::start(&[("200 OK", &pages(&Value::Null)), ("400 Bad Request", &refused)]);
    let args = parse(&server.url, &["--site", "default", "--format", "md"]).unwrap();
    let done = execute(&args, Terminal::PIPE).await.unwrap();
    assert!(done.stdout.contains("- The metrics over time could not be read: "), "{}", done.stdout);
    let request = &server.requests()[1];
    assert!(request.starts_with("GET /api/v1/sites/default/series?period=7d "), "{request}");
}

#[tokio::test]
async fn documents_are_of_whole_reports() {
    for arguments in [
        ["--attribution", "lcp"].as_slice(),
        &["--slow", "lcp"],
        &["--engagement", "lcp"],
        &["--by", "browser"],
        &["--rejections"],
        &["--trend"],
    ] {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "html"]).collect();
        let args = parse("http://127.0.0.1:1", &arguments).unwrap();
        let failure = execute(&args, Terminal::PIPE).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.contains("--format text, json or csv"), "{failure:?}");
    }
}

#[tokio::test]
async fn one_route_is_shown_a_metric_a_line() {
    let answer = route_answer(130, &json!({"LCP": lcp(1800.5, "good", 120), "FID": lcp(3.0, "good", 8)}));
    let (text, request) = report(&answer, &["--route", "/x y"]).await;
    assert!(request.starts_with("GET /api/v1/sites/default/summary?period=7d&route=%2Fx+y "), "{request}");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn sampled_page_views_are_told_with_those_they_stand_for() {
    let answer = route_answer(130, &json!({})).replace("\"views_estimated\":130", "\"views_estimated\":1300");
    let (text, _) = report(&answer, &["--route", "/x"]).await;
    assert!(text.contains("130 page views, of about 1300\n"), "{text}");
    let answer = sampled_pages();
    let (text, _) = report(&answer, &[]).await;
    assert!(text.contains("VIEWS  OF ABOUT  NOT GOOD  CHANGE "), "{text}");
    assert!(text.contains("A0      9        90"), "{text}");
}

#[tokio::test]
async fn what_explains_a_metric_is_shown() {
    let answer = json!({"site": "default", "metric": "INP", "unit": "ms", "route": "/x",
        "period": {"from": "a", "to": "b"}, "views": 30, "views_estimated": 30, "measured": 20, "explained": 10,
        "causes_found": 3, "causes": [{"target": "#buy\u{1b}[2J", "event": "click", "n": 8, "share": 0.8, "p75": 320.5,
            "rating": "needs-improvement", "parts_ms": {"input_delay": 10, "processing": 250, "presentation": 60},
            "at_ms": 9000, "load_states": {"complete": 6, "dom-content-loaded": 2, "loading": 0},
            "script": {"url": "https://a.example/app.js", "n": 5, "median_ms": 240}}],
        "tbt": {"n": 4, "p50": 100.2, "p75": 180.0}, "tti": {"reached": 4, "hidden": 3, "network": 2, "cpu": 1},
        "collector_errors": {"glue": 0, "module": 2}})
    .to_string();
    let (text, request) = report(&answer, &["--attribution", "INP", "--route", "/x"]).await;
    assert!(
        request
            .starts_with("GET /api/v1/sites/default/attribution?period=7d&metric=INP&route=%2Fx&limit=20 "),
        "{request}"
    );
    insta::assert_snapshot!(text);
    let (text, _) = report(&answer, &["--attribution", "inp", "--format", "csv"]).await;
    assert!(text.contains("default,/x,INP,#buy\u{1b}[2J,,click,"), "{text}");
    assert!(text.contains(",click,,8,10,320.5,needs-improvement,processing,250\n"), "{text}");
}

#[tokio::test]
async fn ttfb_is_explained_by_its_longest_part_and_the_conditions() {
    let class = |class: &str, n: u64, p75: f64, rating: &str| json!({"class": class, "n": n, "p75": p75, "rating": rating});
    let answer = json!({"site": "default", "metric": "TTFB", "unit": "ms", "route": "/x",
        "period": {"from": "a", "to": "b"}, "views": 30, "views_estimated": 30, "measured": 20, "explained": 10,
        "causes_found": 1, "causes": [{"target": null, "longest_part": "service_worker", "n": 8, "share": 0.8,
            "p75": 2100.0, "rating": "poor", "parts_ms": {"redirect": 1, "service_worker": 1500, "cache": 2, "dns": 3,
            "connect": 4, "request": 500}}],
        "conditions": {
            "classes": {"protocol": [class("h3", 15, 900.0, "needs-improvement"), class("http/1.1", 5, 2100.0, "poor")],
                        "rtt": []},
            "server_timings": [{"name": "cdn-cache", "description": "MISS", "n": 4, "median_ms": 35, "p75": 2200.0,
                                "rating": "poor"},
                               {"name": "db", "n": 2, "median_ms": 12, "p75": 100.0, "rating": "good"}],
            "not_restored": [{"reason": "unload-listener\u{1b}[2J", "n": 3}],
            "document_kb": {"n": 20, "p50": 34, "p75": 60}, "first_input_ms": {"n": 0, "p50": null, "p75": null},
            "cold_starts": {"n": 18, "estimated": 2}},
        "tbt": {"n": 0, "p50": null, "p75": null}, "tti": {"reached": 0, "hidden": 0, "network": 0, "cpu": 0},
        "collector_errors": {}})
    .to_string();
    let (text, request) = report(&answer, &["--attribution", "ttfb"]).await;
    assert!(request.contains("/attribution?period=7d&metric=ttfb&"), "{request}");
    insta::assert_snapshot!(text);
    let (text, _) = report(&answer, &["--attribution", "ttfb", "--format", "csv"]).await;
    assert!(text.contains(",TTFB,,,,service_worker,8,10,2100,poor,service_worker,1500\n"), "{text}");
}

#[tokio::test]
async fn values_of_a_dimension_are_shown_a_line_each() {
    let answer = json!({"site": "default", "by": "tag:plan", "route": null,
        "period": {"from": "a", "to": "b", "limited": "page views are kept from a on"},
        "values": [{"value": "pro", "views": 130, "metrics": {"LCP": lcp(1800.5, "good", 120)}},
                   {"value": "", "views": 3, "metrics": {}}, {"value": null, "views": 2, "metrics": {}}]})
    .to_string();
    let terminal = Terminal { color: false, columns: Some(80) };
    let (text, request) =
        report_on(terminal, &answer, &["--by", "tag:plan", "--country", "DE", "--from", "2026-11-13"]).await;
    assert!(
        request.starts_with(
            "GET /api/v1/sites/default/breakdown?from=2026-11-13T00%3A00%3A00Z&country=DE&by=tag%3Aplan "
        ),
        "{request}"
    );
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    insta::assert_snapshot!(text);
    let (text, _) = report_on(terminal, &answer, &["--by", "tag:plan", "--metric", "lcp"]).await;
    assert!(text.lines().all(|line| line.width() <= 80) && text.contains("INTERVAL"), "{text}");
    let (text, _) = report(&answer, &["--by", "tag:plan", "--format", "csv"]).await;
    assert!(
        text.starts_with("site,value,views,") && text.contains("\ndefault,pro,130,130,LCP,ms,120,"),
        "{text}"
    );
}

fn slow_view() -> Value {
    let rated = |value: f64, rating: &str| json!({"value": value, "rating": rating});
    let conditions = json!({"protocol": "h2", "delivery": "network", "rtt": null, "memory": "low", "cpu": null,
        "engaged": true, "first_input_ms": 900, "document_kb": 34,
        "server_timings": [{"name": "edge", "description": "MISS", "duration_ms": 3}],
        "not_restored": ["unload-listener"]});
    let waterfall = json!([{"name": "ttfb.request", "start_ms": 0, "end_ms": 1800},
        {"name": "lcp.load_delay", "start_ms": 1800, "end_ms": 5000},
        {"name": "FCP", "start_ms": 2000, "end_ms": 2000},
        {"name": "mark:a-very-long-name-of-a-mark", "start_ms": 6000, "end_ms": 6000}]);
    json!({"value": 5000.0, "rating": "poor", "started": "2026-11-20T10:31:00Z", "route": "/x", "device": "phone",
        "browser": "Chrome", "os": "android", "country": "DE", "connection": "4g", "navigation_type": "navigate",
        "release": "1.2", "viewport": "small", "waterfall": waterfall, "conditions": conditions,
        "metrics": {"LCP": rated(5000.0, "poor"), "INP": rated(320.0, "needs-improvement"), "CLS": rated(0.01, "good")},
        "lcp": {"target": "#hero>img", "url": "https://a.example/hero.avif"},
        "inp": {"target": "#buy", "event": "click", "at_ms": 9000, "script": "https://a.example/app.js", "script_ms": 240},
        "cls": {"target": "p", "at_ms": 70, "shift": 0.01}, "tags": {"plan": "pro"}, "marks": {}})
}

fn slow_answer() -> String {
    let bare = json!({"value": 4812.0, "rating": "poor", "started": "2026-11-20T10:32:00Z", "route": "/x",
        "metrics": {"LCP": {"value": 4812.0, "rating": "poor"}}, "waterfall": []});
    json!({"site": "default", "metric": "LCP", "unit": "ms", "route": "/x", "period": {"from": "a", "to": "b"},
        "sample": {"of": 1_000_000, "share": 0.09, "max": 100_000}, "around": "75",
        "rule": "the 2 page views \u{1b}[2J next", "views": 30, "measured": 20, "percentile": 4812.0,
        "samples": [slow_view(), bare]})
    .to_string()
}

#[tokio::test]
async fn slow_page_views_are_shown_as_waterfalls() {
    let terminal = Terminal { color: false, columns: Some(80) };
    let arguments =
        ["--slow", "LCP", "--route", "/x", "--browser", "Chrome", "--tag", "plan:pro", "--limit", "2"];
    let (text, request) = report_on(terminal, &slow_answer(), &arguments).await;
    assert!(
        request.starts_with(
            "GET /api/v1/sites/default/samples?period=7d&browser=Chrome&tag=plan%3Apro&metric=LCP&route=%2Fx&limit=2 "
        ),
        "{request}"
    );
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    insta::assert_snapshot!(text);
    let (text, request) =
        report(&slow_answer(), &["--slow", "lcp", "--around", "worst", "--format", "csv"]).await;
    assert!(request.contains("&around=worst&limit=5 "), "{request}");
    assert!(text.contains(",1.2,ttfb.request,0,1800\n"), "{text}");
}

#[tokio::test]
async fn engagement_is_shown_with_intervals_and_a_warning() {
    let share = |views: u64, n: u64| json!({"views": views, "share": views as f64 / n as f64, "interval": [0.1, 0.9]});
    let bucket = |from: f64, to: Option<f64>, rating: &str, n: u64| {
        json!({"from": from, "to": to, "rating": rating, "n": n, "interaction": share(n / 2, n), "engaged": share(n, n),
               "mark": share(1, n)})
    };
    let answer = json!({"site": "default", "metric": "LCP", "unit": "ms", "mark": "order", "route": null,
        "period": {"from": "a", "to": "b"}, "views": 50, "views_estimated": 50, "measured": 40, "known": 30,
        "ratings": [bucket(0.0, Some(2500.0), "good", 20), bucket(4000.0, None, "poor", 10)],
        "buckets": [bucket(0.0, Some(625.0), "good", 20), bucket(8000.0, None, "poor", 10)],
        "note": "Correlation is not cause."})
    .to_string();
    let terminal = Terminal { color: false, columns: Some(80) };
    let (text, request) = report_on(terminal, &answer, &["--engagement", "lcp", "--mark", "order"]).await;
    assert!(
        request.starts_with("GET /api/v1/sites/default/engagement?period=7d&mark=order&metric=LCP "),
        "{request}"
    );
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    insta::assert_snapshot!(text);
    let (text, _) = report(&answer, &["--engagement", "lcp", "--format", "csv"]).await;
    assert!(text.contains("default,,LCP,0,625,good,20,mark:order,1,0.05,0.1,0.9\n"), "{text}");
}

#[tokio::test]
async fn no_data_points_to_the_rejections() {
    let (text, _) = report(&route_answer(0, &json!({})), &["--route", "/x"]).await;
    assert!(text.contains("There are no page views of this route in this period."), "{text}");
    assert!(text.contains("fieldvitals report --site default --rejections"), "{text}");
}

#[tokio::test]
async fn rejections_are_shown_by_reason_and_origin() {
    let answer = json!({"rejections": [
        {"reason": "origin", "origin": "https://evil.example", "count": 4, "last_seen": "2026-11-20T10:00:00Z", "message": "add the origin"},
        {"reason": "origin", "origin": "https://b.example\u{1b}[2J", "count": 1, "last_seen": "2026-11-20T10:00:00Z", "message": "add the origin"},
        {"reason": "malformed", "origin": "", "count": 2, "last_seen": "2026-11-20T10:00:00Z", "message": ""},
    ]})
    .to_string();
    let (text, request) = report(&answer, &["--rejections"]).await;
    assert!(request.starts_with("GET /api/v1/sites/default/rejections "), "{request}");
    insta::assert_snapshot!(text);
    let (text, _) = report(&json!({"rejections": []}).to_string(), &["--rejections"]).await;
    assert_eq!(text, "default: no beacon was refused since the server started.\n");
}

#[tokio::test]
async fn ranking_of_a_crowded_site_warns_of_its_names() {
    let status = json!({"crowded": [
        {"site": "default", "kind": "routes", "updates": 3, "last": "2026-11-20T00:00:00Z"},
        {"site": "blog", "kind": "releases", "updates": 3, "last": "2026-11-20T00:00:00Z"},
    ]});
    let server = Responder::start(&[("200 OK", &pages(&Value::Null)), ("200 OK", &status.to_string())]);
    let done = execute(&parse(&server.url, &["--site", "default"]).unwrap(), Terminal::PIPE).await.unwrap();
    assert_eq!(
        done.warning,
        "warning: `default` has more routes than it has places; page views of further ones count under (other)\n\
         `fieldvitals site routes suggest default` shows groups for them"
    );
    assert!(server.requests()[1].starts_with("GET /api/v1/status "), "{:?}", server.requests());
}

#[tokio::test]
async fn a_server_that_fails_is_told_with_its_exit_code() {
    let server = Responder::start(&[("500 Internal Server Error", "")]);
    let Failure { exit, message, .. } =
        execute(&parse(&server.url, &["--site", "a"]).unwrap(), Terminal::PIPE).await.unwrap_err();
    assert_eq!(exit, Exit::Unreachable);
    assert!(message.contains("500 Internal Server Error"), "{message}");
}

#[test]
fn wrong_flags_are_refused() {
    for (arguments, expected) in [
        (vec!["--metric", "TBT"], "expected one of LCP, INP, CLS, FCP, TTFB, FID, TTI"),
        (vec!["--period", "7w"], "expected hours or days"),
        (vec!["--device", "watch"], "[possible values: phone, tablet, desktop]"),
        (vec!["--os", "symbian"], "[possible values: windows, android, ios, macos, linux, chromeos, other]"),
        (vec!["--limit", "501"], "501 is not in 1..=500"),
        (vec!["--limit", "0"], "0 is not in 1..=500"),
        (vec!["--min-n", "0"], "0 is not in 1.."),
        (vec!["--attribution", "fcp"], "[possible values: lcp, inp, cls, ttfb]"),
        (vec!["--attribution", "lcp", "--sort", "p75"], "cannot be used with"),
        (vec!["--slow", "lcp", "--around", "100"], "expected 1 to 99, or worst"),
        (vec!["--around", "75"], "--slow"),
        (vec!["--from", "yesterday"], "expected a time"),
        (vec!["--from", "2026-11-13", "--period", "7d"], "cannot be used with"),
        (vec!["--by", "browser", "--slow", "lcp"], "cannot be used with"),
        (vec!["--by", "browser", "--search", "a"], "cannot be used with"),
        (vec!["--rejections", "--tag", "a:b"], "cannot be used with"),
        (vec!["--format", "xml"], "[possible values: text, json, csv, md, html]"),
    ] {
        let error = parse("http://127.0.0.1:1", &arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(expected), "{arguments:?}: {error}");
    }
}
