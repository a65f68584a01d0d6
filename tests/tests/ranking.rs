//! Rankings, advice and summaries over a real server with planted page views.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use vitals::limits::VIEWS_PER_BEACON_MAX;

/// Sends page views of one path, several a beacon.
async fn plant(server: &Server, first: u128, path: &str, views: Vec<Value>) {
    let url = format!("https://shop.example{path}");
    for (part, views) in views.chunks(VIEWS_PER_BEACON_MAX).enumerate() {
        let mut body = beacon(&server.key, view_id(0), &url, &json!({}));
        let number = first + (part * VIEWS_PER_BEACON_MAX) as u128;
        let with_id = |(place, view): (usize, &Value)| {
            let mut view = view.clone();
            view["id"] = view_id(number + place as u128).to_string().into();
            view
        };
        body["views"] = views.iter().enumerate().map(with_id).collect();
        assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
    }
}

/// A page view with an LCP in milliseconds and its four parts.
fn painted(lcp: u32, parts: [u32; 4]) -> Value {
    json!({"nav": "navigate", "values": {"LCP": lcp, "CLS": 0.02, "TTFB": 200, "FCP": 700},
           "attribution": {"lcp": {"target": "#hero>img", "url": "https://shop.example/hero.avif", "parts": parts}}})
}

/// A page view that misses the back/forward cache.
fn missed() -> Value {
    let mut view = painted(900, [200, 100, 500, 100]);
    view["nav"] = "back-forward".into();
    view["attribution"]["ttfb"] = json!({"parts": [0, 0, 0, 0, 50, 150], "protocol": "h2", "delivery": "network",
        "not_restored": ["unload-listener"]});
    view
}

/// A shop: a rare page with terrible views, a large one with a moderate problem, and others that are good.
async fn shop() -> Server {
    let server = Server::start().await;
    let (fast, slow) = (painted(900, [200, 100, 500, 100]), painted(3_200, [300, 200, 900, 1_800]));
    plant(&server, 0, "/rare", vec![json!({"nav": "navigate", "values": {"LCP": 12_000, "CLS": 0.9}}); 17])
        .await;
    let mut big = vec![slow; 270];
    big.extend(vec![fast.clone(); 330]);
    plant(&server, 1_000, "/c/Lamps", big).await;
    plant(&server, 2_000, "/c/sofas", vec![fast.clone(); 150]).await;
    plant(&server, 3_000, "/about", vec![fast; 150]).await;
    server.settled().await;
    server
}

fn routes(answer: &Value) -> Vec<&str> {
    answer["pages"].as_array().unwrap().iter().filter_map(|page| page["route"].as_str()).collect()
}

#[tokio::test]
async fn large_page_with_a_moderate_problem_leads_the_ranking() {
    let server = shop().await;
    let ask = async |query: &str| server.get(&format!("sites/default/pages?{query}")).await.unwrap();
    let answer = ask("").await;
    assert_eq!(routes(&answer), ["/c/Lamps", "/about", "/c/sofas"], "{answer}");
    assert_eq!((&answer["sort"], &answer["metric"]), (&json!("impact"), &Value::Null));
    assert_eq!(
        (&answer["min_n"], &answer["routes_found"], &answer["routes_hidden"]),
        (&json!(100), &json!(3), &json!(1))
    );
    let impact = &answer["pages"][0]["impact"];
    assert_eq!((&impact["metric"], &impact["share"]), (&json!("LCP"), &json!(0.45)));
    let views = impact["views"].as_f64().unwrap();
    assert!(views > 240.0 && views < 270.0, "the lower bound of 270: {views}");
    assert_eq!(answer["pages"][0]["quality"]["core_web_vitals"], "fail");
    assert_eq!(answer["pages"][1]["quality"]["core_web_vitals"], "pass");

    assert_eq!(routes(&ask("min_n=1").await)[0], "/c/Lamps");
    assert_eq!(routes(&ask("min_n=1").await).len(), 4);
    assert_eq!(routes(&ask("sort=p75").await)[0], "/c/Lamps");
    assert_eq!(routes(&ask("sort=p75&min_n=1").await)[0], "/rare", "asked for");
    assert_eq!(routes(&ask("sort=views").await).len(), 4);
    assert_eq!(routes(&ask("search=lamp").await), ["/c/Lamps"]);
    assert_eq!(routes(&ask("route=/c/*&sort=route").await), ["/c/Lamps", "/c/sofas"]);
    let sections = ask("group=section&sort=views").await;
    assert_eq!(routes(&sections), ["/c/*", "/about", "/rare"]);
    assert_eq!((&sections["pages"][0]["routes"], &sections["pages"][0]["views"]), (&json!(2), &json!(750)));
    assert_eq!(routes(&ask("search=nothing").await), [""; 0]);

    let first = ask("limit=1").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(routes(&ask(&format!("limit=2&cursor={cursor}")).await), ["/about", "/c/sofas"]);
    for (query, expected) in [
        (format!("sort=views&cursor={cursor}"), "`cursor` is of another question"),
        (format!("device=phone&cursor={cursor}"), "`cursor` is of another question"),
        ("cursor=abc".to_owned(), "expected a next_cursor of this ranking"),
        ("min_n=0".to_owned(), "`min_n` is `0`: expected 1 to"),
        ("group=device".to_owned(), "`group` is `device`: expected section"),
        ("sort=best".to_owned(), "expected impact, views, p75, poor or route"),
    ] {
        let refused = server.get(&format!("sites/default/pages?{query}")).await.unwrap_err();
        assert!(refused.starts_with("400") && refused.contains(expected), "{query}: {refused}");
    }
    let fewer = ask("metrics=TTFB").await;
    assert_eq!(fewer["pages"][0]["metrics"].as_object().unwrap().keys().collect::<Vec<_>>(), ["TTFB"]);
    assert!(fewer["pages"][0]["quality"].is_null(), "a score of one metric would mislead");
}

#[tokio::test]
async fn advice_names_the_planted_cause_and_is_silent_on_clean_pages() {
    let server = shop().await;
    let ask = async |query: &str| server.get(&format!("sites/default/advice?{query}")).await.unwrap();
    let answer = ask("").await;
    let all = answer["recommendations"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{answer}");
    let one = &all[0];
    assert_eq!((&one["code"], &one["severity"]), (&json!("lcp-render-delay"), &json!("high")));
    assert_eq!(
        (&one["n"], &one["slow_explained"], &one["dominated"]),
        (&json!(917), &json!(270), &json!(270))
    );
    assert_eq!((&one["median"], &one["target"]), (&json!(1800.0), &json!(250.0)));
    assert_eq!((&one["element"], &one["named"]), (&json!("#hero>img"), &json!(270)));
    assert_eq!(one["resource"], "https://shop.example/hero.avif");
    let evidence = one["evidence"].as_str().unwrap();
    assert!(
        evidence.starts_with("31.3 % of 917 page views with LCP are not good. In 270 of 270 slow ones"),
        "{evidence}"
    );
    assert_eq!(one["steps"][0]["horizon"], "immediate");
    let silent = |answer: &Value, metric: &str| {
        let all = answer["silent"].as_array().unwrap();
        all.iter().find(|silent| silent["metric"] == metric).map(|silent| silent["code"].clone())
    };
    assert_eq!(silent(&answer, "INP"), Some(json!("too-few-values")));
    assert_eq!(silent(&answer, "TTFB"), Some(json!("good")));
    for clean in ["route=/about", "route=/c/sofas"] {
        let answer = ask(clean).await;
        assert_eq!((&answer["recommendations"], &answer["causes"]), (&json!([]), &json!([])), "{answer}");
        assert_eq!(silent(&answer, "LCP"), Some(json!("good")));
    }
    let few = ask("route=/rare").await;
    assert_eq!((&few["recommendations"], silent(&few, "LCP")), (&json!([]), Some(json!("too-few-values"))));

    plant(&server, 9_000, "/about", vec![missed(); 200]).await;
    server.settled().await;
    let answer = ask("").await;
    let codes: Vec<&Value> =
        answer["recommendations"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert!(codes.contains(&&json!("back-forward-cache")), "{answer}");
    let of_cache =
        answer["recommendations"].as_array().unwrap().iter().find(|one| one["code"] == "back-forward-cache");
    let of_cache = of_cache.unwrap();
    assert_eq!((&of_cache["n"], &of_cache["dominated"]), (&json!(200), &json!(200)));
    assert_eq!(of_cache["resource"], "unload-listener");
}

#[tokio::test]
async fn summary_has_verdict_score_pages_advice_and_what_is_missing() {
    let server = shop().await;
    let summary = server.get("sites/default/summary").await.unwrap();
    let report = server.get("sites/default/report").await.unwrap();
    let pages = server.get("sites/default/pages").await.unwrap();
    let advice = server.get("sites/default/advice").await.unwrap();
    assert_eq!((&summary["metrics"], &summary["quality"]), (&report["metrics"], &report["quality"]));
    assert_eq!(summary["pages"], pages["pages"]);
    assert_eq!(summary["previous"]["metrics"], report["previous"]["metrics"]);
    assert_eq!(summary["advice"]["recommendations"], advice["recommendations"]);
    assert_eq!(summary["quality"]["core_web_vitals"], "fail");
    let score = summary["quality"]["field_score"].as_f64().unwrap();
    // Computed with Python's `math.erf` from the planted values; buckets are off by at most 0.6.
    assert!((score - 95.38).abs() <= 0.6, "{score}");
    let missing: Vec<&Value> =
        summary["missing"].as_array().unwrap().iter().map(|missing| &missing["code"]).collect();
    assert_eq!(missing, [&json!("routes-hidden"), &json!("too-few-values")], "{summary}");
    let pattern = server.get("sites/default/summary?route=/c/*").await.unwrap();
    assert_eq!((&pattern["route"], &pattern["views"]), (&json!("/c/*"), &json!(750)));
    assert_eq!(routes(&pattern), ["/c/Lamps", "/c/sofas"]);
    let one = server.get("sites/default/summary?route=/c/sofas").await.unwrap();
    assert!(one["pages"].is_null() && one["quality"]["core_web_vitals"] == "pass", "{one}");
    let nothing = server.get("sites/default/summary?release=9").await.unwrap();
    assert_eq!(nothing["missing"][0]["code"], "no-views");

    let text = async |args: &[&str]| {
        let output = server.cli(args).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = text(&["report"]).await;
    assert!(printed.contains("Core Web Vitals: fail · field score"), "{printed}");
    assert!(
        printed.contains("1. Paint the largest element as soon as it is loaded (high, lcp-render-delay)"),
        "{printed}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let silent = text(&["report", "--format", "html", "--output", file.to_str().unwrap()]).await;
    assert_eq!(silent, "");
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("/c/Lamps") && html.ends_with("</html>\n"));
    let markdown = text(&["report", "--format", "md"]).await;
    assert!(
        markdown.contains("| /c/Lamps | 600 | ")
            && markdown.contains("## Over time")
            && markdown.contains("## Recommendations"),
        "{markdown}"
    );
    let json = server.cli_json(&["report", "--format", "json"]).await;
    assert_eq!(json["pages"], pages["pages"]);
    let csv = text(&["report", "--format", "csv"]).await;
    assert!(csv.contains("\ndefault,/c/Lamps,600,600,LCP,ms,600,"), "{csv}");
}
