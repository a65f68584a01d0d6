//! Examines a page: its tag, its policy, the files that it loads, and whether its beacons are taken.

use super::browser;
use super::fetch::{Fetched, Fetcher, shown};
use super::html::{self, Tag};
use super::policy::{Policy, Refusal};
use crate::client::Client;
use crate::output::plain;
use fieldvitals_server::intake::{lookup, origin};
use fieldvitals_store::diagnosis::Finding;
use reqwest::{Method, Url};
use serde::Deserialize;

/// Digits of the hash in the names of the module's files, at least.
const HASH_DIGITS_MIN: usize = 8;

/// `GET /sites`, as far as a page's tag needs it.
#[derive(Debug, Deserialize)]
struct SitesAnswer {
    sites: Vec<SiteAnswer>,
}

#[derive(Debug, Deserialize)]
struct SiteAnswer {
    name: String,
    keys: Vec<KeyAnswer>,
    origins: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct KeyAnswer {
    key: String,
    /// Time of expiry of an old key.
    until: Option<String>,
}

/// The addresses that a page's tag leads to.
struct Addresses {
    page: Url,
    script: Url,
    /// Where beacons go.
    endpoint: Url,
    /// The loader and the module; `None` without a module in the script.
    module: Option<[Url; 2]>,
}

/// Examines a page.
pub(super) async fn diagnose(
    fetcher: &Fetcher,
    page: &Url,
    client: Option<&Client>,
    in_browser: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let key = examine(fetcher, page, client, &mut findings).await;
    if in_browser {
        findings.push(browser::visit(page, key.as_deref()).await);
    }
    findings
}

/// Examines a page without a browser. Returns the key of its tag.
async fn examine(
    fetcher: &Fetcher,
    page: &Url,
    client: Option<&Client>,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let fetched = match fetcher.get(page, &[("accept", "text/html")]).await {
        Ok(fetched) => fetched,
        Err(reason) => {
            let advice = "Is the address right, and may this machine reach it?";
            findings.push(Finding::problem(
                "page.fetch",
                format!("{} does not answer: {reason}", shown(page)),
                advice,
            ));
            return None;
        }
    };
    if !fetched.status.is_success() {
        findings.push(Finding::problem(
            "page.fetch",
            format!("{} answers {}", fetched.url, fetched.status.as_u16()),
            "Name a page that visitors see. A page behind a login cannot be examined from here.",
        ));
        return None;
    }
    findings.push(Finding::ok("page.fetch", format!("{} answers {}", fetched.url, fetched.status.as_u16())));
    let html = html::read(&fetched.text());
    let Some(tag) = html.tags.first() else {
        findings.push(Finding::problem(
            "page.tag",
            "the HTML has no script tag of v.js",
            "`fieldvitals site list` prints the tag; put it into the head. A tag that a tag manager or a bundle adds \
             does not show here: --browser sees it.",
        ));
        return None;
    };
    let base = html
        .base
        .as_ref()
        .and_then(|base| fetched.url.join(base).ok())
        .unwrap_or_else(|| fetched.url.clone());
    let Ok(script) = base.join(tag.src()) else {
        findings.push(Finding::problem(
            "page.tag",
            format!("the address of the script, `{}`, is none", tag.src()),
            "Copy the tag that `fieldvitals site list` prints.",
        ));
        return None;
    };
    findings.extend(judge_tag(tag, html.tags.len(), &script, &fetched.url));
    let key = site_key(tag, &script);

    let page_origin = fetched.url.origin().ascii_serialization();
    let body = match get_file(
        fetcher,
        "page.script",
        &script,
        &page_origin,
        &["text/javascript", "application/javascript"],
        false,
    )
    .await
    {
        Ok((body, finding)) => {
            findings.push(finding);
            Some(body)
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    let addresses = Addresses::new(&fetched.url, &base, script, tag, body.as_deref().unwrap_or_default());
    findings.extend(judge_policies(&policies(&fetched, &html.policies), tag, &addresses));
    if let Some(body) = &body {
        findings.extend(files(fetcher, body, &addresses, &page_origin).await);
    }
    let site = match (client, &key) {
        (Some(client), Some(key)) => {
            let (finding, site) = known_site(client, key, &page_origin).await;
            findings.push(finding);
            site
        }
        _ => None,
    };
    if let Some(key) = &key {
        findings.push(preflight(fetcher, &addresses, key, &page_origin, site.as_deref()).await);
    }
    key
}

/// An option, as the script reads it: a parameter of its address, else an attribute of the tag.
fn option(tag: &Tag, script: &Url, name: &str) -> Option<String> {
    let parameter = script.query_pairs().filter(|(own, _)| own == name).last();
    let parameter = parameter.map(|(_, text)| text.into_owned());
    parameter.or_else(|| tag.get(&format!("data-{name}")).map(str::to_owned)).filter(|text| !text.is_empty())
}

/// The site's key.
fn site_key(tag: &Tag, script: &Url) -> Option<String> {
    option(tag, script, "site")
}

/// Judges how the tag is embedded.
fn judge_tag(tag: &Tag, count: usize, script: &Url, page: &Url) -> Vec<Finding> {
    const CHECK: &str = "page.tag";
    let mut findings = Vec::new();
    if site_key(tag, script).is_none() {
        findings.push(Finding::problem(
            CHECK,
            "the tag has no data-site, so the script does nothing",
            "Copy the tag that `fieldvitals site list` prints, with its data-site.",
        ));
    }
    if page.scheme() == "https" && script.scheme() == "http" {
        findings.push(Finding::problem(
            CHECK,
            format!("the page is https, and the script {script} is http: browsers block it"),
            "Serve fieldvitals by https (docs/operating.md), and change the tag.",
        ));
    }
    let is_late =
        ["async", "defer"].iter().any(|name| tag.get(name).is_some()) || tag.get("type") == Some("module");
    if !is_late {
        findings.push(Finding::warning(
            CHECK,
            "the tag has no async, so the page waits for the script",
            "Write <script async …>. The script misses nothing: browsers buffer early entries.",
        ));
    }
    if tag.get("integrity").is_some() {
        findings.push(Finding::warning(
            CHECK,
            "the tag has an integrity: the next release of the server has another script, which browsers then refuse",
            "Remove the attribute, or change it with each release.",
        ));
    }
    if count > 1 {
        findings.push(Finding::warning(
            CHECK,
            format!("the page has {count} tags of the script; the first one measures, the others do nothing"),
            "Keep one tag.",
        ));
    }
    if let Some(sample) = option(tag, script, "sample") {
        const ADVICE: &str = "Write 0.1 for a tenth of the page views, or leave it out.";
        match sample.trim().parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 1.0 => {}
            Ok(share) if share <= 0.0 => findings.push(Finding::problem(
                CHECK,
                format!("data-sample is `{}`: no page view is sent", plain(&sample)),
                ADVICE,
            )),
            _ => findings.push(Finding::warning(
                CHECK,
                format!(
                    "data-sample is `{}`, no share between 0 and 1: all page views are sent",
                    plain(&sample)
                ),
                ADVICE,
            )),
        }
    }
    if findings.is_empty() {
        let consent = match option(tag, script, "consent").as_deref() {
            Some("required") => "; nothing is sent before fieldvitals.consent(true)",
            _ => "",
        };
        findings.push(Finding::ok(CHECK, format!("{script}, async, with {}{consent}", tag.options())));
    }
    findings
}

/// The policies of the response and of its HTML.
fn policies(fetched: &Fetched, of_html: &[String]) -> Vec<Policy> {
    let of_headers = fetched.headers.get_all("content-security-policy");
    let of_headers = of_headers.into_iter().filter_map(|value| value.to_str().ok());
    of_headers.chain(of_html.iter().map(String::as_str)).flat_map(Policy::read).collect()
}

/// Judges the policies of a page. All of them must allow.
fn judge_policies(policies: &[Policy], tag: &Tag, to: &Addresses) -> Vec<Finding> {
    if policies.is_empty() {
        return vec![Finding::ok("page.policy", "the page has no content security policy")];
    }
    let refused = |decide: &dyn Fn(&Policy) -> Result<(), Refusal>| {
        policies.iter().find_map(|policy| decide(policy).err())
    };
    let host = |url: &Url| url.origin().ascii_serialization();
    let mut findings = Vec::new();
    if let Some(refusal) = refused(&Policy::sandbox) {
        findings.push(Finding::problem(
            "page.policy.sandbox",
            format!("the page's policy `{}` forbids all scripts", refusal.directive),
            "Add allow-scripts.",
        ));
    }
    if let Some(refusal) = refused(&|policy| policy.script(tag, &to.script, &to.page)) {
        findings.push(Finding::problem(
            "page.policy.script",
            format!("the page's policy `{}` forbids the script {}", refusal.directive, to.script),
            format!("Add {} to script-src, or give the tag the nonce of the page.", host(&to.script)),
        ));
    }
    if let Some([loader, _]) = &to.module
        && let Some(refusal) = refused(&|policy| policy.import(tag, loader, &to.page))
    {
        findings.push(Finding::warning(
            "page.policy.module",
            format!(
                "the page's policy `{}` forbids the import of {loader}; the script sends raw queues",
                refusal.directive
            ),
            format!("Add {} to script-src, or give the tag the nonce of the page.", host(loader)),
        ));
    }
    if let Some(refusal) = refused(&Policy::wasm) {
        findings.push(Finding::warning(
            "page.policy.wasm",
            format!(
                "the page's policy `{}` forbids WebAssembly; the script sends raw queues",
                refusal.directive
            ),
            "Add 'wasm-unsafe-eval' to script-src. Without it the server measures by the same code, without \
             attribution.",
        ));
    }
    if let Some(refusal) = refused(&|policy| policy.connect(&to.endpoint, &to.page)) {
        findings.push(Finding::problem(
            "page.policy.connect",
            format!("the page's policy `{}` forbids beacons to {}", refusal.directive, to.endpoint),
            format!("Add {} to connect-src.", host(&to.endpoint)),
        ));
    } else if let Some([_, module]) = &to.module
        && let Some(refusal) = refused(&|policy| policy.connect(module, &to.page))
    {
        findings.push(Finding::warning(
            "page.policy.connect",
            format!(
                "the page's policy `{}` forbids to fetch {module}; the script sends raw queues",
                refusal.directive
            ),
            format!("Add {} to connect-src.", host(module)),
        ));
    }
    if findings.is_empty() {
        findings
            .push(Finding::ok("page.policy", "the page's policy allows the script, WebAssembly and beacons"));
    }
    findings
}

impl Addresses {
    /// Finds the addresses as the script does: the module beside the script, the endpoint by an option or at its place.
    fn new(page: &Url, base: &Url, script: Url, tag: &Tag, body: &str) -> Self {
        let own = option(tag, &script, "endpoint");
        let beside = || script.join("v1/beacon").unwrap_or_else(|_| script.clone());
        let endpoint = own.and_then(|own| base.join(&own).ok()).unwrap_or_else(beside);
        let module = module_name(body).and_then(|name| {
            let file = |end| script.join(&format!("c/{name}.{end}")).ok();
            Some([file("js")?, file("wasm")?])
        });
        Self { page: page.clone(), script, endpoint, module }
    }
}

/// The hash in the names of the module's files, which a script with a module names.
fn module_name(script: &str) -> Option<&str> {
    script.match_indices(".js").find_map(|(at, _)| {
        let before = script.get(..at)?;
        let name = before.trim_end_matches(|digit: char| digit.is_ascii_hexdigit());
        let hash = before.get(name.len()..)?;
        (hash.len() >= HASH_DIGITS_MIN).then_some(hash)
    })
}

/// Gets a file as a page does, and checks its type and its cross-origin headers. Returns its text and a finding.
async fn get_file(
    fetcher: &Fetcher,
    check: &'static str,
    url: &Url,
    page_origin: &str,
    types: &[&str],
    needs_cors: bool,
) -> Result<(String, Finding), Finding> {
    let fetched = fetcher.get(url, &[("origin", page_origin)]).await.map_err(|reason| {
        Finding::problem(
            check,
            format!("{url} does not answer: {reason}"),
            "Is the server running, and do visitors reach it at this address? Its proxy and DNS are part of the way.",
        )
    })?;
    if !fetched.status.is_success() {
        return Err(Finding::problem(
            check,
            format!("{url} answers {}", fetched.status.as_u16()),
            "Is this the address of a fieldvitals server? A proxy in front must pass /v.js, /c/ and /v1/ on.",
        ));
    }
    let media_type = fetched.media_type();
    if !types.contains(&media_type.as_str()) {
        return Err(Finding::problem(
            check,
            format!(
                "{url} has the type `{}`, not {}",
                plain(&media_type),
                types.first().copied().unwrap_or_default()
            ),
            "Browsers refuse it. Another program answers in the server's place, or a proxy changes the type.",
        ));
    }
    let is_foreign = url.origin().ascii_serialization() != page_origin;
    let allowed = fetched.header("access-control-allow-origin");
    if needs_cors && is_foreign && allowed != "*" && allowed != page_origin {
        return Err(Finding::problem(
            check,
            format!("{url} has no Access-Control-Allow-Origin for {page_origin}"),
            "Browsers refuse the import. The server sends `*`: a proxy or a CDN in front drops the header.",
        ));
    }
    Ok((fetched.text(), Finding::ok(check, format!("{url}, {media_type}, {} bytes", fetched.body.len()))))
}

/// Checks the files of the module.
async fn files(fetcher: &Fetcher, body: &str, to: &Addresses, page_origin: &str) -> Vec<Finding> {
    if !body.contains("fieldvitals") {
        return vec![Finding::problem(
            "page.script",
            format!("{} is not the script of fieldvitals", to.script),
            "Copy the tag that `fieldvitals site list` prints.",
        )];
    }
    let Some([loader, module]) = &to.module else {
        return vec![Finding::warning(
            "page.module",
            "the server has no wasm module; pages send raw queues",
            "The server measures them, without the module's attribution. `cargo xtask dist` builds a binary with the \
             module.",
        )];
    };
    let mut findings = Vec::new();
    for (check, url, types) in [
        ("page.module", loader, &["text/javascript", "application/javascript"][..]),
        ("page.wasm", module, &["application/wasm"][..]),
    ] {
        let got = get_file(fetcher, check, url, page_origin, types, true).await;
        findings.push(got.map_or_else(|finding| finding, |(_, finding)| finding));
    }
    findings
}

/// Looks up the tag's key among the sites of the server. Returns the site's name too.
async fn known_site(client: &Client, key: &str, page_origin: &str) -> (Finding, Option<String>) {
    const CHECK: &str = "page.site";
    let sites = match client.get::<SitesAnswer>(&["sites"], &[]).await {
        Ok((_, answer)) => answer.sites,
        Err(failure) => return (Finding::problem(CHECK, failure.message, failure.hint), None),
    };
    let found = sites.iter().find_map(|site| Some((site, site.keys.iter().find(|known| known.key == key)?)));
    let Some((site, known)) = found else {
        let keys: Vec<String> = sites.iter().flat_map(|site| &site.keys).map(|key| key.key.clone()).collect();
        let advice = match lookup::nearest(key, &keys).first() {
            Some(near) => format!("Did you mean `{near}`? `fieldvitals site list` prints the keys."),
            None => "`fieldvitals site list` prints the keys. Is --server the server of the tag?".to_owned(),
        };
        let found = format!("no site of the server has the key `{}`: beacons are refused (404)", plain(key));
        return (Finding::problem(CHECK, found, advice), None);
    };
    let name = plain(&site.name);
    let finding = if !origin::may_be_allowed(page_origin, &site.origins) {
        Finding::problem(
            CHECK,
            format!(
                "the site `{name}` takes no beacons of {page_origin}, only of {}",
                site.origins.join(", ")
            ),
            format!("fieldvitals site update {name} --origin {page_origin} (name all of its origins)"),
        )
    } else if let Some(until) = &known.until {
        Finding::warning(
            CHECK,
            format!("the tag has an old key of the site `{name}`, which ends {until}"),
            "Change the tag: `fieldvitals site list` prints the new one.",
        )
    } else {
        Finding::ok(CHECK, format!("the key is of the site `{name}`, which takes beacons of {page_origin}"))
    };
    (finding, Some(site.name.clone()))
}

/// Asks as a browser does before a beacon with credentials. The server answers by the site's origins.
async fn preflight(
    fetcher: &Fetcher,
    to: &Addresses,
    key: &str,
    page_origin: &str,
    site: Option<&str>,
) -> Finding {
    const CHECK: &str = "page.ingest";
    let endpoint = &to.endpoint;
    let mut url = endpoint.clone();
    url.query_pairs_mut().append_pair("site", key);
    let headers = [
        ("origin", page_origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let answer = match fetcher.send(Method::OPTIONS, &url, &headers).await {
        Ok(answer) => answer,
        Err(reason) => {
            return Finding::problem(
                CHECK,
                format!("{endpoint} does not answer: {reason}"),
                "Is the server running, and do visitors reach it at this address?",
            );
        }
    };
    if !answer.status.is_success() {
        return Finding::problem(
            CHECK,
            format!("{endpoint} answers a preflight with {}", answer.status.as_u16()),
            "A proxy in front must pass OPTIONS and POST of /v1/ on to the server.",
        );
    }
    let allowed = answer.header("access-control-allow-origin");
    let with_credentials = answer.header("access-control-allow-credentials") == "true";
    if allowed == page_origin && with_credentials && site.is_none() {
        return Finding::warning(
            CHECK,
            format!(
                "{endpoint} takes beacons of {page_origin}; whether the server knows the key was not asked"
            ),
            "Give --server and --token, or --browser.",
        );
    }
    if allowed == page_origin && with_credentials {
        return Finding::ok(CHECK, format!("{endpoint} takes beacons of {page_origin}"));
    }
    if allowed.is_empty() {
        return Finding::problem(
            CHECK,
            format!("{endpoint} answers without Access-Control-Allow-Origin"),
            "Another program answers in the server's place, or a proxy drops the header.",
        );
    }
    Finding::problem(
        CHECK,
        format!("{endpoint} takes no beacons of {page_origin} for this tag's site"),
        format!(
            "fieldvitals site update {} --origin {page_origin} (name all of its origins)",
            site.map_or_else(|| "NAME".to_owned(), plain)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::diagnosis::Level;

    fn tag(attributes: &str) -> Tag {
        html::read(&format!("<script {attributes}></script>")).tags.remove(0)
    }

    #[test]
    fn each_fault_of_a_tag_has_its_sentence() {
        let (page, script) =
            ("https://shop.example/".parse().unwrap(), "https://v.example/v.js".parse().unwrap());
        let found = |attributes: &str, script: &Url| judge_tag(&tag(attributes), 1, script, &page).remove(0);
        assert_eq!(found("async src=/v.js data-site=k", &script).level, Level::Ok);
        for (attributes, said) in [
            ("async src=/v.js", "no data-site"),
            ("src=/v.js data-site=k", "no async"),
            ("async src=/v.js data-site=k integrity=sha256-x", "integrity"),
            ("async src=/v.js data-site=k data-sample=ten", "all page views are sent"),
            ("async src=/v.js data-site=k data-sample=0", "no page view is sent"),
        ] {
            let finding = found(attributes, &script);
            assert!(finding.level != Level::Ok && finding.found.contains(said), "{finding:?}");
        }
        let plain_http = "http://v.example/v.js".parse().unwrap();
        assert!(found("async src=/v.js data-site=k", &plain_http).found.contains("browsers block it"));
        assert!(
            judge_tag(&tag("async src=/v.js data-site=k"), 2, &script, &page)[0].found.contains("2 tags")
        );
        let by_parameter = "https://v.example/v.js?site=k".parse().unwrap();
        assert_eq!(found("async src=/v.js", &by_parameter).level, Level::Ok);
    }

    #[test]
    fn addresses_are_those_of_the_script() {
        let page: Url = "https://shop.example/a/b".parse().unwrap();
        let script: Url = "https://v.example/vitals/v.js".parse().unwrap();
        let at = |attributes: &str, body: &str| {
            let to = Addresses::new(&page, &page, script.clone(), &tag(attributes), body);
            (
                to.endpoint.to_string(),
                to.module.map(|[loader, module]| [loader.path().to_owned(), module.path().to_owned()]),
            )
        };
        let (endpoint, module) = at("src=/v.js", "i(`v1/beacon`);import(i(`c/685825ca.js`))");
        assert_eq!(endpoint, "https://v.example/vitals/v1/beacon");
        assert_eq!(module, Some(["/vitals/c/685825ca.js".to_owned(), "/vitals/c/685825ca.wasm".to_owned()]));
        let (endpoint, module) = at("src=/v.js", "i(`v1/beacon`);`/v.js`");
        assert_eq!((endpoint.as_str(), module), ("https://v.example/vitals/v1/beacon", None));
        assert_eq!(at("src=/v.js data-endpoint=/in", "").0, "https://shop.example/in");
        let own: Url = "https://v.example/v.js?site=k&endpoint=https://x.example/in".parse().unwrap();
        let to = Addresses::new(&page, &page, own, &tag("src=/v.js data-endpoint=/other"), "");
        assert_eq!(to.endpoint.as_str(), "https://x.example/in", "parameters go before attributes");
    }

    #[test]
    fn each_refusal_of_a_policy_has_its_sentence() {
        let page: Url = "https://shop.example/".parse().unwrap();
        let script: Url = "https://v.example/v.js".parse().unwrap();
        let tag = tag("async src=/v.js data-site=k");
        let to = Addresses::new(&page, &page, script, &tag, "`/v1/beacon` `c/685825ca.js`");
        let checks = |policy: &str| {
            let findings = judge_policies(&Policy::read(policy), &tag, &to);
            findings.iter().map(|finding| (finding.check, finding.level)).collect::<Vec<_>>()
        };
        let own = "https://v.example";
        assert_eq!(checks(""), [("page.policy", Level::Ok)]);
        assert_eq!(
            checks(&format!("script-src {own} 'wasm-unsafe-eval'; connect-src {own}")),
            [("page.policy", Level::Ok)]
        );
        assert_eq!(
            checks(&format!("script-src {own}; connect-src {own}")),
            [("page.policy.wasm", Level::Warning)]
        );
        assert_eq!(
            checks(&format!("script-src {own} 'wasm-unsafe-eval'; connect-src 'self'")),
            [("page.policy.connect", Level::Problem)]
        );
        assert_eq!(
            checks(&format!("script-src {own}/v.js 'wasm-unsafe-eval'")),
            [("page.policy.module", Level::Warning)]
        );
        assert_eq!(checks("script-src 'self' 'wasm-unsafe-eval'")[0], ("page.policy.script", Level::Problem));
        assert_eq!(checks("sandbox")[0], ("page.policy.sandbox", Level::Problem));
        assert_eq!(
            checks(&format!("script-src {own} 'wasm-unsafe-eval', connect-src 'none'")),
            [("page.policy.connect", Level::Problem)],
            "all policies must allow"
        );
    }
}
