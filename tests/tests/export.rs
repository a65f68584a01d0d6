//! Tests `fieldvitals export`: with DuckDB as the reader, on both stores, with kills in the middle.

use fieldvitals_store::context::LcpDetail;
use fieldvitals_store::context::conditions::Conditions;
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{
    Context, Detail, LoadBatch, Loading as _, Senders, Source, SpoolId, StoredView, Transfer as _,
};
use fieldvitals_store_postgres::testing::Database;
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::duckdb::ask;
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::{OLD_VIEWS, Ran, command, day_text, fill, recent_day_ms, run};
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use vitals::metric::Metric;
use vitals::view::Device;

/// Page views within retention.
const VIEWS: u32 = 6_000;
/// Rows of a step: an export has many.
const STEP: &str = "100";

/// Fills an embedded store in a folder, one page view with everything that makes an encoding difficult. Returns its page
/// views.
async fn folder_store(folder: &Path) -> Vec<StoredView> {
    let store = SqliteStore::open(&folder.join("store.db")).await.expect("a store");
    let site = fill(&store, "shop", VIEWS).await.id;
    let mut view = store.views(site, None, 1).await.expect("a page view").remove(0).update;
    view.source = Source::Own { seq: 9 };
    view.url = "https://shop.example/\"é\",\n;=1+1".to_owned();
    view.release = Some("=HYPERLINK(\"x\")".to_owned());
    view.context = Context {
        detail: Some(Box::new(Detail {
            lcp: Some(LcpDetail {
                target: "img[alt=\"a'b\"]".to_owned(),
                url: String::new(),
                parts_ms: [1, 2, 3, 4],
            }),
            inp: None,
            cls: None,
            tags: vec![("plan".to_owned(), "=pro\n\"\\".to_owned())],
            marks: vec![("order".to_owned(), 17)],
        })),
        conditions: Some(Box::new(Conditions { engaged: Some(true), ..Conditions::default() })),
        ..Context::NONE
    };
    let batch = LoadBatch {
        site,
        spool: SpoolId([8; 16]),
        after: 0,
        up_to: 1,
        beacons: vec![vec![view]],
        senders: Senders::Unknown,
    };
    store.load(batch).await.expect("a load");
    let views = store.views(site, None, 2 * VIEWS).await.expect("the page views");
    assert_eq!(views.len(), VIEWS as usize);
    store.close().await;
    views
}

/// Exports into a file of a folder.
fn export(store: [&str; 2], file: &Path, args: &[&str]) -> Ran {
    let file = file.to_str().expect("a path in UTF-8");
    run(&[&["export", "--site", "shop", "--output", file][..], &store, args].concat())
}

/// A page view as DuckDB reads it.
fn row(view: &StoredView) -> Value {
    let update = &view.update;
    let number = |metric: Metric| update.values.get(metric).map(|value| value.number(metric));
    let detail = update.context.detail.as_deref();
    json!([
        update.id.text(),
        update.id.start_ms(),
        update.received_ms,
        update.source == Source::Foreign,
        update.url,
        update.route,
        update.device.map(Device::name),
        update.browser,
        update.release,
        number(Metric::Lcp),
        number(Metric::Cls),
        number(Metric::Inp),
        detail.map(|_| true),
        detail.and_then(|detail| detail.lcp.as_ref()).map(|lcp| lcp.target.as_str()),
        detail.map(|detail| detail.tags[0].1.as_str()),
        detail.map(|detail| i64::from(detail.marks[0].1)),
    ])
}

/// The columns of [`row`] in a file.
fn query(from: &str) -> String {
    format!(
        "select id::varchar, epoch_ms(start_utc::timestamptz), epoch_ms(received_utc::timestamptz), is_foreign, url, route, device, browser, \
         release, lcp_ms::double, cls::double, inp_ms::double, engaged, attribution->>'$.lcp.target', \
         tags->>'$.plan', (marks_ms->>'$.order')::bigint from {from} order by id"
    )
}

#[tokio::test]
async fn duckdb_reads_each_format_as_the_store_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let views = folder_store(folder.path()).await;
    let store = ["--data-dir", folder.path().to_str().unwrap()];
    let file = |name: &str| folder.path().join(name);
    for format in ["parquet", "csv", "jsonl"] {
        let written = export(store, &file(&format!("views.{format}")), &["--format", format]);
        assert_eq!(written.code, Some(0), "{written:?}");
        assert!(written.stderr.contains("6,000 page views of `shop`"), "{written:?}");
    }
    let expected: Vec<Value> = views.iter().map(row).collect();
    let quoted = |name: &str| format!("'{}'", file(name).display());
    let from = [quoted("views.parquet"), quoted("views.jsonl"), quoted("views.csv")];
    let queries = from.each_ref().map(|from| query(from));
    let answers = ask(&queries.each_ref().map(String::as_str));
    for (answer, from) in answers.iter().zip(&from).take(2) {
        assert_eq!(answer.len(), expected.len(), "{from}");
        for (read, stored) in answer.iter().zip(&expected) {
            assert_eq!(read, stored, "{from}");
        }
    }
    // CSV: a text that a spreadsheet would run as a formula begins with an apostrophe.
    let mut guarded = expected;
    guarded[0][4] = "https://shop.example/\"é\",\n;'=1+1".into();
    guarded[0][8] = "'=HYPERLINK(\"x\")".into();
    assert_eq!(answers[2], guarded);
    let types = ask(&[&format!(
        "select column_name || ' ' || column_type from (describe select * from {}) where column_name in \
         ('id', 'start_utc', 'lcp_ms', 'engaged', 'first_input_ms', 'tags')",
        from[0]
    )]);
    assert_eq!(
        Value::from(types[0].clone()),
        json!([
            ["id UUID"],
            ["start_utc TIMESTAMP WITH TIME ZONE"],
            ["lcp_ms DOUBLE"],
            ["engaged BOOLEAN"],
            ["first_input_ms BIGINT"],
            ["tags VARCHAR"],
        ])
    );
}

#[tokio::test]
async fn sums_of_an_export_are_the_answers_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let token = run(&["token", "add", "ci", "--json", "--data-dir", &data]).json();
    folder_store(folder.path()).await;
    let [views, rollups] = ["views.parquet", "rollups.parquet"].map(|name| folder.path().join(name));
    let day = day_text(recent_day_ms());
    let written = export(["--data-dir", &data], &views, &["--format", "parquet", "--from", &day]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let args = ["--format", "parquet", "--what", "rollups", "--to", &day_text(recent_day_ms() + 3 * DAY_MS)];
    let written = export(["--data-dir", &data], &rollups, &args);
    assert_eq!(written.code, Some(0), "{written:?}");

    let server = Server::start_on(folder).await;
    let url = format!("{}/api/v1/sites/shop/report?from={day}T00:00:00Z&device=phone", server.url);
    let answer = server.http.get(url).bearer_auth(token["token"].as_str().unwrap()).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let lcp = &answer["metrics"]["LCP"];
    let answers = ask(&[
        &format!(
            "select count(*), count(*) filter (lcp_ms <= 2500), count(*) filter (lcp_ms > 4000) from '{}' \
             where device = 'phone'",
            views.display()
        ),
        &format!(
            "select sum(views)::bigint, sum(lcp_good)::bigint, sum(lcp_poor)::bigint from '{}' \
             where dimension = 'device' and value = 'phone' and day_utc >= '{day}'",
            rollups.display()
        ),
        &format!(
            "select dimension, sum(views)::bigint from '{}' group by dimension order by dimension",
            rollups.display()
        ),
    ]);
    let expected = json!([[answer["views"], lcp["good"], lcp["poor"]]]);
    assert_eq!(
        (Value::from(answers[0].clone()), Value::from(answers[1].clone())),
        (expected.clone(), expected)
    );
    let all = i64::from(VIEWS + 2 * OLD_VIEWS);
    let dimensions = ["browser", "connection", "country", "device", "navigation_type", "release", "route"];
    assert_eq!(
        Value::from(answers[2].clone()),
        Value::from(dimensions.map(|name| json!([name, all])).to_vec()),
        "also of days whose page views are past retention"
    );
}

/// Kills an export after some steps, and finishes it. Returns the file.
async fn killed_and_finished(store: [&str; 2], folder: &Path) -> Vec<u8> {
    let file = folder.join("killed.parquet");
    let name = file.to_str().expect("what the test needs works");
    let args = ["export", "--output", name, "--format", "parquet", "--row-group", STEP, store[0], store[1]];
    let mut running = command(&args).stderr(Stdio::null()).spawn().expect("what the test needs works");
    let part = folder.join("killed.parquet.part");
    let steps = || std::fs::read_dir(&part).map_or(0, Iterator::count);
    eventually(|| async { if steps() > 4 { Ok(()) } else { Err("no step is done".to_owned()) } }).await;
    running.kill().expect("what the test needs works");
    running.wait().expect("what the test needs works");
    assert!(!file.exists(), "it has no name before it is whole");

    let refused = run(&args);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("not whole; --resume"), "{refused:?}");
    let other = run(&[&args[..], &["--resume", "--period", "7d"]].concat());
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains("its --period is `absent`, not `7d`"), "{other:?}");

    let resumed = run(&[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.stderr.contains("page views are written already"), "{resumed:?}");
    assert!(!part.exists());
    let bytes = std::fs::read(&file).expect("what the test needs works");
    // The next store has a file of the same name.
    std::fs::remove_file(&file).expect("what the test needs works");
    bytes
}

#[tokio::test]
async fn export_that_is_killed_resumes_to_the_same_file_on_both_stores() {
    let folder = tempfile::tempdir().unwrap();
    folder_store(folder.path()).await;
    let data = folder.path().to_str().unwrap();
    let database = Database::migrated().await;
    let copied = run(&["store", "copy", "--from", data, "--to", &database.url]);
    assert_eq!(copied.code, Some(0), "{copied:?}");

    let embedded = ["--data-dir", data];
    let whole = folder.path().join("whole.parquet");
    let written = export(embedded, &whole, &["--format", "parquet", "--row-group", STEP]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let whole = std::fs::read(&whole).unwrap();
    for store in [embedded, ["--database-url", database.url.as_str()]] {
        assert!(killed_and_finished(store, folder.path()).await == whole, "{store:?}");
    }
}

#[tokio::test]
async fn export_into_a_pipe_is_the_file() {
    let folder = tempfile::tempdir().unwrap();
    folder_store(folder.path()).await;
    let data = folder.path().to_str().unwrap();
    let file = folder.path().join("views");
    for format in ["parquet", "csv", "jsonl"] {
        let args = ["--format", format, "--row-group", "1000"];
        if format != "parquet" {
            let refused = export(["--data-dir", data], &file, &args);
            assert!(refused.code == Some(2) && refused.stderr.contains("--force replaces it"), "{refused:?}");
        }
        let args = [&args[..], &["--force"]].concat();
        assert_eq!(export(["--data-dir", data], &file, &args).code, Some(0));
        let mut piped = command(&["export", "--output", "-", "--data-dir", data]);
        let piped = piped.args(&args).output().unwrap();
        assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
        assert!(piped.stdout == std::fs::read(&file).unwrap(), "{format}");
    }
    // A reader that has what it wants, such as `head`, is no error.
    let mut unread = command(&["export", "--output", "-", "--data-dir", data, "--format", "csv"]);
    let mut unread = unread.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(unread.stdout.take());
    let ended = unread.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && !err.contains("error"), "{err}");
}
