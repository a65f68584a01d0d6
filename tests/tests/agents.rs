//! `fieldvitals mcp`: tools for agents, called by the reference client of the protocol.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::server::{Server, binary};
use fieldvitals_tests::{clients, shop};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

const BUDGET: &str = "[[budget]]\nmetric = \"LCP\"\nmax = 60000\n";

/// Calls tools of a server. Returns `None` without the client.
async fn session(server: &Server, token: &str, calls: &[(&str, Value)]) -> Option<Value> {
    let calls: Vec<Value> =
        calls.iter().map(|(name, arguments)| json!({"name": name, "arguments": arguments})).collect();
    let binary = binary().canonicalize().unwrap().to_string_lossy().into_owned();
    let env = [
        ("BINARY", binary.as_str()),
        ("FIELDVITALS_SERVER", &server.url),
        ("FIELDVITALS_TOKEN", token),
        ("CALLS", &json!(calls).to_string()),
    ];
    clients::node(include_str!("../node/agent.mjs"), &env).await
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

#[tokio::test]
async fn agent_calls_each_tool() {
    let server = shop::server().await;
    let token = server.cli_json(&["token", "add", "agent", "--scope", "read", "--json"]).await;
    let calls = [
        ("sites", json!({})),
        ("report", json!({"period": "28d"})),
        ("report", json!({"period": "28d", "route": "/product/:id", "device": "phone", "format": "json"})),
        ("report", json!({"period": "28d", "by": "device"})),
        ("series", json!({"metric": "LCP", "period": "28d"})),
        (
            "compare",
            json!({"release": "2.5.0", "against": "2.4.0", "route": "/product/:id", "device": "phone", "period": "28d"}),
        ),
        ("attribution", json!({"metric": "LCP", "route": "/product/:id", "period": "28d"})),
        ("check", json!({"budget": BUDGET, "period": "28d"})),
    ];
    let Some(answer) = session(&server, token["token"].as_str().unwrap(), &calls).await else { return };
    assert_eq!((&answer["server"]["name"], &answer["log"]), (&json!("fieldvitals"), &json!("")), "{answer}");
    let tools = answer["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sites", "report", "series", "compare", "attribution", "check"]);
    for tool in tools {
        assert_eq!(
            (&tool["inputSchema"]["type"], &tool["annotations"]["readOnlyHint"]),
            (&json!("object"), &json!(true))
        );
    }
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["isError"] == json!(false)), "{results:#?}");
    for (place, expected) in [
        (0, "shop: pages of *; days begin in UTC"),
        (1, "/product/:id"),
        (3, "desktop"),
        (4, "start,metric,n,value,good,needs_improvement,poor"),
        (5, "worse"),
        (6, "main>div.gallery>img.hero"),
        (7, "pass: 0 exceeded, 1 kept, 0 inconclusive"),
    ] {
        assert!(text(&results[place]).contains(expected), "{expected}: {}", text(&results[place]));
    }
    let days = text(&results[4]).lines().count() - 1;
    assert!((28..=29).contains(&days), "a row for each day: {}", text(&results[4]));
    let page = &results[2]["structuredContent"];
    let same: Value = serde_json::from_str(text(&results[2])).unwrap();
    assert_eq!(clients::as_in_javascript(&same), clients::as_in_javascript(page));
    let known = server.get("sites/shop/report?period=28d&route=/product/:id&device=phone").await.unwrap();
    assert_eq!(page["metrics"]["LCP"]["p75"], known["metrics"]["LCP"]["p75"]);
    assert!(!text(&results[2]).contains("distribution"), "no bins of charts");
}

#[tokio::test]
async fn agent_reads_what_was_wrong_and_why_there_is_nothing() {
    let server = shop::server().await;
    let calls = [
        ("report", json!({"device": "fone"})),
        ("report", json!({"rout": "/"})),
        ("report", json!({"browser": "chrome"})),
        ("report", json!({"period": "week"})),
        ("report", json!({"site": "shpo"})),
        ("check", json!({"budget": "[[budget]]\nmetric = \"LCPP\"\nmax = 1\n"})),
        ("series", json!({"metric": "LCP", "route": "/prodct/:id"})),
        ("reports", json!({})),
    ];
    // The token of the first start may write.
    let Some(answer) = session(&server, &server.token, &calls).await else { return };
    let results = answer["results"].as_array().unwrap();
    for (place, is_error, expected) in [
        (0, true, "`device` is `fone`: expected phone, tablet, desktop"),
        (1, true, "there is no argument `rout`; did you mean `route`?"),
        (2, true, "did you mean `Chrome`?"),
        (3, true, "expected hours or days"),
        (4, true, "did you mean `shop`?"),
        (5, true, "budget:2:10: "),
        (6, false, "nearest: /product/:id"),
    ] {
        assert_eq!(results[place]["isError"], json!(is_error), "{}", results[place]);
        assert!(text(&results[place]).contains(expected), "{expected}: {}", text(&results[place]));
    }
    let thrown = results[7]["thrown"].as_str().unwrap();
    assert!(thrown.contains("there is no tool `reports`; did you mean `report`?"), "{thrown}");
    let log = answer["log"].as_str().unwrap();
    assert!(log.contains("warning: the token has the scope `admin`; agents need only `read`"), "{log}");
}

#[tokio::test]
async fn mcp_without_a_client_or_a_token_says_so() {
    let server = Server::start().await;
    let output = server.cli(&["mcp"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("error: no MCP client on standard input and output"), "{told}");
    let output = server.command(&["mcp"]).env_remove("FIELDVITALS_TOKEN").output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("error: no API token: give --token TOKEN or set FIELDVITALS_TOKEN"), "{told}");
}

/// Writes lines to `fieldvitals mcp`; returns the answer with an id.
async fn raw(server: &Server, lines: &[Value], id: i64) -> Value {
    let mut command = server.command(&["mcp"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = answers.next_line().await.unwrap().expect("an answer with this id");
        let answer: Value = serde_json::from_str(&line).unwrap();
        if answer["id"] == id {
            return answer;
        }
    }
}

#[tokio::test]
async fn parameters_of_another_shape_are_invalid_and_an_unknown_method_is_not_found() {
    let server = Server::start().await;
    let client = json!({"name": "test", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    for (method, params, code) in [
        ("tools/call", json!({"name": 7}), -32602),
        ("tools/call", json!({"name": "sites", "arguments": "x"}), -32602),
        ("tools/call", json!({"name": "reports"}), -32602),
        ("tools/cal", json!({}), -32601),
    ] {
        let lines = [
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": method, "params": params}),
        ];
        let answer = raw(&server, &lines, 2).await;
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
    }
}
