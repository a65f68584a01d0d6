//! Tests the command on small files, and against a server with the API's answers.

use super::{Args, SCHEMA, execute};
use crate::client::responder::Responder;
use crate::exit::{Done, Exit, Failure};
use clap::Parser as _;
use serde_json::{Value, json};

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

async fn run(arguments: &[&str]) -> Result<Done, Failure> {
    let command = Command::try_parse_from([&["budget"][..], arguments].concat()).unwrap();
    execute(&command.args.command).await
}

fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

const OURS: &str =
    "[[budget]]\nmetric = 'LCP'\nmax = 2500\n\n[[budget]]\nroute = '/cart'\nmetric = 'INP'\nmax = 200\n";
const LIGHTHOUSE: &str = r#"[{"path": "/blog", "timings": [
    {"metric": "largest-contentful-paint", "budget": 2000}, {"metric": "speed-index", "budget": 3000}]}]"#;

#[tokio::test]
async fn lint_counts_budgets_and_names_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (file(&directory, "a.toml", OURS), file(&directory, "b.json", LIGHTHOUSE));
    let done = run(&["lint", &ours, &theirs]).await.unwrap();
    assert_eq!(done.exit, Exit::Pass);
    assert_eq!(
        done.stdout,
        format!(
            "{ours}: 2 budgets\n{theirs}: 1 budget of Lighthouse\n\
             {theirs}:2: not evaluated: speed-index: it needs a recording of the screen\n"
        )
    );
    let wrong = file(&directory, "c.toml", "[[budget]]\nmetric = 'LCP'\nmax = 2.5\n");
    let failure = run(&["lint", &ours, &wrong]).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.starts_with(&format!("{wrong}:3:7: `max` is `2.5`")), "{}", failure.message);
    assert!(failure.hint.contains("[[budget]]"), "{}", failure.hint);
}

#[tokio::test]
async fn show_converts_files_of_other_tools() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = file(&directory, "b.json", LIGHTHOUSE);
    let shown = run(&["show", &theirs]).await.unwrap().stdout;
    assert!(shown.ends_with("\n[[budget]]\nroute = \"/blog*\"\nmetric = \"LCP\"\nmax = 2000\n"), "{shown}");
    let converted = file(&directory, "c.toml", &shown);
    let done = run(&["diff", &theirs, &converted]).await.unwrap();
    assert_eq!((done.exit, done.stdout.as_str()), (Exit::Pass, ""), "the same promises");
}

#[tokio::test]
async fn diff_names_what_is_promised_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let old = file(&directory, "a.toml", OURS);
    let new =
        "[[budget]]\nmetric = 'LCP'\nmax = 2000\nseverity = 'warn'\n[[budget]]\nmetric = 'CLS'\nmax = 0.1\n";
    let done = run(&["diff", &old, &file(&directory, "b.toml", new)]).await.unwrap();
    assert_eq!(done.exit, Exit::Fail);
    assert_eq!(
        done.stdout,
        "~ LCP p75 all *: 2500 ms becomes 2000 ms (stricter), severity error becomes warn\n\
         + CLS p75 all *: 0.1\n- INP p75 all /cart: 200 ms\n"
    );
}

#[tokio::test]
async fn increases_are_shown_and_compared() {
    let directory = tempfile::tempdir().unwrap();
    let relative = "[[budget]]\nmetric = \"LCP\"\nmax_increase = \"5%\"\nbaseline = \"beside:stable\"\n";
    let old = file(&directory, "a.toml", relative);
    assert_eq!(run(&["show", &old]).await.unwrap().stdout, relative);
    let new = relative.replace("5%", "2%") + "min_increase = 50\non_no_baseline = \"warn\"\n";
    let new = file(&directory, "b.toml", &(new + "[[budget]]\nmetric = 'LCP'\nmax_increase = '10%'\n"));
    assert_eq!(run(&["lint", &new]).await.unwrap().stdout, format!("{new}: 2 budgets\n"));
    let done = run(&["diff", &old, &new]).await.unwrap();
    assert_eq!(done.exit, Exit::Fail);
    assert_eq!(
        done.stdout,
        "~ LCP p75 all * over beside:stable: max_increase 5 % becomes 2 % (stricter), min_increase 100 ms becomes 50 ms \
         (stricter), on_no_baseline inconclusive becomes warn\n\
         + LCP p75 all * over previous: +10 %, or +100 ms\n"
    );
}

/// The schema has exactly the keys that are read, and the names of each.
#[tokio::test]
async fn schema_has_the_keys_and_names_that_are_read() {
    let done = run(&["schema"]).await.unwrap();
    assert_eq!(done.stdout, SCHEMA);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let budget = &schema["properties"]["budget"]["items"];
    let known: Vec<&str> = budget["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(known, vitals::budget::KEYS);
    assert_eq!((&budget["additionalProperties"], &budget["required"]), (&json!(false), &json!(["metric"])));
    assert_eq!(budget["oneOf"], json!([{"required": ["max"]}, {"required": ["max_increase"]}]));
    for key in ["device", "os", "navigation_type", "severity", "on_no_baseline"] {
        let limit = if key == "on_no_baseline" { "max_increase = '5%'" } else { "max = 2500" };
        for name in budget["properties"][key]["enum"].as_array().unwrap() {
            let text = format!("[[budget]]\nmetric = 'LCP'\n{limit}\n{key} = {name}\n");
            vitals::budget::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

#[tokio::test]
async fn init_proposes_what_the_site_keeps() {
    let metric = |p75: f64, upper: f64, n: u64| {
        json!({"n": n, "p50": 1, "p75": p75, "p90": 1, "p95": 1, "p75_interval": [p75, upper], "rating": "good",
            "good": 1, "needs_improvement": 0, "poor": 0})
    };
    let period = json!({"from": "a", "to": "b"});
    let page = json!({"route": "/p/:id", "views": 900, "views_estimated": 900,
        "metrics": {"INP": metric(310.0, 322.0, 900), "LCP": metric(2_100.0, 2_400.0, 101), "CLS": metric(0.0, 0.0, 99)}});
    let judged = |metric: &str, verdict: &str, upper: Value, needed: Value| {
        json!({"line": 1, "route": "*", "metric": metric, "percentile": 75, "device": null, "n": 900, "within": 700,
            "measured": 1.0, "interval": if upper.is_null() { Value::Null } else { json!([1.0, upper]) },
            "verdict": verdict, "reason": "", "samples_needed": needed})
    };
    let gate = json!({"site": "shop", "release": null, "period": period, "verdict": "inconclusive", "budgets": [
        judged("LCP", "pass", json!(2_300), Value::Null),
        judged("CLS", "inconclusive", json!(0.1623), Value::Null),
        judged("LCP", "inconclusive", Value::Null, json!(1_300)),
        judged("INP", "inconclusive", json!(352), Value::Null),
    ]});
    let again = json!({"site": "shop", "release": null, "period": period, "verdict": "inconclusive", "budgets": [
        judged("LCP", "pass", json!(2_300), Value::Null),
        judged("CLS", "pass", json!(0.1623), Value::Null),
        judged("INP", "inconclusive", json!(402), json!(2_100)),
    ]});
    let summary = |metrics: Value, pages: Value| {
        let summary = json!({"site": "shop", "period": period, "views": 5000, "views_estimated": 5000,
            "metrics": metrics, "pages": pages, "missing": []});
        let answers = [summary, gate.clone(), again.clone()].map(|answer| answer.to_string());
        let answers: Vec<(&str, &str)> = answers.iter().map(|answer| ("200 OK", answer.as_str())).collect();
        Responder::start(&answers)
    };
    let whole = json!({"LCP": metric(2_100.0, 2_140.0, 5_000), "CLS": metric(0.142, 0.1481, 5_000)});
    let server = summary(whole, json!([page]));
    let arguments = ["init", "--server", &server.url, "--token", "t", "--site", "shop"];
    let text = run(&arguments).await.unwrap().stdout;
    let budgets: Vec<String> = vitals::budget::parse(&text)
        .unwrap()
        .budgets
        .iter()
        .map(|budget| format!("{} {}", budget.key(), budget.limit.max().unwrap().number(budget.metric)))
        .collect();
    assert_eq!(budgets, ["LCP p75 all * 2500", "CLS p75 all * 0.17"]);
    assert!(text.contains("# Now 2100 ms over 5,000 page views.\n"), "{text}");
    assert!(
        text.contains("# INP: now 310 ms over 900 page views; about 2,100 page views are needed"),
        "the new limit does not pass either: {text}"
    );
    assert!(
        text.contains("# LCP: now 2100 ms over 101 page views; about 1,300 page views are needed"),
        "{text}"
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for (request, budgets) in requests[1..].iter().zip([4, 3]) {
        assert!(request.starts_with("POST /api/v1/sites/shop/gate?period=7d "), "{request}");
        assert_eq!(request.matches("[[budget]]").count(), budgets, "{request}");
    }
    assert!(requests[2].contains("max = 0.17\n") && requests[2].contains("max = 400\n"), "{}", requests[2]);
    let server = summary(json!({}), json!([]));
    let failure =
        run(&["init", "--server", &server.url, "--token", "t", "--site", "shop"]).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Inconclusive);
}
