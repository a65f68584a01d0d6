//! Tests the command against a server with the API's answers.

use super::{Args, execute};
use crate::client::responder::Responder;
use crate::exit::{Done, Exit, Failure};
use crate::output::Terminal;
use clap::Parser as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use unicode_width::UnicodeWidthStr as _;

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

/// A budget file for one test.
struct File(tempfile::TempDir);

impl File {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("budgets.toml"), text).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("budgets.toml")
    }
}

fn budgets(count: usize) -> String {
    (0..count).map(|at| format!("[[budget]]\nroute = '/{at}'\nmetric = 'LCP'\nmax = 2500\n")).collect()
}

fn judged(verdict: &str) -> Value {
    json!({"line": 3, "route": "/p/*", "metric": "LCP", "percentile": 75, "max": 2500, "unit": "ms",
        "device": "phone", "min_samples": 100, "routes": 3, "n": 240, "within": 120,
        "measured": 3100.2, "interval": [3000.0, 3200.0], "design_effect": 1.84,
        "design_effect_from": "hours", "verdict": verdict,
        "reason": format!("why {verdict}"),
        "samples_needed": if verdict == "inconclusive" { json!(1200) } else { Value::Null },
        "hours_needed": if verdict == "inconclusive" { json!(5.2) } else { Value::Null }})
}

fn answer(verdicts: &[&str]) -> Value {
    let overall = ["fail", "inconclusive"].into_iter().find(|one| verdicts.contains(one)).unwrap_or("pass");
    json!({"site": "default", "release": "1.4.2", "period": {"from": "a", "to": "b"}, "looks": "one", "verdict": overall,
        "budgets": verdicts.iter().map(|verdict| judged(verdict)).collect::<Vec<_>>()})
}

async fn run(file: &Path, server: &str, arguments: &[&str], summary: Option<&Path>) -> Result<Done, Failure> {
    run_on(Terminal::PIPE, file, server, arguments, summary).await
}

async fn run_on(
    terminal: Terminal,
    file: &Path,
    server: &str,
    arguments: &[&str],
    summary: Option<&Path>,
) -> Result<Done, Failure> {
    let file = file.to_string_lossy();
    let fixed = ["check", "--budget", &file, "--server", server, "--token", "t", "--site", "default"];
    let command = Command::try_parse_from(fixed.iter().chain(arguments)).unwrap();
    execute(&command.args, terminal, summary).await
}

async fn check(verdicts: &[&str], arguments: &[&str]) -> Done {
    let file = File::new(budgets(verdicts.len()));
    let server = Responder::start(&[("200 OK", &answer(verdicts).to_string())]);
    let mut done = run(&file.path(), &server.url, arguments, None).await.unwrap();
    done.stdout = done.stdout.replace(&*file.path().to_string_lossy(), "budgets.toml");
    done
}

#[tokio::test]
async fn the_file_is_sent_as_it_is() {
    let text = format!("# é\n{}", budgets(1));
    let file = File::new(&text);
    let server = Responder::start(&[("200 OK", &answer(&["pass"]).to_string())]);
    run(&file.path(), &server.url, &["--release", "1 4", "--period", "24h"], None).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /api/v1/sites/default/gate?period=24h&release=1+4 "), "{request}");
    assert!(request.to_lowercase().contains("content-type: application/toml\r\n"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{text}")), "{request}");
}

#[tokio::test]
async fn every_verdict_has_its_exit_code() {
    for (verdicts, arguments, exit) in [
        (vec!["pass", "pass"], vec![], Exit::Pass),
        (vec!["pass", "fail", "inconclusive"], vec![], Exit::Fail),
        (vec!["pass", "fail", "inconclusive"], vec!["--on-inconclusive", "pass"], Exit::Fail),
        (vec!["pass", "inconclusive"], vec![], Exit::Inconclusive),
        (vec!["pass", "inconclusive"], vec!["--on-inconclusive", "pass"], Exit::Pass),
        (vec!["pass", "inconclusive"], vec!["--on-inconclusive", "warn"], Exit::Pass),
        (vec!["pass", "inconclusive"], vec!["--on-inconclusive", "fail"], Exit::Fail),
    ] {
        let formats = [
            "text",
            "json",
            "md",
            "markdown",
            "junit",
            "github",
            "code-quality",
            "browser-performance",
            "sarif",
        ];
        for format in formats {
            let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", format]).collect();
            let done = check(&verdicts, &arguments).await;
            assert_eq!(done.exit, exit, "{verdicts:?} {arguments:?}");
            assert_eq!(!done.warning.is_empty(), arguments.contains(&"warn"), "{arguments:?}");
        }
    }
    assert_eq!(
        [Exit::Pass, Exit::Fail, Exit::Usage, Exit::Inconclusive, Exit::Unreachable].map(|exit| exit as u8),
        [0, 1, 2, 3, 4]
    );
}

#[tokio::test]
async fn text_says_all_that_decided() {
    insta::assert_snapshot!(check(&["fail", "inconclusive"], &[]).await.stdout);
}

#[tokio::test]
async fn text_fits_the_terminal() {
    let verdicts = ["fail", "inconclusive"];
    let mut answer = answer(&verdicts);
    answer["budgets"][1]["route"] = "/商品/🚀/a-rather-long-name-of-a-product".into();
    let file = File::new(budgets(verdicts.len()));
    for columns in [80, 60] {
        let server = Responder::start(&[("200 OK", &answer.to_string())]);
        let terminal = Terminal { color: false, columns: Some(columns) };
        let done = run_on(terminal, &file.path(), &server.url, &[], None).await.unwrap();
        let text = done.stdout.replace(&*file.path().to_string_lossy(), "budgets.toml");
        // The title names the file by its temporary path.
        let lines = text.lines().skip_while(|line| !line.starts_with("VERDICT")).collect::<Vec<_>>();
        assert!(lines.iter().all(|line| line.width() <= columns), "{text}");
        insta::assert_snapshot!(format!("text_at_{columns}_columns"), lines.join("\n"));
    }
}

#[tokio::test]
async fn json_is_the_answer_whole() {
    let done = check(&["fail"], &["--format", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap(), answer(&["fail"]));
}

#[tokio::test]
async fn junit_shows_budgets_as_tests() {
    let done = check(&["pass", "fail", "inconclusive"], &["--format", "junit"]).await;
    let counts = "tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\"";
    assert!(done.stdout.contains("<testsuite name=\"rum./p/*\" "), "{}", done.stdout);
    assert!(done.stdout.contains(counts), "{}", done.stdout);
    let case = "<testcase classname=\"/p/*\" name=\"lcp.p75.phone\" time=\"0\">";
    assert!(done.stdout.contains(&format!("{case}</testcase>")), "{}", done.stdout);
    assert!(
        done.stdout.contains(&format!(
            "{case}<failure type=\"budget\" message=\"LCP p75 ≤ 2500 ms, measured 3100 ms (3000 ms to 3200 ms): why fail\">\
             budgets.toml:3</failure></testcase>"
        )),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains(&format!("{case}<skipped message=\"")), "{}", done.stdout);
    let done = check(&["inconclusive"], &["--format", "junit", "--on-inconclusive", "fail"]).await;
    assert!(done.stdout.contains("failures=\"1\" errors=\"0\" skipped=\"0\""), "{}", done.stdout);
    assert!(done.stdout.contains("why inconclusive"), "{}", done.stdout);
}

/// The rules of Ant's schema (Windy Road's JUnit.xsd), and Jenkins' additional rules (xUnit plugin's junit-10.xsd).
#[tokio::test]
async fn junit_is_valid_for_ant_and_jenkins() {
    // The attributes of each element, all required, and its children in order.
    let suite = "errors failures hostname id name package skipped tests time timestamp";
    let elements: [(&str, &str, &[&str]); 8] = [
        ("testsuites", "", &["testsuite"]),
        ("testsuite", suite, &["properties", "testcase", "system-out", "system-err"]),
        ("testcase", "classname name time", &["failure", "skipped"]),
        ("failure", "message type", &[]),
        ("skipped", "message", &[]),
        ("properties", "", &[]),
        ("system-out", "", &[]),
        ("system-err", "", &[]),
    ];
    for arguments in [&["--format", "junit"][..], &["--format", "junit", "--on-inconclusive", "fail"]] {
        let done = check(&["pass", "fail", "inconclusive"], arguments).await;
        let mut reader = quick_xml::Reader::from_str(&done.stdout);
        let (mut path, mut suites): (Vec<(String, Vec<String>)>, usize) = (Vec::new(), 0);
        loop {
            let event = reader.read_event().expect("well-formed XML");
            let (element, is_empty) = match &event {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(element) => (element, false),
                quick_xml::events::Event::Empty(element) => (element, true),
                quick_xml::events::Event::End(_) => {
                    path.pop();
                    continue;
                }
                _ => continue,
            };
            let name = String::from_utf8(element.name().as_ref().to_vec()).expect("UTF-8");
            let (_, attributes, children) =
                *elements.iter().find(|(known, ..)| *known == name).expect("a known element");
            let mut found: Vec<(String, String)> = element
                .attributes()
                .map(|attribute| {
                    let attribute = attribute.expect("an attribute");
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                    (text(attribute.key.as_ref()), text(&attribute.value))
                })
                .collect();
            found.sort();
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names.join(" "), attributes, "of {name}");
            for (attribute, value) in &found {
                match attribute.as_str() {
                    "errors" | "failures" | "skipped" | "tests" | "time" => {
                        assert!(value.parse::<u32>().is_ok(), "{attribute}={value}");
                    }
                    "id" => assert_eq!(*value, suites.to_string(), "counted from 0"),
                    // The timestamp has no time zone.
                    "timestamp" => assert!(
                        value.len() == 19 && value.parse::<jiff::civil::DateTime>().is_ok(),
                        "{attribute}={value}"
                    ),
                    _ => assert!(!value.is_empty(), "{attribute}"),
                }
            }
            suites += usize::from(name == "testsuite");
            if let Some((parent, before)) = path.last_mut() {
                let (.., order) = elements.iter().find(|(known, ..)| known == parent).expect("known");
                let place = |child: &String| order.iter().position(|known| known == child);
                assert!(place(&name).is_some(), "{name} in {parent}");
                assert!(
                    before.iter().all(|sibling| place(sibling) <= place(&name)),
                    "{name} after {before:?}"
                );
                // A test case has one result. In a suite, only cases repeat.
                let once = before.is_empty() || parent != "testcase";
                assert!(
                    once && (["testsuite", "testcase"].contains(&name.as_str()) || !before.contains(&name))
                );
                before.push(name.clone());
            }
            if !is_empty {
                path.push((name, Vec::new()));
            } else if !children.is_empty() {
                panic!("{name} is empty");
            }
        }
        assert!(suites == 1 && path.is_empty());
    }
}

#[tokio::test]
async fn a_pattern_without_routes_is_named_in_the_warning() {
    let mut unmatched = answer(&["inconclusive"]);
    unmatched["budgets"][0]["routes"] = json!(0);
    unmatched["budgets"][0]["reason"] = json!("no route matches `/prodct/*`; nearest: `/product/:id`");
    let file = File::new(budgets(1));
    let server = Responder::start(&[("200 OK", &unmatched.to_string())]);
    let done = run(&file.path(), &server.url, &["--on-inconclusive", "warn"], None).await.unwrap();
    let expected =
        format!("{}:3: no route matches `/prodct/*`; nearest: `/product/:id`", file.path().display());
    assert!(done.warning.ends_with(&expected), "{}", done.warning);
}

#[test]
fn an_empty_release_is_refused() {
    let fixed = ["check", "--budget", "b.toml", "--token", "t", "--release", ""];
    assert!(Command::try_parse_from(fixed).is_err());
}

#[tokio::test]
async fn github_annotations_point_at_the_file() {
    let done = check(&["pass", "fail", "inconclusive"], &["--format", "github"]).await;
    let commands: Vec<&str> = done.stdout.lines().take_while(|line| line.starts_with("::")).collect();
    assert_eq!(
        commands,
        [
            "::error file=budgets.toml,line=3,title=LCP budget exceeded::route /p/*, phone: LCP p75 ≤ 2500 ms, \
             measured 3100 ms (3000 ms to 3200 ms): why fail",
            "::warning file=budgets.toml,line=3,title=LCP budget inconclusive::route /p/*, phone: LCP p75 ≤ 2500 ms, \
             measured 3100 ms (3000 ms to 3200 ms): why inconclusive; about 1200 page views are needed, there are 240: 6 hours at this traffic",
        ]
    );
    let done = check(&["fail"; 15], &["--format", "github"]).await;
    let commands: Vec<&str> = done.stdout.lines().take_while(|line| line.starts_with("::")).collect();
    assert_eq!(commands.len(), 10, "GitHub shows ten a level");
    assert!(commands[9].ends_with("::6 further budgets; the log has them all"), "{}", commands[9]);
    for (choice, level) in [("pass", "::notice "), ("warn", "::warning "), ("fail", "::error ")] {
        let done = check(&["inconclusive"], &["--format", "github", "--on-inconclusive", choice]).await;
        assert!(done.stdout.starts_with(level), "{choice}: {}", done.stdout);
    }
}

#[tokio::test]
async fn the_job_summary_is_added_to() {
    let file = File::new(budgets(1));
    let summary = file.0.path().join("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let server = Responder::start(&[("200 OK", &answer(&["fail"]).to_string())]);
    run(&file.path(), &server.url, &["--format", "github"], Some(&summary)).await.unwrap();
    let text = std::fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("before\n### Web Vitals budgets: fail: 1 exceeded"), "{text}");
    assert!(text.contains("| ❌ fail | /p/\\*, phone | LCP p75 ≤ 2500 ms | 3100 ms (3000 ms to 3200 ms) | 240 | 50.0 % | 1.8 | why fail |"), "{text}");
    // The directory is missing, so the command cannot write the summary. The verdict stays the same.
    let server = Responder::start(&[("200 OK", &answer(&["fail"]).to_string())]);
    let done =
        run(&file.path(), &server.url, &["--format", "github"], Some(Path::new("/nowhere/summary.md"))).await;
    let done = done.unwrap();
    assert_eq!(done.exit, Exit::Fail);
    assert!(
        done.warning.starts_with("cannot write the job summary to /nowhere/summary.md: "),
        "{}",
        done.warning
    );
}

#[tokio::test]
async fn a_wrong_file_is_told_without_a_server() {
    for (text, expected) in [
        (
            &b"[[budget]]\nmetric = 'LCPP'\nmax = 1"[..],
            ":2:10: unknown metric `LCPP`, did you mean `LCP`?; expected one of",
        ),
        (b"", ":1:1: no budgets; expected"),
        (b"[[budget]]\nmetric = '\xff'", ":2:11: not UTF-8; expected a text file"),
    ] {
        let file = File::new(text);
        let failure = run(&file.path(), "http://127.0.0.1:1", &[], None).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let expected = format!("{}{expected}", file.path().to_string_lossy());
        assert!(failure.message.starts_with(&expected), "{}", failure.message);
    }
    let failure = run(Path::new("/nowhere/budgets.toml"), "http://127.0.0.1:1", &[], None).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure.message.starts_with("cannot read the budget file /nowhere/budgets.toml: "),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn refusals_of_the_server_end_as_they_should() {
    let error = |message: &str| json!({"error": {"code": "x", "message": message, "hint": "h"}}).to_string();
    for (status, exit) in [
        ("401 Unauthorized", Exit::Usage),
        ("403 Forbidden", Exit::Usage),
        ("404 Not Found", Exit::Usage),
        ("400 Bad Request", Exit::Usage),
        ("503 Service Unavailable", Exit::Unreachable),
    ] {
        let file = File::new(budgets(1));
        let server = Responder::start(&[(status, &error("no"))]);
        assert_eq!(run(&file.path(), &server.url, &[], None).await.unwrap_err().exit, exit, "{status}");
    }
    let file = File::new(budgets(1));
    assert_eq!(run(&file.path(), "http://127.0.0.1:1", &[], None).await.unwrap_err().exit, Exit::Unreachable);
}

#[tokio::test]
async fn an_answer_that_does_not_judge_every_budget_is_no_pass() {
    let mut contradiction = answer(&["pass", "fail"]);
    contradiction["verdict"] = json!("pass");
    let mut unknown = answer(&["pass", "pass"]);
    unknown["verdict"] = json!("fine");
    for (answer, exit) in [
        (answer(&["pass"]), Exit::Unreachable),
        (answer(&[]), Exit::Unreachable),
        (contradiction, Exit::Unreachable),
        (unknown, Exit::Usage),
        (json!({}), Exit::Usage),
    ] {
        let file = File::new(budgets(2));
        let server = Responder::start(&[("200 OK", &answer.to_string())]);
        assert_eq!(run(&file.path(), &server.url, &[], None).await.unwrap_err().exit, exit, "{answer}");
    }
}

/// Answers to looks of the rule `many`.
fn looks(verdicts: &[&str]) -> Vec<String> {
    let look = |verdict| {
        let mut answer = answer(&[verdict]);
        answer["looks"] = json!("many");
        answer.to_string()
    };
    verdicts.iter().map(|verdict| look(*verdict)).collect()
}

#[tokio::test]
async fn wait_looks_until_a_verdict_at_the_period_of_its_first_look() {
    for (verdicts, exit) in [(["inconclusive", "fail"], Exit::Fail), (["inconclusive", "pass"], Exit::Pass)] {
        let file = File::new(budgets(1));
        let answers = looks(&verdicts);
        let server = Responder::start(&[("200 OK", &answers[0]), ("503 Away", ""), ("200 OK", &answers[1])]);
        let arguments = ["--period", "24h", "--wait", "1m", "--every", "1s"];
        let done = run(&file.path(), &server.url, &arguments, None).await.unwrap();
        assert_eq!((done.exit, done.warning.as_str()), (exit, ""));
        let targets: Vec<String> = server
            .requests()
            .iter()
            .map(|request| request.lines().next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(targets.len(), 3, "a look that is not answered is repeated");
        assert_eq!(targets[0], "POST /api/v1/sites/default/gate?period=24h&looks=many HTTP/1.1");
        assert_eq!(targets[2], "POST /api/v1/sites/default/gate?from=a&looks=many HTTP/1.1");
    }
}

#[tokio::test]
async fn wait_whose_first_page_views_expire_is_inconclusive() {
    let file = File::new(budgets(1));
    let answers = looks(&["inconclusive", "pass"]);
    let later = answers[1].replace(r#""from":"a""#, r#""from":"later""#);
    let server = Responder::start(&[("200 OK", &answers[0]), ("200 OK", &later)]);
    let failure = run(&file.path(), &server.url, &["--wait", "1m", "--every", "1s"], None).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Inconclusive);
    assert!(
        failure.message.contains("from a, of which those before later have expired"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn wait_ends_inconclusive_when_its_time_is_up() {
    let file = File::new(budgets(1));
    let answers = looks(&["inconclusive"; 3]);
    let answers: Vec<(&str, &str)> = answers.iter().map(|answer| ("200 OK", answer.as_str())).collect();
    for (choice, exit) in [(&[][..], Exit::Inconclusive), (&["--on-inconclusive", "pass"], Exit::Pass)] {
        let server = Responder::start(&answers);
        let arguments = [&["--wait", "1s", "--every", "1s"][..], choice].concat();
        let done = run(&file.path(), &server.url, &arguments, None).await.unwrap();
        assert_eq!(done.exit, exit);
        assert!(
            done.warning.starts_with("warning: not decided within 1 second and 2 looks"),
            "{}",
            done.warning
        );
        assert!(done.stdout.contains("confidence sequence"), "{}", done.stdout);
    }
}

#[tokio::test]
async fn first_and_last_look_of_a_wait_must_be_answered() {
    let file = File::new(budgets(1));
    let arguments = ["--wait", "1s", "--every", "1s"];
    let failure = run(&file.path(), "http://127.0.0.1:1", &arguments, None).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    let first = &looks(&["inconclusive"])[0];
    let server = Responder::start(&[("200 OK", first), ("503 Away", "")]);
    let failure = run(&file.path(), &server.url, &arguments, None).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
}

#[tokio::test]
async fn server_that_judges_by_another_rule_is_no_pass() {
    let file = File::new(budgets(1));
    let one = answer(&["pass"]).to_string();
    for arguments in [&["--looks", "many"][..], &["--wait", "1m"]] {
        let server = Responder::start(&[("200 OK", &one)]);
        let failure = run(&file.path(), &server.url, arguments, None).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.message, "the server judged by the rule `looks=one`, not `looks=many`");
    }
}

#[test]
fn options_of_a_wait_that_contradict_are_refused() {
    let fixed = ["check", "--budget", "b.toml", "--token", "t"];
    for arguments in
        [&["--every", "10s"][..], &["--wait", "1m", "--looks", "one"], &["--wait", "1d"], &["--looks", "2"]]
    {
        assert!(Command::try_parse_from([&fixed[..], arguments].concat()).is_err(), "{arguments:?}");
    }
}

/// Whether a value has exactly these members.
fn has_members(value: &Value, names: &[&str]) -> bool {
    let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    found.sort_unstable();
    found == names
}

/// The rules of GitLab's documentation: each finding has these members, and fingerprints are unique.
#[tokio::test]
async fn code_quality_is_valid_for_gitlab() {
    let done = check(&["pass", "fail", "inconclusive"], &["--format", "code-quality"]).await;
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(findings.len(), 2, "a kept budget is no finding");
    for finding in &findings {
        assert!(
            has_members(finding, &["check_name", "description", "fingerprint", "location", "severity"]),
            "{finding}"
        );
        assert!(
            ["info", "minor", "major", "critical", "blocker"]
                .contains(&finding["severity"].as_str().unwrap())
        );
        assert_eq!(finding["location"], json!({"path": "budgets.toml", "lines": {"begin": 3}}));
        assert_eq!(finding["fingerprint"].as_str().unwrap().len(), 32);
    }
    assert_eq!((&findings[0]["severity"], &findings[1]["severity"]), (&json!("critical"), &json!("minor")));
    assert_eq!(
        findings[0]["description"],
        "route /p/*, phone: LCP p75 ≤ 2500 ms, measured 3100 ms (3000 ms to 3200 ms): why fail"
    );
}

#[tokio::test]
async fn browser_performance_has_the_measured_percentiles() {
    let done = check(&["pass", "fail"], &["--format", "browser-performance"]).await;
    let metric = json!({"name": "LCP p75 (ms)", "value": 3100.2, "desiredSize": "smaller"});
    assert_eq!(
        serde_json::from_str::<Value>(&done.stdout).unwrap(),
        json!([{"subject": "/p/*, phone", "metrics": [metric, metric]}])
    );
}

/// The rules of the schema (OASIS, sarif-schema-2.1.0.json) for the members that are here, and those of GitHub's upload.
#[tokio::test]
async fn sarif_is_valid_for_code_scanning() {
    let done = check(&["pass", "fail", "inconclusive"], &["--format", "sarif"]).await;
    let log: Value = serde_json::from_str(&done.stdout).unwrap();
    assert!(has_members(&log, &["$schema", "runs", "version"]), "{log}");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert!(has_members(run, &["results", "tool"]) && has_members(&run["tool"], &["driver"]));
    assert!(has_members(&run["tool"]["driver"], &["name", "rules", "version"]));
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1, "rules are unique");
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let members = ["level", "locations", "message", "partialFingerprints", "ruleId", "ruleIndex"];
        assert!(has_members(result, &members), "{result}");
        assert_eq!(result["ruleId"], rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        // GitHub refuses web addresses as locations.
        assert!(!place["artifactLocation"]["uri"].as_str().unwrap().contains(':'));
        assert_eq!(place["region"], json!({"startLine": 3}));
    }
}

#[tokio::test]
async fn warnings_are_no_failures_and_limits_not_evaluated_are_listed() {
    let mut told = answer(&["fail"]);
    told["verdict"] = json!("pass");
    told["budgets"][0]["severity"] = json!("warn");
    told["not_evaluated"] =
        json!([{"line": 7, "what": "speed-index", "why": "it needs a recording of the screen"}]);
    let listed = "7: not evaluated: speed-index: it needs a recording of the screen";
    for (format, expected) in [
        ("text", "fail (warn)"),
        ("text", listed),
        ("text", "pass: 1 exceeded, 0 kept, 0 inconclusive, 1 not evaluated"),
        ("markdown", "⚠️ fail (warn)"),
        ("markdown", "7: not evaluated: speed-index"),
        ("junit", "<skipped message="),
        ("github", "::warning "),
        ("sarif", "\"warning\""),
        ("code-quality", "\"minor\""),
    ] {
        let file = File::new(budgets(1).replace("metric", "severity = 'warn'\nmetric"));
        let server = Responder::start(&[("200 OK", &told.to_string())]);
        let done = run(&file.path(), &server.url, &["--format", format], None).await.unwrap();
        assert_eq!(done.exit, Exit::Pass, "{format}");
        assert!(done.stdout.contains(expected), "{format}: {}", done.stdout);
    }
}

#[tokio::test]
async fn files_of_other_tools_are_sent_as_they_are() {
    let text = r#"[{"timings": [{"metric": "largest-contentful-paint", "budget": 2500}]}]"#;
    let file = File::new(text);
    let server = Responder::start(&[("200 OK", &answer(&["pass"]).to_string())]);
    let done = run(&file.path(), &server.url, &[], None).await.unwrap();
    assert_eq!(done.exit, Exit::Pass);
    assert!(server.requests()[0].ends_with(&format!("\r\n\r\n{text}")));
    let failure = run(
        &File::new("{\"name\": \"x\", \"version\": \"1\", \"scripts\": {}}").path(),
        &server.url,
        &[],
        None,
    )
    .await;
    assert!(failure.unwrap_err().message.contains(":1:1: a package.json; expected budgets in TOML"));
}

fn increased(verdict: &str) -> Value {
    let mut told = answer(&[verdict]);
    let budget = &mut told["budgets"][0];
    budget["max"] = json!(2_604.0);
    budget["increase"] = json!({"max_percent": 5.0, "min": 100.0, "baseline": "previous",
        "against": {"release": "5.0.9", "period": {"from": "a", "to": "b"}, "n": 5_000, "measured": 2_480.0,
            "design_effect": 1.2, "design_effect_from": "hours"},
        "change": 620.2, "change_percent": 25.0, "interval": [520.0, 720.0], "unweighted": 2_900.0, "covered": 0.98});
    told
}

#[tokio::test]
async fn increase_is_told_with_its_baseline() {
    let file = File::new("[[budget]]\nmetric = 'LCP'\nmax_increase = '5%'\n");
    let run = async |told: &Value, format: &str| {
        let server = Responder::start(&[("200 OK", &told.to_string())]);
        run(&file.path(), &server.url, &["--format", format], None).await.unwrap().stdout
    };
    let compared = "2480 ms in 5.0.9 (5,000 page views), now +620 ms (+520 ms to +720 ms), +25.0 %; without weights 2900 ms";
    for (format, expected) in [
        ("text", "2604 ms"),
        ("text", compared),
        ("md", "LCP p75 ≤ +5 % over 5.0.9, or +100 ms"),
        ("md", compared),
        ("junit", "name=\"lcp.p75.increase.phone.over-previous\""),
        ("junit", compared),
        ("github", "LCP p75 ≤ +5 %25 over 5.0.9, or +100 ms"),
        ("sarif", "\"ruleId\": \"lcp.p75.increase\""),
        ("code-quality", compared),
        ("browser-performance", "LCP p75 (ms) at the mix of previous"),
    ] {
        let out = run(&increased("fail"), format).await;
        assert!(out.contains(expected), "{format}: {out}");
    }
    // A first release has no baseline.
    let mut first = increased("inconclusive");
    let budget = &mut first["budgets"][0];
    for absent in ["max", "measured", "interval"] {
        budget[absent] = Value::Null;
    }
    budget["reason"] = json!("no baseline: no other release");
    for absent in ["against", "change", "change_percent", "interval", "unweighted"] {
        budget["increase"][absent] = Value::Null;
    }
    let out = run(&first, "md").await;
    assert!(out.contains("LCP p75 ≤ +5 % over previous, or +100 ms | – | 240 |"), "{out}");
    assert!(run(&first, "text").await.contains("+5 %"));
}
