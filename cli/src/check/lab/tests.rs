//! Tests the rule of a lab, without a browser.

use super::device::LabDevice;
use super::judge::{Page, answer};
use serde_json::{Value, json};
use url::Url;
use vitals::metric::{Metric, Values};

const BROWSER: &str = r#"{"browser": "Chrome/1", "device": "desktop", "runs": 5}"#;

/// A page with these LCPs.
fn page(url: &str, lcps: &[f64]) -> Page {
    let runs = lcps.iter().map(|lcp| {
        let mut values = Values::EMPTY;
        values.set(Metric::Lcp, vitals::metric::Value::new(Metric::Lcp, *lcp).ok());
        values
    });
    Page { url: Url::parse(url).unwrap(), runs: runs.collect() }
}

fn judged(budgets: &str, pages: &[Page], device: LabDevice) -> Value {
    let file = vitals::budget::parse(budgets).unwrap();
    let lab: Value = serde_json::from_str(BROWSER).unwrap();
    answer(&file, pages, &lab, device, ["a", "b"].map(str::to_owned))
}

const LCP: &str = "[[budget]]\nmetric = 'LCP'\nmax = 2500\n";

#[test]
fn five_runs_decide_if_all_are_on_one_side() {
    for (lcps, verdict, within) in [
        (&[100.0, 200.0, 300.0, 400.0, 2_500.0][..], "pass", 5),
        (&[2_501.0, 2_600.0, 2_700.0, 2_800.0, 9_000.0], "fail", 0),
        (&[100.0, 200.0, 300.0, 400.0, 2_501.0], "inconclusive", 4),
        (&[100.0, 2_600.0, 2_700.0, 2_800.0, 9_000.0], "inconclusive", 1),
        (&[100.0, 100.0, 100.0, 100.0], "inconclusive", 4),
        // Of eight runs one may differ.
        (&[100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 9_000.0], "pass", 7),
        (&[], "inconclusive", 0),
    ] {
        let answer = judged(LCP, &[page("http://localhost/", lcps)], LabDevice::Desktop);
        let row = &answer["budgets"][0];
        assert_eq!((&row["verdict"], &row["within"]), (&json!(verdict), &json!(within)), "{lcps:?}: {row}");
        assert_eq!(answer["verdict"], verdict);
    }
}

#[test]
fn many_budgets_take_no_more_runs() {
    let budgets = format!("{LCP}[[budget]]\nmetric = 'LCP'\npercentile = 90\nmax = 2500\n");
    let answer = judged(&budgets, &[page("http://localhost/", &[9_000.0; 5])], LabDevice::Desktop);
    let rows: Vec<_> = answer["budgets"].as_array().unwrap().iter().map(|row| &row["verdict"]).collect();
    assert_eq!(rows, ["fail", "fail"]);
    assert_eq!(answer["budgets"][0]["percentile"], 50, "a lab judges the median");
}

#[test]
fn budgets_find_their_pages_as_routes_do() {
    let pages = [
        page("http://localhost/product/red-shoes?x=1", &[100.0; 5]),
        page("http://localhost/p/12345/", &[100.0; 5]),
    ];
    let routes = |route: &str, more: &str| {
        let budgets = format!("[[budget]]\nroute = '{route}'\nmetric = 'LCP'\nmax = 2500\n{more}");
        let answer = judged(&budgets, &pages, LabDevice::Desktop);
        let rows = answer["budgets"].as_array().unwrap().iter();
        rows.map(|row| row["route"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(routes("*", ""), ["/product/red-shoes", "/p/12345/"]);
    assert_eq!(routes("*", "except = ['/p/*']"), ["/product/red-shoes"]);
    assert_eq!(routes("/product/*", ""), ["/product/red-shoes"]);
    assert_eq!(routes("/product/:slug", ""), ["/product/red-shoes"]);
    assert_eq!(routes("/p/:id", ""), ["/p/12345/"]);
    assert_eq!(routes("/cart", ""), Vec::<String>::new());
}

#[test]
fn what_a_lab_cannot_judge_is_listed_with_its_reason() {
    for (budget, why) in [
        ("metric = 'INP'\nmax = 200", "nobody uses the page"),
        ("metric = 'FID'\nmax = 100", "nobody uses the page"),
        ("metric = 'LCP'\nmax_increase = '5%'", "an increase compares field data"),
        ("metric = 'LCP'\nmax = 2500\ndevice = 'phone'", "the lab is a desktop"),
        ("metric = 'LCP'\nmax = 2500\ncountry = 'DE'", "none of country DE"),
        ("metric = 'LCP'\nmax = 2500\nnavigation_type = 'reload'", "none of navigation type reload"),
        ("metric = 'LCP'\nmax = 2500\nroute = '/cart'", "no page of this check matches `/cart`"),
    ] {
        let pages = [page("http://localhost/", &[100.0; 5])];
        let answer = judged(&format!("[[budget]]\n{budget}\n"), &pages, LabDevice::Desktop);
        assert_eq!(
            (&answer["verdict"], &answer["budgets"]),
            (&json!("inconclusive"), &json!([])),
            "{budget}"
        );
        let said = answer["not_evaluated"][0]["why"].as_str().unwrap();
        assert!(said.contains(why), "{budget}: {said}");
    }
    let phone = "[[budget]]\nmetric = 'LCP'\nmax = 2500\ndevice = 'phone'\nnavigation_type = 'navigate'\n";
    let answer = judged(phone, &[page("http://localhost/", &[100.0; 5])], LabDevice::Phone);
    assert_eq!(answer["verdict"], "pass");
    let tti = "[[budget]]\nmetric = 'TTI'\nmax = 2500\n";
    let answer = judged(tti, &[page("http://localhost/", &[100.0; 5])], LabDevice::Desktop);
    let said = answer["budgets"][0]["reason"].as_str().unwrap();
    assert!(said.contains("--settle"), "{said}");
}
