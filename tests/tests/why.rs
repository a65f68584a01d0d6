//! Why page views are slow, and what it costs: every number of an answer equals one computed from the beacons sent.

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};

const BROWSERS: [&str; 2] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
];

/// A page view that a test plants.
#[derive(Clone, Copy)]
struct Planted {
    number: u32,
    lcp: u32,
    inp: Option<u32>,
    browser: usize,
    plan: &'static str,
    viewport: u32,
    has_order: bool,
    is_engaged: bool,
    first_input: Option<u32>,
}

impl Planted {
    /// Page views that differ in every property.
    fn all() -> Vec<Self> {
        let one = |number: u32| Self {
            number,
            lcp: 100 + number * 40,
            inp: (number.is_multiple_of(4)).then_some(40 + number * 7),
            browser: usize::from(number.is_multiple_of(3)),
            plan: if number % 5 < 2 { "pro" } else { "free" },
            viewport: [400, 800, 1_400][(number % 3) as usize],
            has_order: number.is_multiple_of(6),
            is_engaged: number.is_multiple_of(2),
            first_input: (number.is_multiple_of(7)).then_some(900),
        };
        (0..120).map(one).collect()
    }

    fn interacted(&self) -> bool {
        self.inp.is_some() || self.first_input.is_some()
    }

    async fn send(&self, server: &Server) {
        let url = format!(
            "https://shop.example/{}?secret=1",
            if self.number.is_multiple_of(2) { "even" } else { "odd" }
        );
        let mut values = json!({"LCP": self.lcp, "TTFB": self.lcp / 4});
        if let Some(inp) = self.inp {
            values["INP"] = inp.into();
        }
        let mut beacon = beacon(&server.key, view_id(self.number.into()), &url, &values);
        beacon["tags"] = json!({"plan": self.plan, "user": "jane@mail.example"});
        beacon["viewport"] = viewport(self.viewport).into();
        let (quarter, server_ms) = (self.lcp / 4, self.lcp / 8);
        let view = &mut beacon["views"][0];
        view["engaged"] = self.is_engaged.into();
        if self.has_order {
            view["marks"] = json!({"order": self.lcp + 10});
        }
        if let Some(first_input) = self.first_input {
            view["first_input"] = first_input.into();
        }
        // A press is a click or a pointerdown, and the menu has another selector while it is open.
        let script = ["https://shop.example/app.js".to_owned(), format!("{}/v.js", server.url)];
        let is_open = self.number.is_multiple_of(8);
        view["attribution"] = json!({
            "lcp": {"target": "#hero>img", "url": "https://cdn.example/hero.avif?secret=1",
                    "parts": [quarter, quarter, quarter, self.lcp - 3 * quarter]},
            "ttfb": {"parts": [0, 0, 0, 0, quarter - server_ms, server_ms], "protocol": "h2", "delivery": "network",
                     "server": [["edge", 1, if self.plan == "pro" { "HIT" } else { "MISS" }]]},
        });
        if let Some(inp) = self.inp {
            view["attribution"]["inp"] = json!({
                "target": if is_open { "#nav>a.menu.is-open" } else { "#nav>a.menu" },
                "event": if is_open { "pointerdown" } else { "click" }, "at": 5_000, "parts": [10, inp - 30, 20],
                "script": script[usize::from(is_open)], "script_ms": inp - 40, "load": "complete",
            });
        }
        let request = server.http.post(format!("{}/v1/beacon", server.url));
        let request = request.header("user-agent", BROWSERS[self.browser]).body(beacon.to_string());
        assert_eq!(request.send().await.expect("an answer").status(), 204);
    }
}

fn viewport(width: u32) -> &'static str {
    match width {
        0..600 => "small",
        600..1_200 => "medium",
        _ => "large",
    }
}

async fn planted() -> (Server, Vec<Planted>) {
    let server = Server::start().await;
    let views = Planted::all();
    for view in &views {
        view.send(&server).await;
    }
    server.settled().await;
    (server, views)
}

async fn get(server: &Server, question: &str) -> Value {
    server
        .get(&format!("sites/default/{question}"))
        .await
        .unwrap_or_else(|error| panic!("{question}: {error}"))
}

/// The nearest-rank percentile.
fn percentile(mut values: Vec<u32>, percent: usize) -> u32 {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100) - 1]
}

type Choice = fn(&Planted) -> bool;
type ValueOf = fn(&Planted) -> &'static str;

#[tokio::test]
async fn page_views_are_filtered_and_grouped_by_what_they_alone_have() {
    let (server, views) = planted().await;
    let filters: [(&str, Choice); 9] = [
        ("tag=plan:pro", |view| view.plan == "pro"),
        ("mark=order", |view| view.has_order),
        ("viewport=small", |view| view.viewport < 600),
        ("engaged=no", |view| !view.is_engaged),
        ("protocol=h2", |_| true),
        ("server_timing=edge:MISS", |view| view.plan == "free"),
        ("tag=plan:pro&mark=order", |view| view.plan == "pro" && view.has_order),
        ("browser=Firefox&tag=plan:free", |view| view.browser == 1 && view.plan == "free"),
        ("mark=order&route=/even&viewport=small", |view| {
            view.has_order && view.number.is_multiple_of(2) && view.viewport < 600
        }),
    ];
    for (filter, is_asked) in filters {
        let asked: Vec<&Planted> = views.iter().filter(|view| is_asked(view)).collect();
        let n = json!(asked.len());
        let report = get(&server, &format!("report?{filter}")).await;
        assert_eq!((&report["views"], &report["metrics"]["LCP"]["n"]), (&n, &n), "{filter}: {report}");
        let good = asked.iter().filter(|view| view.lcp <= 2_500).count();
        assert_eq!(report["metrics"]["LCP"]["good"], json!(good), "{filter}");
        if !filter.contains("route") {
            let pages = get(&server, &format!("pages?{filter}")).await;
            let shown = pages["pages"].as_array().unwrap().iter().map(|page| page["views"].as_u64().unwrap());
            assert_eq!(json!(shown.sum::<u64>()), n, "{filter}");
        }
        let causes = get(&server, &format!("attribution?metric=lcp&{filter}")).await;
        assert_eq!((&causes["views"], &causes["causes"][0]["n"]), (&n, &n), "{filter}");
        let p75 = percentile(asked.iter().map(|view| view.lcp).collect(), 75);
        assert_eq!(causes["causes"][0]["p75"], json!(f64::from(p75)), "{filter}");
    }
    let groupings: [(&str, ValueOf); 6] = [
        ("tag:plan", |view| view.plan),
        ("mark:order", |view| if view.has_order { "yes" } else { "no" }),
        ("viewport", |view| viewport(view.viewport)),
        ("engaged", |view| if view.is_engaged { "yes" } else { "no" }),
        ("server_timing:edge", |view| if view.plan == "pro" { "HIT" } else { "MISS" }),
        ("delivery", |_| "network"),
    ];
    for (by, value_of) in groupings {
        let answer = get(&server, &format!("breakdown?by={by}&browser=Chrome")).await;
        let values = answer["values"].as_array().unwrap();
        assert_eq!(answer["by"], by);
        for value in values {
            let named = value["value"].as_str().unwrap();
            let asked = views.iter().filter(|view| view.browser == 0 && value_of(view) == named);
            let lcps: Vec<u32> = asked.map(|view| view.lcp).collect();
            assert_eq!(value["views"], json!(lcps.len()), "{by} {named}");
            assert_eq!(
                value["metrics"]["LCP"]["poor"],
                json!(lcps.iter().filter(|lcp| **lcp > 4_000).count())
            );
        }
        let shown: u64 = values.iter().map(|value| value["views"].as_u64().unwrap()).sum();
        assert_eq!(shown as usize, views.iter().filter(|view| view.browser == 0).count(), "{by}");
    }
}

#[tokio::test]
async fn unknown_values_are_told_with_the_nearest_known_one() {
    let (server, _) = planted().await;
    for (question, expected) in [
        (
            "report?browser=chrome",
            "`browser` is `chrome`: no page view has this browser; did you mean `Chrome`?",
        ),
        ("pages?connection=5g", "no page view has this connection; expected 4g"),
        ("report?tag=plna:pro", "`tag` is `plna:pro`: no page view has the tag `plna`; did you mean `plan`?"),
        (
            "breakdown?by=browser&tag=plan:prp",
            "no page view has this value of the tag `plan`; did you mean `pro`?",
        ),
        ("attribution?metric=lcp&mark=orders", "no page view has the mark `orders`; did you mean `order`?"),
        (
            "report?server_timing=edge:HITS",
            "no page view has this value of the Server-Timing entry `edge`; did you mean `HIT`?",
        ),
        (
            "breakdown?by=tag:plna",
            "`by` is `tag:plna`: no page view has the tag `plna`; did you mean `plan`?",
        ),
        ("breakdown?by=tag", "`by` is `tag`: expected tag:NAME"),
        ("breakdown?by=viewprt", "did you mean `viewport`? expected device, "),
        ("breakdown", "`by` is missing: expected device, "),
        (
            "report?viewport=Small",
            "`viewport` is `Small`: did you mean `small`? expected small, medium or large",
        ),
        ("report?tag=plan", "`tag` is `plan`: expected a name and a value, such as plan:pro"),
        ("samples?around=100", "`around` is `100`: expected 1 to 99 or worst"),
        ("samples?around=0", "`around` is `0`: expected 1 to 99 or worst"),
        ("samples?around=NaN", "`around` is `NaN`: expected 1 to 99 or worst"),
        ("samples?from=yesterday", "`from` is `yesterday`: expected a time such as "),
        ("samples?release=1%00", "expected a text without control characters"),
        ("report?engaged=true", "`engaged` is `true`: expected no or yes"),
        ("samples?limit=0", "`limit` is `0`: expected 1 to 50"),
        ("samples?limit=51", "`limit` is `51`: expected 1 to 50"),
        ("samples?metric=LPC", "unknown metric `LPC`; expected one of LCP, "),
        ("engagement?mark=ordr", "no page view has the mark `ordr`; did you mean `order`?"),
        ("engagement?metrics=LCP", "`metrics` is not taken here"),
    ] {
        let refused = server.get(&format!("sites/default/{question}")).await.unwrap_err();
        assert!(refused.contains("400") && refused.contains(expected), "{question}: {refused}");
    }
    // A release may be asked for before its first page view.
    assert_eq!(get(&server, "report?release=9.9").await["views"], 0);
    let past = get(&server, "breakdown?by=tag:plan&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert_eq!(past["values"], json!([]));
}

#[tokio::test]
async fn slow_page_views_are_told_with_everything_but_their_visitor() {
    let (server, mut views) = planted().await;
    views.sort_by_key(|view| view.lcp);
    for (around, at, above) in [("75", 90, 2), ("worst", 119, 0), ("50", 60, 2)] {
        let answer = get(&server, &format!("samples?metric=LCP&around={around}&limit=4")).await;
        assert_eq!((&answer["views"], &answer["measured"]), (&json!(120), &json!(120)));
        assert_eq!(answer["percentile"], json!(f64::from(views[at - 1].lcp)), "{around}");
        let shown = answer["samples"].as_array().unwrap();
        let expected: Vec<&Planted> = views[at + above - 4..at + above].iter().rev().collect();
        assert_eq!(shown.len(), 4);
        for (sample, view) in shown.iter().zip(expected) {
            let lcp = f64::from(view.lcp);
            assert_eq!((&sample["value"], &sample["metrics"]["LCP"]["value"]), (&json!(lcp), &json!(lcp)));
            assert_eq!(
                sample["metrics"]["INP"]["value"],
                view.inp.map_or(Value::Null, |inp| json!(f64::from(inp)))
            );
            assert_eq!(sample["route"], if view.number.is_multiple_of(2) { "/even" } else { "/odd" });
            assert_eq!(sample["browser"], ["Chrome", "Firefox"][view.browser]);
            assert_eq!((&sample["device"], &sample["os"]), (&json!("desktop"), &json!("linux")));
            assert_eq!(
                (&sample["tags"], &sample["viewport"]),
                (&json!({"plan": view.plan, "user": ":redacted"}), &json!(viewport(view.viewport)))
            );
            assert_eq!(sample["conditions"]["engaged"], view.is_engaged);
            assert_eq!(sample["lcp"]["target"], "#hero>img");
            let marks = if view.has_order { json!(view.lcp + 10) } else { Value::Null };
            assert_eq!(sample["marks"]["order"], marks);
            let spans = sample["waterfall"].as_array().unwrap();
            let sum = |of: &str| -> u64 {
                let parts = spans.iter().filter(|span| span["name"].as_str().unwrap().starts_with(of));
                parts.map(|span| span["end_ms"].as_u64().unwrap() - span["start_ms"].as_u64().unwrap()).sum()
            };
            assert_eq!(sum("ttfb.") + sum("lcp."), u64::from(view.lcp), "{spans:?}");
            assert_eq!(sum("inp."), view.inp.map_or(0, u64::from), "{spans:?}");
            assert!(sample["started"].as_str().unwrap().ends_with(":00Z"), "{sample}");
        }
        let text = answer.to_string();
        assert!(
            ["secret", "jane", "shop.example/even"].iter().all(|personal| !text.contains(personal)),
            "{text}"
        );
        assert!(views.iter().all(|view| !text.contains(&view_id(view.number.into()).to_string()[24..])));
    }
    let phones = get(&server, "samples?metric=LCP&device=phone").await;
    assert_eq!(
        (&phones["measured"], &phones["samples"], &phones["percentile"]),
        (&json!(0), &json!([]), &Value::Null)
    );
    let printed = server.cli(&["report", "--slow", "lcp", "--tag", "plan:pro", "--limit", "1"]).await;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.status.success() && text.contains("lcp.load_duration") && text.contains("plan=pro"),
        "{printed:?}"
    );
}

#[tokio::test]
async fn interactions_are_joined_by_element_and_own_scripts_are_not_named() {
    let (server, views) = planted().await;
    let pressed: Vec<&Planted> = views.iter().filter(|view| view.inp.is_some()).collect();
    let inps: Vec<u32> = pressed.iter().filter_map(|view| view.inp).collect();
    let opened = pressed.iter().filter(|view| view.number.is_multiple_of(8)).count();
    let answer = get(&server, "attribution?metric=inp").await;
    let (cause, n) = (&answer["causes"][0], pressed.len());
    assert_eq!((&answer["causes_found"], &cause["n"], &cause["share"]), (&json!(1), &json!(n), &json!(1.0)));
    assert_eq!(cause["statistic"], "median");
    let selectors = [cause["target"].as_str().unwrap(), cause["selectors"][0].as_str().unwrap()];
    assert!(selectors.contains(&"#nav>a.menu") && selectors.contains(&"#nav>a.menu.is-open"), "{cause}");
    let events = cause["events"].as_array().unwrap();
    let count = |event: &str| events.iter().find(|one| one["event"] == event).map(|one| one["n"].clone());
    assert_eq!((count("pointerdown"), count("click")), (Some(json!(opened)), Some(json!(n - opened))));
    let p75 = percentile(inps.clone(), 75);
    assert_eq!(
        (&cause["p75"], &cause["impact"]),
        (&json!(f64::from(p75)), &json!(f64::from(p75) * n as f64))
    );
    assert_eq!(cause["parts_ms"]["processing"], percentile(inps.iter().map(|inp| inp - 30).collect(), 50));
    // The longest script was our own in the page views with an open menu.
    let scripts: Vec<u32> =
        pressed.iter().filter(|view| !view.number.is_multiple_of(8)).filter_map(|view| view.inp).collect();
    let script = json!({"url": "https://shop.example/app.js", "n": scripts.len(), "median_ms": percentile(scripts, 50) - 40});
    assert_eq!(cause["script"], script);
}

#[tokio::test]
async fn engagement_is_counted_by_buckets_of_the_metric() {
    let (server, views) = planted().await;
    let answer = get(&server, "engagement?metric=LCP&mark=order").await;
    assert_eq!(
        (&answer["views"], &answer["measured"], &answer["known"]),
        (&json!(120), &json!(120), &json!(120))
    );
    assert!(answer["note"].as_str().unwrap().starts_with("Correlation is not cause"));
    let mut sum = 0;
    for buckets in [&answer["ratings"], &answer["buckets"]] {
        for bucket in buckets.as_array().unwrap() {
            let (from, to) =
                (bucket["from"].as_f64().unwrap(), bucket["to"].as_f64().unwrap_or(f64::INFINITY));
            let held: Vec<&Planted> =
                views.iter().filter(|view| f64::from(view.lcp) > from && f64::from(view.lcp) <= to).collect();
            let n = held.len();
            sum += n;
            let count =
                |is_counted: fn(&Planted) -> bool| held.iter().filter(|view| is_counted(view)).count();
            assert_eq!(bucket["n"], json!(n), "{bucket}");
            for (name, counted) in [
                ("interaction", count(Planted::interacted)),
                ("engaged", count(|view| view.is_engaged || view.interacted())),
                ("mark", count(|view| view.has_order)),
            ] {
                assert_eq!(bucket[name]["views"], json!(counted), "{name}: {bucket}");
                let Some(share) = bucket[name]["share"].as_f64() else {
                    assert_eq!(n, 0);
                    continue;
                };
                assert!((share - counted as f64 / n as f64).abs() < 1e-12, "{name}: {bucket}");
                // The ends of a score interval: |p - end| = z √(end (1 - end) / n).
                for end in bucket[name]["interval"].as_array().unwrap().iter().filter_map(Value::as_f64) {
                    let distance = 1.644_853_626_951_472_2 * (end * (1.0 - end) / n as f64).sqrt();
                    let is_limit = end == 0.0 || end == 1.0;
                    assert!(is_limit || ((share - end).abs() - distance).abs() < 1e-9, "{name}: {bucket}");
                }
            }
        }
    }
    assert_eq!(sum, 2 * views.len());
    let pro = get(&server, "engagement?metric=LCP&tag=plan:pro").await;
    assert_eq!(pro["known"], json!(views.iter().filter(|view| view.plan == "pro").count()));
    let printed = server.cli(&["report", "--engagement", "LCP", "--mark", "order"]).await;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.status.success() && text.contains("Correlation is not cause"), "{printed:?}");
}

#[tokio::test]
async fn command_line_completes_and_suggests() {
    let (server, _) = planted().await;
    let by = server.cli(&["report", "--by", "browser"]).await;
    let text = String::from_utf8_lossy(&by.stdout).into_owned();
    assert!(by.status.success() && text.contains("Chrome") && text.contains("Firefox"), "{by:?}");
    let wrong = server.cli(&["report", "--browser", "chrome"]).await;
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && text.contains("did you mean `Chrome`?"), "{wrong:?}");
    let wrong = server.cli(&["report", "--slow", "lcp", "--route", "/evn"]).await;
    let text = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert!(text.contains("nearest: /even"), "{wrong:?}");
    let shell = server.cli(&["completions", "bash"]).await;
    assert!(
        shell.status.success() && String::from_utf8_lossy(&shell.stdout).contains("--engagement"),
        "{shell:?}"
    );
}
