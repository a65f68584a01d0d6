//! Runs a tool: turns its arguments into the command line of its command, and the output into a bounded answer.

use super::tools::{BUDGET, Command, FORMAT, Tool};
use crate::budget_file;
use crate::client::{Client, OPTIONS, ServerArgs};
use crate::exit::{Done, Failure};
use crate::limits;
use crate::output::{Terminal, plain};
use crate::{check, compare, report};
use clap::Parser as _;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Pages in a report; an agent asks for more by `limit`.
const PAGES: &str = "10";

/// The arguments of a call, as texts by name.
type Given = [(&'static str, String)];

/// A command line without the name of the program.
#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

/// Calls a tool. Errors are results, because agents read them and call again.
pub(super) async fn call(tool: &Tool, arguments: &JsonObject, server: &ServerArgs) -> CallToolResult {
    match answer(tool, arguments, server).await {
        Ok(Answer { text, structured }) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = structured;
            result
        }
        Err(Failure { message, hint, .. }) => {
            let message = in_terms_of(tool, &message);
            let hint = if hint == OPTIONS { schema_of(tool) } else { hint };
            let text = if hint.is_empty() { message } else { format!("{message}\n{hint}") };
            CallToolResult::error(vec![ContentBlock::text(text)])
        }
    }
}

/// The answer of a tool.
struct Answer {
    text: String,
    /// Set if the agent asked for JSON; the text is the same JSON.
    structured: Option<Value>,
}

async fn answer(tool: &Tool, arguments: &JsonObject, server: &ServerArgs) -> Result<Answer, Failure> {
    let given = tool.read(arguments)?;
    let value = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
    let Some(command) = tool.command else { return sites(server, value(FORMAT) == Some("json")).await };
    let format = value(FORMAT).unwrap_or(if command == Command::Series { "csv" } else { "text" });
    let mut done = run(tool, command, (&given, format), server).await?;
    if format == "json" {
        let json = serde_json::from_str(&done.stdout).map_err(|error| {
            Failure::unreachable(format!("the answer is no JSON: {error}"), "Ask for `format` = text.")
        })?;
        return structured(json);
    }
    if format == "csv" && has_no_values(&done.stdout) {
        // Rows without values do not say why.
        done = run(tool, command, (&given, "text"), server).await?;
    }
    let text =
        if done.warning.is_empty() { done.stdout } else { format!("{}\n{}", done.stdout, done.warning) };
    Ok(Answer { text: bounded(&in_terms_of(tool, &text)), structured: None })
}

/// Whether each row of a series counts 0 page views.
fn has_no_values(csv: &str) -> bool {
    csv.lines().skip(1).all(|row| row.split(',').nth(2) == Some("0"))
}

/// Runs the command of a tool.
async fn run(
    tool: &Tool,
    command: Command,
    (given, format): (&Given, &str),
    server: &ServerArgs,
) -> Result<Done, Failure> {
    let line = line(command, (given, format), server);
    match command {
        Command::Report | Command::Series | Command::Attribution => {
            report::execute(&parse(tool, &line)?, Terminal::PIPE).await
        }
        Command::Compare => compare::execute(&parse(tool, &line)?, Terminal::PIPE).await,
        Command::Check => {
            let text = given.iter().find(|(name, _)| *name == BUDGET).map(|(_, text)| text.clone());
            let budget = budget_file::of_text(BUDGET, text.unwrap_or_default())?;
            check::judge(&parse(tool, &line)?, Some(budget), Terminal::PIPE, None).await
        }
    }
}

/// The command line. Values are joined to their options, so that none is an option itself.
fn line(command: Command, (given, format): (&Given, &str), server: &ServerArgs) -> Vec<String> {
    let has = |name: &str| given.iter().any(|(known, _)| *known == name);
    let mut line = vec![format!("--format={format}"), format!("--server={}", server.server)];
    line.extend(server.token.as_ref().map(|token| format!("--token={token}")));
    line.extend(server.site.as_ref().filter(|_| !has("site")).map(|site| format!("--site={site}")));
    match command {
        Command::Series => line.push("--trend".to_owned()),
        Command::Check => line.push("--budget=-".to_owned()),
        Command::Report if !has("limit") && !has("by") => line.push(format!("--limit={PAGES}")),
        _ => {}
    }
    for (name, text) in given {
        let option = match (*name, command) {
            (FORMAT | BUDGET, _) => continue,
            ("metric", Command::Attribution) => "attribution".to_owned(),
            (name, _) => name.replace('_', "-"),
        };
        line.push(format!("--{option}={text}"));
    }
    line
}

/// Parses the command line of a tool.
fn parse<A: clap::Args>(tool: &Tool, line: &[String]) -> Result<A, Failure> {
    Line::<A>::try_parse_from(line).map(|line| line.args).map_err(|error| {
        // The paragraphs after the first are about the command line.
        let error = error.to_string();
        let first = error.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        let first = first.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Failure::usage(plain(&in_terms_of(tool, &first)), schema_of(tool))
    })
}

/// The hint for a refused argument.
fn schema_of(tool: &Tool) -> String {
    format!("The schema of the tool `{}` has its arguments.", tool.name)
}

/// Returns the text with the tool's arguments in place of the command's options.
fn in_terms_of(tool: &Tool, text: &str) -> String {
    let mut text = text.to_owned();
    let mut names: Vec<&str> = tool.parameters.iter().map(|parameter| parameter.name).collect();
    // The longest first: `against` begins `against_from`.
    names.sort_by_key(|name| Reverse(name.len()));
    for name in names {
        text = text.replace(&format!("--{}", name.replace('_', "-")), name);
    }
    text
}

/// The sites of the server.
async fn sites(server: &ServerArgs, is_json: bool) -> Result<Answer, Failure> {
    let (all, _) = Client::new(server)?.get::<Value>(&["sites"], &[]).await?;
    let kept = ["name", "origins", "routes", "timezone", "created"];
    let sites = all["sites"].as_array().into_iter().flatten().map(|site| {
        let fields = kept.into_iter().map(|name| (name.to_owned(), site[name].clone()));
        fields.collect::<JsonObject>()
    });
    let sites: Vec<JsonObject> = sites.collect();
    if is_json {
        return structured(json!({"sites": sites}));
    }
    let text = |value: Option<&Value>| plain(value.and_then(Value::as_str).unwrap_or_default());
    let lines = sites.iter().map(|site| {
        let origins = site.get("origins").and_then(Value::as_array).into_iter().flatten();
        let origins: Vec<String> = origins.map(|origin| text(Some(origin))).collect();
        let (name, zone) = (text(site.get("name")), text(site.get("timezone")));
        format!("{name}: pages of {}; days begin in {zone}\n", origins.join(", "))
    });
    let lines: String = lines.collect();
    let text = if lines.is_empty() { "The server has no site.\n".to_owned() } else { lines };
    Ok(Answer { text: bounded(&text), structured: None })
}

/// An answer in JSON, without the bins of charts.
fn structured(mut json: Value) -> Result<Answer, Failure> {
    without_bins(&mut json);
    let text = json.to_string();
    if text.len() > limits::TOOL_ANSWER_BYTES_MAX {
        return Err(Failure::usage(
            format!("the answer has {} bytes, more than {}", text.len(), limits::TOOL_ANSWER_BYTES_MAX),
            "Ask for one route, fewer pages (`limit`), a shorter period, or `format` = text.",
        ));
    }
    Ok(Answer { text, structured: Some(json) })
}

fn without_bins(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            fields.remove("distribution");
            fields.values_mut().for_each(without_bins);
        }
        Value::Array(items) => items.iter_mut().for_each(without_bins),
        _ => {}
    }
}

/// Cuts a text to whole lines within the bound, and says how many are missing.
fn bounded(text: &str) -> String {
    if text.len() <= limits::TOOL_ANSWER_BYTES_MAX {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut lines = text.lines();
    for line in lines.by_ref() {
        if kept.len() + line.len() >= limits::TOOL_ANSWER_BYTES_MAX {
            let more = lines.count() + 1;
            kept.push_str(&format!(
                "{more} more lines are not shown. Ask for one route, fewer pages (`limit`) or a shorter period.\n"
            ));
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::tools::TOOLS;
    use super::*;
    use crate::client::responder::Responder;

    fn tool(name: &str) -> &'static Tool {
        TOOLS.iter().find(|tool| tool.name == name).unwrap()
    }

    fn server(url: &str) -> ServerArgs {
        let line = ["--server", url, "--token", "secret"];
        Line::<ServerArgs>::try_parse_from(line).unwrap().args
    }

    async fn called(url: &str, name: &str, arguments: Value) -> (bool, String) {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let result = call(tool(name), &arguments, &server(url)).await;
        let result = serde_json::to_value(result).unwrap();
        (result["isError"] == json!(true), result["content"][0]["text"].as_str().unwrap().to_owned())
    }

    #[test]
    fn parameters_are_options_of_the_command() {
        let value = |name: &str| match name {
            "limit" | "min_n" => "5",
            "device" => "phone",
            "metric" => "LCP",
            "period" => "7d",
            "from" | "to" | "against_from" | "against_to" => "2026-11-21",
            "sort" => "impact",
            _ => "device",
        };
        for tool in TOOLS {
            let Some(command) = tool.command else { continue };
            for parameter in tool.parameters {
                let mut given = vec![(parameter.name, value(parameter.name).to_owned())];
                // Some options of the command need others, and a metric is that of `--attribution`.
                let needs: &[&'static str] = match (parameter.name, command) {
                    ("by" | "value", Command::Compare) => &["by", "value", "against"],
                    ("against_to", _) => &["against_from"],
                    ("against_from", _) => &[],
                    (_, Command::Compare) => &["against"],
                    (_, Command::Attribution) => &["metric"],
                    _ => &[],
                };
                let missing = needs.iter().filter(|name| **name != parameter.name);
                given.extend(missing.map(|&name| (name, value(name).to_owned())));
                let line = line(command, (&given, "text"), &server("http://localhost:1"));
                let parsed = match command {
                    Command::Compare => parse::<compare::Args>(&tool, &line).map(drop),
                    Command::Check => parse::<check::Args>(&tool, &line).map(drop),
                    _ => parse::<report::Args>(&tool, &line).map(drop),
                };
                assert_eq!(parsed, Ok(()), "{} {}", tool.name, parameter.name);
            }
        }
    }

    #[tokio::test]
    async fn wrong_value_is_told_in_terms_of_the_tool() {
        for (name, arguments, expected) in [
            ("report", json!({"period": "week"}), "'period <PERIOD>': expected hours or days"),
            ("compare", json!({"against_from": "soon"}), "'against_from <TIME>'"),
            ("report", json!({"from": "2026-11-21", "period": "7d"}), "cannot be used with"),
            ("check", json!({"budget": "[[budget]]\nmetric = \"LCPP\"\nmax = 1"}), "budget:2:10: "),
        ] {
            let (is_error, text) = called("http://localhost:1", name, arguments).await;
            assert!(is_error && text.contains(expected) && !text.contains("--"), "{name}: {text}");
        }
    }

    #[tokio::test]
    async fn refusal_of_the_server_is_an_error_with_its_hint() {
        let body = json!({"error": {"code": "parameter", "message": "`browser` is `chrome`: did you mean `Chrome`?", "hint": "See there."}});
        let responder = Responder::start(&[("400 Bad Request", &body.to_string())]);
        let (is_error, text) =
            called(&responder.url, "report", json!({"site": "shop", "browser": "chrome"})).await;
        assert_eq!(
            (is_error, text.as_str()),
            (
                true,
                "browser is `chrome`: did you mean `Chrome`?\nThe schema of the tool `report` has its arguments."
            )
        );
        let request = responder.requests().remove(0);
        assert!(
            request.starts_with("GET /api/v1/sites/shop/summary?period=7d&browser=chrome&limit=10 "),
            "{request}"
        );
    }

    #[tokio::test]
    async fn sites_are_listed_without_keys() {
        let site = json!({"id": 1, "name": "shop", "keys": [{"key": "fvk"}], "origins": ["https://a.example"], "routes": [],
            "timezone": "UTC", "created": "2026-11-01T00:00:00Z"});
        let body = json!({"sites": [site], "scope": "read"}).to_string();
        let responder = Responder::start(&[("200 OK", &body), ("200 OK", &body)]);
        let (_, text) = called(&responder.url, "sites", json!({})).await;
        assert_eq!(text, "shop: pages of https://a.example; days begin in UTC\n");
        let (_, text) = called(&responder.url, "sites", json!({"format": "json"})).await;
        assert!(text.contains("\"origins\"") && !text.contains("fvk"), "{text}");
    }

    #[test]
    fn answers_are_bounded() {
        let line = "x".repeat(99);
        let many = format!("{line}\n").repeat(limits::TOOL_ANSWER_BYTES_MAX / 100 + 50);
        let text = bounded(&many);
        assert!(text.len() < limits::TOOL_ANSWER_BYTES_MAX + 200, "{}", text.len());
        let shown = text.lines().count() - 1;
        let missing = many.lines().count() - shown;
        assert!(text.ends_with(&format!("{missing} more lines are not shown. Ask for one route, fewer pages (`limit`) or a shorter period.\n")), "{missing}");
        assert_eq!(bounded("a\nb\n"), "a\nb\n");
        let json = json!({"metrics": {"LCP": {"p75": 1, "distribution": [1, 2]}}});
        assert_eq!(
            structured(json).ok().and_then(|answer| answer.structured),
            Some(json!({"metrics": {"LCP": {"p75": 1}}}))
        );
        assert!(structured(json!({"text": many})).is_err());
    }
}
