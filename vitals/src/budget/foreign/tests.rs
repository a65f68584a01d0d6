//! Small variants of the files of each tool.

use crate::budget::{BudgetFile, Severity, parse};

/// `LCP p75 <= 2500 on /blog* (line 3)`, and each limit that is not evaluated.
fn told(file: &BudgetFile) -> Vec<String> {
    let budgets = file.budgets.iter().map(|budget| {
        let except = if budget.except.is_empty() {
            String::new()
        } else {
            format!(" but {}", budget.except.join(" "))
        };
        let warn = if budget.severity == Severity::Warn { " warn" } else { "" };
        format!(
            "{} p{} <= {} on {}{except} (line {}){warn}",
            budget.metric.name(),
            budget.percentile,
            budget.limit.max().unwrap().number(budget.metric),
            budget.route,
            budget.line
        )
    });
    let not = file.not_evaluated.iter().map(|one| format!("not {} (line {})", one.what, one.line));
    budgets.chain(not).collect()
}

fn read(text: &str) -> (Option<&'static str>, Vec<String>) {
    let file = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    (file.tool, told(&file))
}

#[test]
fn last_matching_path_of_lighthouse_replaces_those_before() {
    let (tool, budgets) = read(
        r#"[
  {"path": "/*", "timings": [
    {"metric": "largest-contentful-paint", "budget": 2500},
    {"metric": "speed-index", "budget": 3000}],
   "resourceSizes": [{"resourceType": "script", "budget": 150}]},
  {"path": "/blog", "options": {"firstPartyHostnames": ["x"]}, "timings": [
    {"metric": "interactive", "budget": 5000},
    {"metric": "cumulative-layout-shift", "budget": 0.1}]},
  {"path": "/cart$", "timings": [{"metric": "largest-contentful-paint", "budget": 2000}]}
]"#,
    );
    assert_eq!(tool, Some("Lighthouse"));
    assert_eq!(
        budgets,
        [
            "LCP p75 <= 2500 on /* but /blog* /cart (line 3)",
            "TTI p75 <= 5000 on /blog* but /cart (line 7)",
            "CLS p75 <= 0.1 on /blog* but /cart (line 8)",
            "LCP p75 <= 2000 on /cart (line 9)",
            "not speed-index (line 4)",
            "not resourceSizes (line 5)",
        ]
    );
    let list = r#"[{"timings": [{"metric": "interactive", "budget": 5000}]}]"#;
    let settings = format!("{{\"extends\": \"lighthouse:default\", \"settings\": {{\"budgets\": {list}}}}}");
    for text in [list, &format!("{{\"budgets\": {list}}}"), &settings] {
        assert_eq!(read(text).1, ["TTI p75 <= 5000 on /* (line 1)"], "{text}");
    }
}

#[test]
fn budgets_of_lighthouse_that_a_later_path_replaces_are_listed() {
    let text = r#"[
  {"path": "/blog", "timings": [{"metric": "interactive", "budget": 5000}]},
  {"path": "/", "timings": [{"metric": "interactive", "budget": 4000}]},
  {"path": "/cart", "timings": [{"metric": "interactive", "budget": 3000}]},
  {"path": "/cart", "timings": [{"metric": "cumulative-layout-shift", "budget": 0.1}]}
]"#;
    let expected = [
        "TTI p75 <= 4000 on /* but /cart* (line 3)",
        "CLS p75 <= 0.1 on /cart* (line 5)",
        "not TTI of /blog* (line 2)",
        "not TTI of /cart* (line 4)",
    ];
    assert_eq!(read(text).1, expected);
    assert_eq!(parse(text).unwrap().not_evaluated[0].why, "the later path `/*` replaces it");
}

#[test]
fn host_of_urls_is_listed_once() {
    let entry = |regex: &str, max: u32| {
        format!(
            "{{\"matchingUrlPattern\": \"{regex}\", \"assertions\": {{\"interactive\": [\"error\", {{\"maxNumericValue\": {max}}}]}}}}"
        )
    };
    let entries = [
        entry("http://localhost:3000/a$", 1000),
        entry("^https?://LOCALHOST:3000/b", 2000),
        entry("https://shop\\\\.example/c", 3000),
        entry("https://[^/]+/d", 4000),
        entry("https://.*/e", 5000),
        entry("/f", 6000),
    ];
    let file = parse(&format!("{{\"assert\": {{\"assertMatrix\": [{}]}}}}", entries.join(",\n"))).unwrap();
    let listed: Vec<_> = file.not_evaluated.iter().map(|one| (one.line, one.host.as_deref())).collect();
    assert_eq!(listed, [(1, Some("localhost:3000")), (3, Some("shop.example"))]);
    assert_eq!(file.budgets.len(), 6);
}

#[test]
fn quotes_in_names_and_reasons_are_not_escaped() {
    let text = r#"{"assert": {"assertions": {"label's \u001b": "error", "speed-index": "error", "interactive": ["error", {"minScore": 1}], "first-contentful-paint": ["warn", {"maxNumericValue": 1800}]}}}"#;
    let file = parse(text).unwrap();
    let told: Vec<String> =
        file.not_evaluated.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    assert_eq!(
        told,
        [
            "label's \\u{1b}: page views do not tell it",
            "speed-index: it needs a recording of the screen",
            "interactive: it has no maxNumericValue; scores are Lighthouse's own",
        ]
    );
}

#[test]
fn assertions_of_lighthouse_ci_have_levels_and_patterns() {
    let (tool, budgets) = read(
        r#"{"ci": {"assert": {"assertMatrix": [
  {"matchingUrlPattern": "https://[^/]+/app", "aggregationMethod": "median", "assertions": {
    "largest-contentful-paint": ["error", {"maxNumericValue": 2500}],
    "interactive": ["warn", {"maxNumericValue": 5000}],
    "first-contentful-paint": "off",
    "cumulative-layout-shift": ["error", {"minScore": 0.9}],
    "uses-webp-images": "error"}},
  {"matchingUrlPattern": ".*", "assertions": {
    "largest-contentful-paint": ["error", {"maxNumericValue": 4000}]}}]}}}"#,
    );
    assert_eq!(tool, Some("Lighthouse CI"));
    assert_eq!(
        budgets,
        [
            "LCP p75 <= 2500 on /app* (line 3)",
            "TTI p75 <= 5000 on /app* (line 4) warn",
            "LCP p75 <= 4000 on * (line 9)",
            "not cumulative-layout-shift (line 6)",
            "not uses-webp-images (line 7)",
        ]
    );
    let (_, budgets) = read(
        r#"{"assert": {"preset": "lighthouse:recommended", "assertions": {"largest-contentful-paint": ["error", {"maxNumericValue": 2500}]}}}"#,
    );
    assert_eq!(budgets, ["LCP p75 <= 2500 on * (line 1)", "not preset (line 1)"]);
}

#[test]
fn assertions_of_lighthouse_ci_are_read_in_yaml() {
    let (tool, budgets) = read(
        r#"# Limits of largest-contentful-paint and others.
ci:
  assert:
    assertMatrix:
      - matchingUrlPattern: "https://shop\\.example/app"
        assertions:
          max-largest-contentful-paint: error
          largest-contentful-paint: [error, {maxNumericValue: 2500}]
          interactive:
            - warn
            - maxNumericValue: 5000
      - matchingUrlPattern: '.*'
        assertions:
          cumulative-layout-shift: ["error", {"maxNumericValue": 0.1}]
          largest-contentful-paint: [error, {maxNumericValue: 4e3}]
          interactive: off
"#,
    );
    assert_eq!(tool, Some("Lighthouse CI"));
    assert_eq!(
        budgets,
        [
            "LCP p75 <= 2500 on /app* (line 8)",
            "TTI p75 <= 5000 on /app* (line 9) warn",
            "CLS p75 <= 0.1 on * (line 14)",
            "LCP p75 <= 4000 on * (line 15)",
            "not max-largest-contentful-paint (line 7)",
            "not host shop.example (line 5)",
        ]
    );
}

#[test]
fn of_equal_limits_the_strictest_that_fails_the_check_is_judged() {
    for (first, second, expected) in [
        (("error", 4000), ("error", 2500), &["LCP p75 <= 2500 on * (line 2)"][..]),
        (("error", 4000), ("warn", 2500), &["LCP p75 <= 4000 on * (line 2)", "not LCP (line 4)"]),
        (("warn", 2500), ("error", 4000), &["LCP p75 <= 4000 on * (line 4)", "not LCP (line 2)"]),
    ] {
        let entry = |(level, max): (&str, u32), pattern: &str| {
            format!(
                r#"{{"matchingUrlPattern": "{pattern}",
                "assertions": {{"largest-contentful-paint": ["{level}", {{"maxNumericValue": {max}}}]}}}}"#
            )
        };
        let (first, second) = (entry(first, ".*"), entry(second, ".*$"));
        let (_, budgets) = read(&format!("{{\"assert\": {{\"assertMatrix\": [{first},\n{second}]}}}}"));
        assert_eq!(budgets, expected);
    }
}

#[test]
fn thresholds_of_k6_name_percentiles() {
    let (tool, budgets) = read(
        r#"{"thresholds": {
  "browser_web_vital_lcp": ["p(75)<2500", {"threshold": "p(90) <= 4000", "abortOnFail": true}, "avg<2000"],
  "browser_web_vital_cls{url:https://shop.example/cart}": ["med<0.1"],
  "http_req_duration": ["p(95)<200"]}}"#,
    );
    assert_eq!(tool, Some("k6"));
    assert_eq!(
        budgets,
        [
            "LCP p75 <= 2500 on * (line 2)",
            "LCP p90 <= 4000 on * (line 2)",
            "CLS p50 <= 0.1 on https://shop.example/cart (line 3)",
            "not browser_web_vital_lcp (line 2)",
            "not host shop.example (line 3)",
            "not http_req_duration (line 4)",
        ]
    );
    let (_, budgets) = read(r#"{"browser_web_vital_inp": ["p(75)<200"]}"#);
    assert_eq!(budgets, ["INP p75 <= 200 on * (line 1)"]);
}

#[test]
fn budgets_of_sitespeed_are_of_all_pages_or_of_one() {
    let (tool, budgets) = read(
        r#"{"budget": {
  "timings": {"largestContentfulPaint": 2500, "fullyLoaded": 9000},
  "requests": {"total": 89},
  "https://shop.example/cart": {
    "timings": {"largestContentfulPaint": 2000}}}}"#,
    );
    assert_eq!(tool, Some("sitespeed.io"));
    assert_eq!(
        budgets,
        [
            "LCP p75 <= 2500 on * (line 2)",
            "LCP p75 <= 2000 on https://shop.example/cart (line 5)",
            "not fullyLoaded (line 2)",
            "not requests (line 3)",
            "not host shop.example (line 5)",
        ]
    );
}

#[test]
fn older_notation_of_sitespeed_names_statistics() {
    let (tool, budgets) = read(
        r#"{"browsertime.pageSummary": [
  {"metric": "statistics.googleWebVitals.largestContentfulPaint.median", "max": 2500},
  {"metric": "statistics.googleWebVitals.cumulativeLayoutShift.p90", "max": 0.1},
  {"metric": "statistics.googleWebVitals.ttfb.mean", "max": 800},
  {"metric": "statistics.timings.firstPaint.median", "max": 1000}],
"coach.pageSummary": [{"metric": "advice.performance.score", "min": 75}]}"#,
    );
    assert_eq!(tool, Some("sitespeed.io"));
    assert_eq!(
        budgets,
        [
            "LCP p50 <= 2500 on * (line 2)",
            "CLS p90 <= 0.1 on * (line 3)",
            "not statistics.googleWebVitals.ttfb.mean (line 4)",
            "not statistics.timings.firstPaint.median (line 5)",
            "not advice.performance.score (line 6)",
        ]
    );
}

#[test]
fn file_of_budgets_of_lighthouse_ci_is_named() {
    for (key, limits) in
        [("budgetFile", ""), ("budgetsFile", ""), ("budgetsFile", ", \"preset\": \"lighthouse:all\"")]
    {
        let text = format!("{{\"ci\": {{\"assert\": {{\"{key}\": \"./lh/budgets.json\"{limits}}}}}}}");
        let error = parse(&text).unwrap_err().to_string();
        let expected = "its limits are in ./lh/budgets.json; check that file, too";
        assert!(
            error.starts_with("1:1: a file of Lighthouse CI without a limit") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn files_without_budgets_are_named() {
    for (text, expected) in [
        ("{}", "1:1: JSON without budgets"),
        (r#"{"name": "x", "version": "1", "scripts": {}}"#, "1:1: a package.json; expected budgets in TOML"),
        (
            r#"{"lighthouseVersion": "12", "audits": {}}"#,
            "1:1: a report of Lighthouse, which has results and no limits",
        ),
        (r#"[{"path": "a.js", "limit": "10 kB"}]"#, "1:1: limits of size-limit"),
        (r#"[1, 2]"#, "1:1: JSON without budgets: a list"),
        (r#"{"a": {"b": 1}}"#, "1:1: JSON without budgets: an object with `a`"),
        ("<html>", "1:1: an HTML or XML file"),
        ("import http from 'k6/http';\nexport const options = {};", "1:1: a script of k6"),
        ("module.exports = {ci: {}}", "1:1: a JavaScript file, such as lighthouserc.js"),
        ("ci:\n  collect: {}\n", "1:1: a configuration of Lighthouse CI without assertions"),
        ("services:\n  web: {image: x}\n", "1:1: YAML without budgets: an object with `services`"),
        ("ci:\n  assert: [\n", "3:1: YAML with a mistake"),
        ("{\n  \"a\": 1,\n}", "3:1: JSON with a mistake; expected trailing comma"),
        ("\u{feff}\n{\n  \"a\": 1,\n}", "4:1: JSON with a mistake; expected trailing comma"),
        (
            r#"[{"timings": [], "sizes": []}]"#,
            "1:1: a budget.json of Lighthouse with the unknown key `sizes`",
        ),
        (
            r#"[{"path": "blog", "timings": []}]"#,
            "1:1: the path `blog`; expected a path that begins with `/`, with at most one `*`",
        ),
        (
            "{\"assert\": {\n\"assertMatrix\": {}}}",
            "2:1: an `assertMatrix` that is no list; expected a list of objects such as {\"matchingUrlPattern\"",
        ),
        (
            r#"{"assert": {"assertMatrix": [{"assertions": {}}, 7]}}"#,
            "1:1: entry 2 of `assertMatrix`, which is no object; expected a list of objects",
        ),
        (
            r#"{"assert": {"assertions": {"interactive": ["critical", {"maxNumericValue": 5000}]}}}"#,
            "1:1: the level `critical` of `interactive`; expected off, warn or error",
        ),
        (
            r#"{"assert": {"assertions": {"interactive": {"maxNumericValue": 5000}}}}"#,
            "1:1: the assertion `interactive` without a level; expected \"off\", or such as",
        ),
        (
            r#"[{"timings": [{"metric": "speed-index", "budget": 3000}]}]"#,
            "1:1: a file of Lighthouse without a limit that page views can judge (it has speed-index); expected",
        ),
        (
            r#"{"ci": {"assert": {"assertions": {"categories:seo": "error", "label": "warn", "meta": "warn", "x": "warn", "y": "off"}}}}"#,
            "1:1: a file of Lighthouse CI without a limit that page views can judge (it has categories:seo, label, meta and another)",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}\n   said: {error}\n   not:  {expected}");
    }
}
