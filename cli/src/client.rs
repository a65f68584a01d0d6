//! HTTP client of a fieldvitals server. Turns every failure into a message and a hint for the user.

pub(crate) mod answer;
#[cfg(test)]
pub(crate) mod responder;

use crate::exit::{Exit, Failure};
use crate::limits;
use crate::names::{as_options, unknown};
use crate::output::plain;
use crate::store_args::StoreArgs;
use answer::{ErrorAnswer, ErrorDetail, NamesAnswer, SitesAnswer};
use reqwest::{Method, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error as _;
use std::time::Duration;

/// Address of the server, API token and site.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address.
    #[arg(long, env = "FIELDVITALS_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = server_url)]
    pub(crate) server: Url,
    /// An API token with the scope `read`.
    #[arg(long, env = "FIELDVITALS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The site; optional if the server has only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,
}

/// The hint for a refused value.
pub(crate) const OPTIONS: &str = "The command with --help lists its options.";

/// The variable with the server's address.
const SERVER: &str = "FIELDVITALS_SERVER";

/// A server to change settings on, instead of a store.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RemoteArgs {
    /// Work over the network on this server, not on the store: https://vitals.example. FIELDVITALS_SERVER names it, too,
    /// unless a store is named (--data-dir, --database-url or their variables).
    #[arg(long, value_name = "URL", value_parser = server_url)]
    server: Option<Url>,
    /// The API token for the server, with the scope that the change needs.
    #[arg(long, env = "FIELDVITALS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

impl RemoteArgs {
    /// The client of the server; `None` if the command works on the store.
    pub(crate) fn client(&self, store: &StoreArgs) -> Result<Option<Client>, Failure> {
        let Some(server) = self.server(store)? else { return Ok(None) };
        Client::new(&ServerArgs { server, token: self.token.clone(), site: None }).map(Some)
    }

    /// The server's address; `None` if the command works on the store.
    pub(crate) fn server(&self, store: &StoreArgs) -> Result<Option<Url>, Failure> {
        let in_environment = || std::env::var(SERVER).ok().filter(|url| !url.trim().is_empty());
        match &self.server {
            Some(server) => Ok(Some(server.clone())),
            None if store.is_named() => Ok(None),
            None => in_environment().map(|url| server_url(url.trim())).transpose().map_err(|error| {
                Failure::usage(format!("{SERVER}: {error}"), "Correct it, or unset it to work on the store.")
            }),
        }
    }
}

pub(crate) fn server_url(text: &str) -> Result<Url, String> {
    let expected = "expected an address such as https://vitals.example or http://127.0.0.1:8080";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(format!("this is no web address; {expected}"))
    }
}

/// Checks a period of the API: `24h`, `7d`.
pub(crate) fn period(text: &str) -> Result<String, String> {
    let number = text.strip_suffix(['h', 'd']).unwrap_or_default();
    match number.parse::<u16>() {
        Ok(1..) => Ok(text.to_owned()),
        _ => Err("expected hours or days, such as 24h, 7d, 28d or 90d".to_owned()),
    }
}

/// Parses a device class, for clap.
pub(crate) fn devices() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(vitals::view::Device::ALL.iter().map(|device| device.name()))
}

/// Parses an operating system family, for clap.
pub(crate) fn systems() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(vitals::view::Os::ALL.iter().map(|os| os.name()))
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    token: String,
}

/// Query parameters of a request; parameters without a value are omitted.
pub(crate) type Query<'a> = &'a [(&'a str, Option<&'a str>)];

impl Client {
    /// Creates a client; fails without a token.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let token = args.token.clone().filter(|token| !token.trim().is_empty()).ok_or_else(|| {
            Failure::usage(
                "no API token: give --token TOKEN or set FIELDVITALS_TOKEN",
                "On the server, `fieldvitals token add NAME --scope read` makes one.",
            )
        })?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(vitals::limits::CLIENT_TIME_MS_MAX))
            // Redirects are off: a redirect must not send the token to another host.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("fieldvitals/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Failure::usage(
                    format!("cannot set up HTTPS: {}", causes(&error)),
                    "The system's certificates are needed; on Debian: apt-get install ca-certificates",
                )
            })?;
        Ok(Self { http, server: args.server.clone(), token: token.trim().to_owned() })
    }

    /// Returns the named site, or the only site of the server.
    pub(crate) async fn site(&self, named: Option<&str>) -> Result<String, Failure> {
        if let Some(name) = named {
            return Ok(name.to_owned());
        }
        let (_, answer): (_, SitesAnswer) = self.get(&["sites"], &[]).await?;
        match answer.sites.as_slice() {
            [site] => Ok(site.name.clone()),
            [] => Err(Failure::usage(
                "the server has no site",
                "On the server, `fieldvitals site add NAME --origin ORIGIN` adds one.",
            )),
            sites => {
                let names: Vec<String> = sites.iter().map(|site| plain(&site.name)).collect();
                Err(Failure::usage(
                    format!("the server has {} sites: {}", sites.len(), names.join(", ")),
                    "Say which one with --site NAME.",
                ))
            }
        }
    }

    /// Gets a path under `/api/v1`. Returns the raw JSON and the parsed answer.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
    ) -> Result<(Value, T), Failure> {
        self.ask(path, self.http.request(Method::GET, self.url(path, query))).await
    }

    /// Changes a setting: sends JSON, if there is any. Returns the JSON of the answer, `null` if it has none.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method, self.url(path, query));
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(self.ask::<Value>(path, request).await?.0)
    }

    /// Posts a budget file. Returns the raw JSON and the parsed answer.
    pub(crate) async fn post_toml<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: String,
    ) -> Result<(Value, T), Failure> {
        let request = self.http.request(Method::POST, self.url(path, query));
        self.ask(path, request.header("content-type", "application/toml").body(body)).await
    }

    /// Puts a budget file. Returns the raw JSON and the parsed answer.
    pub(crate) async fn put_toml<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: String,
    ) -> Result<(Value, T), Failure> {
        let request = self.http.request(Method::PUT, self.url(path, query));
        self.ask(path, request.header("content-type", "application/toml").body(body)).await
    }

    /// Posts JSON. Returns the raw JSON and the parsed answer.
    pub(crate) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<(Value, T), Failure> {
        self.ask(path, self.http.request(Method::POST, self.url(path, &[])).json(body)).await
    }

    /// A warning if no page view of this release is in the period: its name may be wrong. Empty if the release is known
    /// or the server does not answer.
    pub(crate) async fn release_warning(&self, site: &str, release: &str, period: &str) -> String {
        // One metric makes the smallest answer.
        let query = [("by", Some("release")), ("period", Some(period)), ("metrics", Some("LCP"))];
        let answer = self.get::<NamesAnswer>(&["sites", site, "breakdown"], &query).await;
        let Ok((_, answer)) = answer else { return String::new() };
        let known: Vec<String> = answer.values.into_iter().filter_map(|one| one.value).collect();
        if known.iter().any(|known| known == release) {
            return String::new();
        }
        format!("warning: {}", unknown("release", release, &format!(" in the last {period}"), &known))
    }

    fn url(&self, path: &[&str], query: Query<'_>) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url.set_query(None);
        url.set_fragment(None);
        if query.iter().any(|(_, value)| value.is_some()) {
            url.query_pairs_mut()
                .extend_pairs(query.iter().filter_map(|(name, value)| value.map(|value| (name, value))));
        }
        url
    }

    /// Asks, and asks once more after `Retry-After` if the server is busy.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        request: reqwest::RequestBuilder,
    ) -> Result<(Value, T), Failure> {
        let again = request.try_clone();
        let sent = request.try_clone().and_then(|copy| copy.build().ok()).map(|copy| copy.url().clone());
        let mut reply = self.send(request).await?;
        if let (Some(wait), Some(again)) = (reply.busy_for(), again) {
            tokio::time::sleep(wait).await;
            reply = self.send(again).await?;
        }
        let server = self.server.origin().ascii_serialization();
        if reply.status.is_success() {
            let strange = |error: serde_json::Error| {
                Failure::usage(
                    format!("the answer of {server} is not that of a fieldvitals server: {error}"),
                    "Is this its address, and does it run the same version as this command?",
                )
            };
            // The answer of a deletion has no body.
            let body = if reply.body.is_empty() { b"null" } else { reply.body.as_slice() };
            // A proxy's page for people stands in for a server that is away.
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| Failure { exit: Exit::Unreachable, ..strange(error) })?;
            let read = T::deserialize(&value).map_err(strange)?;
            return Ok((value, read));
        }
        let said = reply.error();
        let failure = refused(&server, reply.status, reply.location, said.as_ref());
        let failure = match (&said, sent) {
            (Some(said), Some(sent)) => in_terms_of_commands(failure, &said.code, &sent),
            _ => failure,
        };
        Err(match (path, said) {
            (["sites", site, ..], Some(said)) if said.code == "site_unknown" => {
                // Boxed, because the list of sites is asked for in the same way.
                Box::pin(self.nearest_site(site, failure)).await
            }
            _ => failure,
        })
    }

    /// Sends a request, and reads the reply within its bound.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, Failure> {
        let broken = |error: reqwest::Error| self.broken(&error);
        let mut response = request.bearer_auth(&self.token).send().await.map_err(broken)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let location = header("location").map(plain);
        let retry_after_s = header("retry-after").and_then(|seconds| seconds.parse().ok());
        let mut reply = Reply { status: response.status(), location, retry_after_s, body: Vec::new() };
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if reply.body.len() + chunk.len() > limits::CLIENT_ANSWER_BYTES_MAX {
                let (server, max) =
                    (self.server.origin().ascii_serialization(), limits::CLIENT_ANSWER_BYTES_MAX);
                return Err(Failure::unreachable(
                    format!("{server} answered with more than {max} bytes"),
                    "Is this a fieldvitals server? --server URL says where it is.",
                ));
            }
            reply.body.extend_from_slice(&chunk);
        }
        Ok(reply)
    }

    /// Adds the nearest site to the failure of a site that the server does not have. Keeps the server's hint.
    async fn nearest_site(&self, site: &str, failure: Failure) -> Failure {
        let place = format!(" on {}", self.server.origin().ascii_serialization());
        match self.get::<SitesAnswer>(&["sites"], &[]).await {
            Ok((_, answer)) => {
                let known: Vec<String> = answer.sites.into_iter().map(|site| site.name).collect();
                Failure { message: unknown("site", site, &place, &known), ..failure }
            }
            Err(_) => failure,
        }
    }

    /// The failure of a connection.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let server = self.server.origin().ascii_serialization();
        let cause = causes(error);
        // rustls' words for an answer that is not TLS.
        if self.server.scheme() == "https" && cause.contains("InvalidContentType") {
            let plain = server.replacen("https:", "http:", 1);
            return Failure::unreachable(
                format!("cannot reach {server}: the server speaks plain HTTP at this port"),
                format!("Try --server {plain}, or the address of the proxy that has the certificate."),
            );
        }
        // hyper's words for an answer that is not HTTP, such as a TLS alert.
        if self.server.scheme() == "http" && cause.contains("invalid HTTP version") {
            let encrypted = server.replacen("http:", "https:", 1);
            return Failure::unreachable(
                format!("cannot reach {server}: what it answers is not plain HTTP"),
                format!("Try --server {encrypted}."),
            );
        }
        // rustls' words.
        if cause.contains("invalid peer certificate") {
            return Failure::unreachable(
                format!("cannot trust {server}: {cause}"),
                "HTTPS trusts the certificate authorities of the system. SSL_CERT_FILE=authority.pem names another one. The \
                 certificate must be of this host name, and not expired.",
            );
        }
        Failure::unreachable(
            format!("cannot reach {server}: {cause}"),
            "Is the server running? --server URL or FIELDVITALS_SERVER says where it is.",
        )
    }
}

/// A reply of a server.
struct Reply {
    status: StatusCode,
    location: Option<String>,
    retry_after_s: Option<u64>,
    body: Vec<u8>,
}

impl Reply {
    fn error(&self) -> Option<ErrorDetail> {
        serde_json::from_slice::<ErrorAnswer>(&self.body).ok().map(|answer| answer.error)
    }

    /// Returns the time after which a busy server asks for a retry; `None` if it is not busy, or asks for too long.
    fn busy_for(&self) -> Option<Duration> {
        let seconds = self.retry_after_s.filter(|&seconds| seconds <= limits::RETRY_AFTER_S_MAX)?;
        let is_busy = self.status == StatusCode::SERVICE_UNAVAILABLE && self.error()?.code == "busy";
        is_busy.then(|| Duration::from_secs(seconds))
    }
}

/// Turns an error response into a failure with a hint.
fn refused(
    server: &str,
    status: StatusCode,
    location: Option<String>,
    said: Option<&ErrorDetail>,
) -> Failure {
    let message = |what: &str| match said {
        Some(said) => format!("{what}: {}", plain(&said.message)),
        None => format!("{what}: {server} answered {status}"),
    };
    let hint = |fallback: &str| match said {
        Some(said) if !said.hint.is_empty() => plain(&said.hint),
        _ => fallback.to_owned(),
    };
    match status.as_u16() {
        300..=399 => Failure::usage(
            format!("{server} redirects to {}", location.unwrap_or_else(|| "somewhere else".to_owned())),
            "Give the address where the server really is; tokens are not sent on.",
        ),
        401 => Failure::usage(
            message("the server does not accept the token"),
            hint("--token TOKEN or FIELDVITALS_TOKEN must hold a token of this server."),
        ),
        403 => Failure::usage(
            message("the token does not allow this"),
            hint("A token with the scope `read` is needed."),
        ),
        408 | 429 | 500..=599 => Failure::unreachable(
            message("the server cannot answer now"),
            hint("Try again later; the server's log says why."),
        ),
        _ => match said {
            Some(said) => Failure::usage(plain(&said.message), plain(&said.hint)),
            None => Failure::usage(
                format!(
                    "{server} answered {status}: this is no fieldvitals server, or one of another version"
                ),
                "--server URL or FIELDVITALS_SERVER says where it is.",
            ),
        },
    }
}

/// Names the options of a command in a failure that names parameters or addresses of the API.
fn in_terms_of_commands(failure: Failure, code: &str, sent: &Url) -> Failure {
    match code {
        "parameter" => {
            let parameters: Vec<_> = sent.query_pairs().map(|(name, _)| name).collect();
            let message = as_options(&failure.message, &parameters);
            Failure { message, hint: OPTIONS.to_owned(), ..failure }
        }
        "not_found" => {
            Failure { hint: "Does the server run the same version as this command?".to_owned(), ..failure }
        }
        _ => failure,
    }
}

/// Returns the root cause of an error, on one line. Omits the URL, because the message names the server.
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(plain(&error.to_string()));
        cause = error.source();
    }
    // The last cause is the most specific: "connection refused", "invalid peer certificate".
    texts.pop().unwrap_or_else(|| plain(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::responder::Responder;
    use super::*;
    use crate::exit::Exit;
    use serde_json::json;

    fn args(server: &str) -> ServerArgs {
        ServerArgs { server: server_url(server).unwrap(), token: Some("secret".to_owned()), site: None }
    }

    async fn failure(status: &str, body: &str) -> Failure {
        let server = Responder::start(&[(status, body)]);
        let client = Client::new(&args(&server.url)).unwrap();
        client.get::<Value>(&["sites"], &[]).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_request_carries_token_path_and_parameters() {
        let server = Responder::start(&[("200 OK", "{}")]);
        let client = Client::new(&args(&format!("{}/behind/", server.url))).unwrap();
        let query = [("route", Some("/a b?&=é")), ("device", None)];
        client.get::<Value>(&["sites", "my/site", "report"], &query).await.unwrap();
        let request = server.requests().remove(0);
        assert!(
            request.starts_with(
                "GET /behind/api/v1/sites/my%2Fsite/report?route=%2Fa+b%3F%26%3D%C3%A9 HTTP/1.1\r\n"
            ),
            "{request}"
        );
        assert!(request.to_lowercase().contains("authorization: bearer secret\r\n"), "{request}");
    }

    #[tokio::test]
    async fn every_refusal_has_its_exit_code_and_says_what_to_do() {
        let error = |message: &str| {
            json!({"error": {"code": "x", "message": message, "hint": "Do this."}}).to_string()
        };
        for (status, body, exit, message) in [
            (
                "401 Unauthorized",
                error("it is unknown"),
                Exit::Usage,
                "the server does not accept the token: it is unknown",
            ),
            ("403 Forbidden", error("scope"), Exit::Usage, "the token does not allow this: scope"),
            ("404 Not Found", error("there is no site `x`"), Exit::Usage, "there is no site `x`"),
            ("400 Bad Request", error("`period` is wrong"), Exit::Usage, "`period` is wrong"),
            (
                "503 Service Unavailable",
                error("the store is away"),
                Exit::Unreachable,
                "the server cannot answer now: the store is away",
            ),
            (
                "429 Too Many Requests",
                error("slowly"),
                Exit::Unreachable,
                "the server cannot answer now: slowly",
            ),
        ] {
            let failure = failure(status, &body).await;
            assert_eq!(
                (failure.exit, failure.message.as_str(), failure.hint.as_str()),
                (exit, message, "Do this.")
            );
        }
        let parameter = json!({"error": {"code": "parameter", "message": "`period` is `7`: expected hours", "hint": "See the API."}});
        let server = Responder::start(&[("400 Bad Request", &parameter.to_string())]);
        let client = Client::new(&args(&server.url)).unwrap();
        let refused = client.get::<Value>(&["sites"], &[("period", Some("7"))]).await.unwrap_err();
        assert_eq!(
            (refused.message.as_str(), refused.hint.as_str()),
            ("--period is `7`: expected hours", OPTIONS)
        );
        let failure_502 = failure("502 Bad Gateway", "<html>").await;
        assert_eq!(failure_502.exit, Exit::Unreachable);
        let failure_404 = failure("404 Not Found", "<html>").await;
        assert_eq!(failure_404.exit, Exit::Usage);
        assert!(failure_404.message.contains("this is no fieldvitals server"), "{}", failure_404.message);
        let redirected = failure("301 Moved\r\nLocation: https://elsewhere.example/", "").await;
        assert_eq!(redirected.exit, Exit::Usage);
        assert!(
            redirected.message.ends_with("redirects to https://elsewhere.example/"),
            "{}",
            redirected.message
        );
        let strange = failure("200 OK", "<html>hello").await;
        assert_eq!(strange.exit, Exit::Unreachable);
        assert!(strange.message.contains("is not that of a fieldvitals server"), "{}", strange.message);
        let hostile = failure("400 Bad Request", &error("\u{1b}[2J")).await;
        assert_eq!(hostile.message, "\\u{1b}[2J");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let url = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let failure = Client::new(&args(&url)).unwrap().get::<Value>(&["sites"], &[]).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.message.starts_with(&format!("cannot reach {url}: ")), "{}", failure.message);
        assert!(failure.message.to_lowercase().contains("refused"), "{}", failure.message);
    }

    #[tokio::test]
    async fn plain_http_to_a_port_with_tls_names_its_https_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            // A fatal alert of TLS: decode_error.
            let _ = std::io::Write::write_all(&mut stream, &[0x15, 3, 3, 0, 2, 2, 50]);
        });
        let failure = Client::new(&args(&http)).unwrap().get::<Value>(&["sites"], &[]).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.message, format!("cannot reach {http}: what it answers is not plain HTTP"));
        assert!(failure.hint.contains(&http.replace("http:", "https:")), "{}", failure.hint);
    }

    #[tokio::test]
    async fn https_to_a_server_without_tls_names_its_http_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            // The client's first TLS message is no HTTP request.
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            );
        });
        let https = http.replace("http:", "https:");
        let failure = Client::new(&args(&https)).unwrap().get::<Value>(&["sites"], &[]).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(
            failure.message,
            format!("cannot reach {https}: the server speaks plain HTTP at this port")
        );
        assert!(failure.hint.contains(&http), "{}", failure.hint);
    }

    #[tokio::test]
    async fn the_only_site_need_not_be_named() {
        let one = json!({"sites": [{"name": "default"}]}).to_string();
        let two = json!({"sites": [{"name": "shop"}, {"name": "blog"}]}).to_string();
        let none = json!({"sites": []}).to_string();
        let server = Responder::start(&[("200 OK", &one), ("200 OK", &two), ("200 OK", &none)]);
        let client = Client::new(&args(&server.url)).unwrap();
        assert_eq!(client.site(Some("named")).await.unwrap(), "named");
        assert_eq!(client.site(None).await.unwrap(), "default");
        let many = client.site(None).await.unwrap_err();
        assert_eq!((many.exit, many.message.as_str()), (Exit::Usage, "the server has 2 sites: shop, blog"));
        assert_eq!(client.site(None).await.unwrap_err().exit, Exit::Usage);
    }

    #[tokio::test]
    async fn unknown_site_is_answered_with_the_nearest_site_and_the_hint_of_the_server() {
        let error = json!({"code": "site_unknown", "message": "there is no site `shpo`", "hint": "Do this."});
        let refusal = json!({ "error": error }).to_string();
        let sites = json!({"sites": [{"name": "shop"}, {"name": "blog"}]}).to_string();
        let server = Responder::start(&[
            ("404 Not Found", &refusal),
            ("200 OK", &sites),
            ("404 Not Found", &refusal),
            ("500 Oh", ""),
        ]);
        let client = Client::new(&args(&server.url)).unwrap();
        let failure = client.get::<Value>(&["sites", "shpo", "report"], &[]).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            failure.message,
            format!("there is no site `shpo` on {}; did you mean `shop`?", server.url)
        );
        assert_eq!(failure.hint, "Do this.");
        let failure = client.get::<Value>(&["sites", "shpo", "report"], &[]).await.unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.hint.as_str()),
            ("there is no site `shpo`", "Do this."),
            "without the list of sites"
        );
    }

    #[tokio::test]
    async fn busy_server_is_asked_once_more_after_its_time() {
        let error = |code: &str| json!({"error": {"code": code, "message": "m", "hint": "h"}}).to_string();
        let (busy, away) = (error("busy"), error("store_away"));
        let refusal = |after: &str| format!("503 Service Unavailable\r\nRetry-After: {after}");
        let asked = async |answers: &[(&str, &str)]| {
            let server = Responder::start(answers);
            let client = Client::new(&args(&server.url)).unwrap();
            let answer = client.post_toml::<Value>(&["sites", "a", "gate"], &[], "x".to_owned()).await;
            (answer.map(drop).map_err(|failure| failure.exit), server.requests())
        };
        let (answer, requests) = asked(&[(&refusal("0"), &busy), ("200 OK", "{}")]).await;
        assert_eq!((answer, requests.len()), (Ok(()), 2));
        assert_eq!(requests[0], requests[1], "the same request");
        for answers in [
            [(refusal("0"), &busy), (refusal("0"), &busy)],
            [(refusal("0"), &away), ("200 OK".to_owned(), &busy)],
            [(refusal("3600"), &busy), ("200 OK".to_owned(), &busy)],
            [("503 Service Unavailable".to_owned(), &busy), ("200 OK".to_owned(), &busy)],
        ] {
            let answers = answers.each_ref().map(|(status, body)| (status.as_str(), body.as_str()));
            assert_eq!(asked(&answers).await.0, Err(Exit::Unreachable), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn unknown_release_is_warned_of_and_a_known_one_is_not() {
        let answer = json!({"values": [{"value": "1.4.2"}, {"value": null}]}).to_string();
        let server = Responder::start(&[("200 OK", &answer), ("200 OK", &answer), ("500 Oh", "")]);
        let client = Client::new(&args(&server.url)).unwrap();
        assert_eq!(client.release_warning("shop", "1.4.2", "7d").await, "");
        assert_eq!(
            client.release_warning("shop", "1.4.3", "7d").await,
            "warning: there is no release `1.4.3` in the last 7d; did you mean `1.4.2`?"
        );
        assert_eq!(client.release_warning("shop", "1.4.3", "7d").await, "", "a warning is no reason to fail");
        assert!(server.requests()[1].starts_with("GET /api/v1/sites/shop/breakdown?by=release&period=7d"));
    }

    #[test]
    fn a_token_is_needed() {
        for token in [None, Some(String::new()), Some("  ".to_owned())] {
            let failure = Client::new(&ServerArgs { token, ..args("http://localhost:1") }).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains("FIELDVITALS_TOKEN"));
        }
    }

    #[test]
    fn addresses_and_periods_are_checked() {
        assert!(server_url("https://vitals.example/behind").is_ok());
        for text in ["localhost:8080", "ftp://vitals.example", "vitals.example", "", "file:///etc"] {
            assert!(server_url(text).unwrap_err().contains("expected an address"), "{text}");
        }
        for text in ["24h", "7d", "28d", "90d"] {
            assert_eq!(period(text).as_deref(), Ok(text));
        }
        for text in ["", "d", "0d", "7", "7w", "-7d", "1.5d", "7 d"] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
