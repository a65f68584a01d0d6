//! Tests tokens that are limited to sites: every other site is as if it were not there.

use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::{Value, json};

/// A server with the sites `default`, `shop` and `blog`, and the secret of a token for `shop` and `default`.
async fn limited_server(scope: &str) -> (Server, String) {
    let server = Server::start().await;
    for site in ["shop", "blog"] {
        server.cli_json(&["site", "add", site, "--origin", "https://shop.example", "--json"]).await;
    }
    let args = ["token", "add", "ci", "--scope", scope, "--site", "shop", "--site", "default", "--json"];
    let token = server.cli_json(&args).await;
    assert_eq!(token["sites"], json!(["shop", "default"]));
    let secret = token["token"].as_str().expect("a secret").to_owned();
    eventually(|| async {
        match ask(&server, &secret, &Method::GET, "/api/v1/sites").await {
            (200, _) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    (server, secret)
}

/// Sends a request with a token. Returns the status and the body.
async fn ask(server: &Server, secret: &str, method: &Method, path: &str) -> (u16, String) {
    let url = format!("{}{path}", server.url);
    let mut request = server.http.request(method.clone(), url).bearer_auth(secret);
    if *method != Method::GET {
        request = request.body("{}");
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    // A stream of live updates has no end.
    let is_stream = path.ends_with("/live") && status == 200;
    (status, if is_stream { String::new() } else { answer.text().await.expect("a body") })
}

/// The API's paths with a site, and their methods, from its own description.
async fn paths_of_sites(server: &Server) -> Vec<(Method, String)> {
    let described = server.http.get(format!("{}/api/v1/openapi.json", server.url)).send().await;
    let described: Value = described.expect("an answer").json().await.expect("JSON");
    let mut found = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|_| path.contains("{site}")) {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            found.push((method, path.clone()));
        }
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

#[tokio::test]
async fn every_endpoint_answers_for_another_site_as_for_a_missing_one() {
    let (server, secret) = limited_server("write").await;
    for (method, path) in paths_of_sites(&server).await {
        let of = |site: &str| path.replace("{site}", site);
        let hidden = ask(&server, &secret, &method, &of("blog")).await;
        let missing = ask(&server, &secret, &method, &of("nowhere")).await;
        assert_eq!((hidden.0, hidden.1.replace("blog", "nowhere")), missing, "{method} {path}");
        assert_eq!(missing.0, 404, "{method} {path}: {}", missing.1);
        let own = ask(&server, &secret, &method, &of("shop")).await;
        // Neither Google's record nor a channel of digests is there, but the answers say so in other words.
        let is_of_site = ["crux_off", "channel_unknown"].iter().any(|code| own.1.contains(code));
        assert!(own.0 != 404 || is_of_site, "{method} {path}: {}", own.1);
    }
}

#[tokio::test]
async fn lists_and_sessions_show_the_sites_of_the_token_only() {
    let (server, secret) = limited_server("read").await;
    let (_, sites) = ask(&server, &secret, &Method::GET, "/api/v1/sites").await;
    let sites: Value = serde_json::from_str(&sites).unwrap();
    let names = |sites: &Value| -> Vec<String> {
        let sites = sites["sites"].as_array().unwrap().iter();
        sites.map(|site| site["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&sites), ["default", "shop"]);
    let (status, told) = ask(&server, &secret, &Method::GET, "/api/v1/status").await;
    assert!(status == 200 && !told.contains("blog"), "{told}");

    // A session, and a link that the session's token makes.
    let session = format!("{}/api/v1/session", server.url);
    let own_page = ("Fieldvitals-Dashboard", "1");
    let signed_in = server.http.post(session).header(own_page.0, own_page.1);
    let signed_in = signed_in.body(json!({"token": secret}).to_string()).send().await.unwrap();
    assert_eq!(signed_in.status(), 204);
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let asked = async |method: Method, path: &str, body: Value| {
        let request = server.http.request(method, format!("{}/api/v1/{path}", server.url));
        let request = request.header(COOKIE, &cookie).header(own_page.0, own_page.1);
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let (_, sites) = asked(Method::GET, "sites", Value::Null).await;
    assert_eq!(names(&sites), ["default", "shop"]);
    assert_eq!(asked(Method::GET, "sites/blog/report", Value::Null).await.0, 404);
    assert_eq!(asked(Method::POST, "sites/blog/links", json!({"days": 1})).await.0, 404);
    assert_eq!(asked(Method::POST, "sites/shop/links", json!({"days": 1})).await.0, 200);
}

#[tokio::test]
async fn token_of_a_deleted_site_is_for_no_site() {
    let server = Server::start().await;
    server.cli_json(&["site", "add", "shop", "--origin", "https://shop.example", "--json"]).await;
    let token = server.cli_json(&["token", "add", "ci", "--site", "shop", "--json"]).await;
    let secret = token["token"].as_str().unwrap();
    let unknown = server.cli(&["token", "add", "ci", "--site", "shpo"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `shop`?"));
    server.cli_json(&["site", "delete", "shop", "--yes", "--json"]).await;
    eventually(|| async {
        let (status, sites) = ask(&server, secret, &Method::GET, "/api/v1/sites").await;
        let sites: Value = serde_json::from_str(&sites).unwrap();
        if status == 200 && sites["sites"] == json!([]) { Ok(()) } else { Err(format!("{status} {sites}")) }
    })
    .await;
    let listed = server.cli_json(&["token", "list", "--json"]).await;
    let sites: Vec<&Value> = listed.as_array().unwrap().iter().map(|token| &token["sites"]).collect();
    assert_eq!(sites[0], &Value::Null, "the token of the first start is for all sites");
    assert!(sites[1][0].as_str().unwrap().starts_with('#'), "{listed}");
}

#[tokio::test]
async fn token_past_its_rate_is_told_to_wait_and_others_are_not() {
    let server = Server::start().await;
    let slow = server.cli_json(&["token", "add", "slow", "--rate", "1", "--json"]).await;
    assert_eq!(slow["rate"], 1);
    let slow = slow["token"].as_str().expect("a secret").to_owned();
    eventually(|| async {
        match ask(&server, &slow, &Method::GET, "/api/v1/sites").await {
            (200, _) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    // A burst of ten seconds' worth.
    let mut refused = None;
    for _ in 0..60 {
        let url = format!("{}/api/v1/sites", server.url);
        let answer = server.http.get(url).bearer_auth(&slow).send().await.expect("an answer");
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let told: Value = refused.json().await.expect("JSON");
    assert_eq!(told["error"]["code"], "token_rate", "{told}");
    assert_eq!(ask(&server, &server.token, &Method::GET, "/api/v1/sites").await.0, 200);
    let described = ask(&server, &server.token, &Method::GET, "/api/v1/openapi.json").await.1;
    let described: Value = serde_json::from_str(&described).expect("JSON");
    assert!(described["paths"]["/api/v1/sites"]["get"]["responses"]["429"].is_object());
    let too_high = server.cli(&["token", "add", "x", "--rate", "0"]).await;
    assert_eq!(too_high.status.code(), Some(2));
}
