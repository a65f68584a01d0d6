//! The tools of agents: their names, descriptions and parameters. Parameters are options of the command with the same
//! name, and `budget`.

use crate::exit::Failure;
use crate::names::unknown;
use crate::output::plain;
use fieldvitals_server::limits;
use rmcp::model::{JsonObject, ToolAnnotations};
use serde_json::{Value, json};

/// A tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    title: &'static str,
    /// What it answers, and when to use it.
    about: &'static str,
    /// `None` lists the sites.
    pub(super) command: Option<Command>,
    pub(super) parameters: &'static [Parameter],
}

/// The command of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Report,
    Series,
    Compare,
    Attribution,
    Check,
}

/// A parameter of a tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    about: &'static str,
    kind: Kind,
    is_required: bool,
}

/// The values of a parameter.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    OneOf(&'static [&'static str]),
    /// 1 to a number.
    Count(usize),
}

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::Text, is_required: false }
}

const fn one_of(name: &'static str, about: &'static str, values: &'static [&'static str]) -> Parameter {
    Parameter { name, about, kind: Kind::OneOf(values), is_required: false }
}

const fn count(name: &'static str, about: &'static str, most: usize) -> Parameter {
    Parameter { name, about, kind: Kind::Count(most), is_required: false }
}

const fn required(parameter: Parameter) -> Parameter {
    Parameter { is_required: true, ..parameter }
}

/// The name of the parameter with the text of a budget file.
pub(super) const BUDGET: &str = "budget";
/// The name of the parameter with the form of the answer.
pub(super) const FORMAT: &str = "format";

const SITE: Parameter =
    text("site", "A site's name, from the tool `sites`; may be left out if the server has one site.");
const ROUTE: Parameter =
    text("route", "One route, such as /cart or /product/:id, or a page's URL; the whole site without it.");
const ROUTES: Parameter = text(
    "route",
    "One route, such as /cart or /product/:id, a page's URL, or a pattern such as /c/*; the whole site without it.",
);
const PERIOD: Parameter = text("period", "The last hours or days: 24h, 7d (the default), 28d, 90d.");
const FROM: Parameter =
    text("from", "Start of the period, such as 2026-11-21 or 2026-11-21T14:00:00Z; instead of `period`.");
const TO: Parameter = text("to", "End of the period, excluded; now without it.");
const DEVICE: Parameter = one_of("device", "Only this class of device.", &["phone", "tablet", "desktop"]);
const BROWSER: Parameter = text("browser", "Only this browser family, such as Chrome or Safari.");
const COUNTRY: Parameter = text("country", "Only this country, such as DE.");
const RELEASE: Parameter = text("release", "Only this release of the site.");
const TAG: Parameter = text("tag", "Only page views with this value of a tag, such as plan:pro.");
const METRIC: Parameter =
    one_of("metric", "The metric.", &["LCP", "INP", "CLS", "FCP", "TTFB", "FID", "TTI"]);
const AS: Parameter =
    one_of(FORMAT, "`text` (the default) is a table, `json` the API's answer.", &["text", "json"]);

/// The tools, in the order of a session.
pub(super) const TOOLS: [Tool; 6] = [
    Tool {
        name: "sites",
        title: "List sites",
        about: "Lists the sites of the server, with their origins and time zones. Use it to find the `site` of the other \
                tools.",
        command: None,
        parameters: &[AS],
    },
    Tool {
        name: "report",
        title: "Report Web Vitals",
        about: "Says how fast a site or a page is for its visitors: the Core Web Vitals verdict, percentiles with their \
                confidence intervals, the worst pages ranked by impact, and what to repair first. With `by`, the metrics by \
                device, browser, country or another dimension. Start here.",
        command: Some(Command::Report),
        parameters: &[
            SITE,
            ROUTES,
            PERIOD,
            FROM,
            TO,
            DEVICE,
            BROWSER,
            COUNTRY,
            RELEASE,
            TAG,
            METRIC,
            one_of(
                "by",
                "Group by this dimension instead of by route.",
                &["device", "browser", "os", "country", "connection", "navigation_type", "release"],
            ),
            one_of(
                "sort",
                "The order of pages; impact by default.",
                &["impact", "views", "p75", "poor", "route"],
            ),
            text("search", "Only routes with this part in their name."),
            count("limit", "Pages to show; 10 by default.", limits::PAGE_ROWS_MAX),
            count("min_n", "Page views below which pages are hidden; 1 shows all.", limits::PAGE_ROWS_MAX),
            AS,
        ],
    },
    Tool {
        name: "series",
        title: "Web Vitals over time",
        about: "Shows a metric over time: the 75th percentile and the rating counts of each hour, day or week. Use it to find \
                when a metric changed. `text` adds the releases of that time.",
        command: Some(Command::Series),
        parameters: &[
            SITE,
            required(METRIC),
            ROUTE,
            PERIOD,
            FROM,
            TO,
            DEVICE,
            BROWSER,
            COUNTRY,
            RELEASE,
            one_of(
                FORMAT,
                "`csv` (the default) has a row per step, `text` a sparkline, `json` the API's answer.",
                &["csv", "text", "json"],
            ),
        ],
    },
    Tool {
        name: "compare",
        title: "Compare releases or periods",
        about: "Compares two releases, two periods, or two values of a property, and says for each metric whether it is worse, \
                better or not clearly changed. Use it before you call something a regression. Two releases: `release` and \
                `against`. With the time before: `against` = previous. Two values: `by`, `value` and `against`.",
        command: Some(Command::Compare),
        parameters: &[
            SITE,
            text(
                "release",
                "The current release, with another one in `against`; else a filter of both sides.",
            ),
            text("against", "The baseline: a release, `previous`, or a value of `by`."),
            text("against_from", "Start of the baseline's period, such as 2026-11-21; instead of `against`."),
            text("against_to", "End of the baseline's period."),
            one_of(
                "by",
                "The property whose values are compared.",
                &["device", "browser", "os", "country", "connection", "navigation_type", "release"],
            ),
            text("value", "The current value of `by`."),
            ROUTE,
            PERIOD,
            DEVICE,
            text("metric", "Only these metrics, such as LCP,INP."),
            AS,
        ],
    },
    Tool {
        name: "attribution",
        title: "Explain a metric",
        about: "Says why a metric is slow: the elements, images, scripts and events behind it with the time of each part, and \
                the conditions of the page views (protocol, cache, device classes). Use it after `report` has named a page and \
                a metric.",
        command: Some(Command::Attribution),
        parameters: &[
            SITE,
            required(one_of("metric", "The metric to explain.", &["LCP", "INP", "CLS", "TTFB"])),
            ROUTE,
            PERIOD,
            FROM,
            TO,
            DEVICE,
            BROWSER,
            COUNTRY,
            RELEASE,
            TAG,
            AS,
        ],
    },
    Tool {
        name: "check",
        title: "Judge budgets",
        about: "Judges performance budgets by page views: pass, fail or inconclusive, by a test with a bounded error. Changes \
                nothing.",
        command: Some(Command::Check),
        parameters: &[
            SITE,
            required(text(
                BUDGET,
                "A budget file in TOML, such as: [[budget]] metric = \"LCP\" max = 2500 route = \"/product/*\", each key on a \
                 line of its own.",
            )),
            RELEASE,
            PERIOD,
            AS,
        ],
    },
];

impl Tool {
    /// The tool as clients list it.
    pub(super) fn described(&self) -> rmcp::model::Tool {
        let read_only =
            ToolAnnotations::with_title(self.title).read_only(true).destructive(false).idempotent(true);
        rmcp::model::Tool::new(self.name, self.about, self.schema())
            .with_title(self.title)
            .with_annotations(read_only.open_world(false))
    }

    /// The JSON schema of the arguments.
    fn schema(&self) -> JsonObject {
        let properties: JsonObject =
            self.parameters.iter().map(|one| (one.name.to_owned(), one.schema())).collect();
        let required: Vec<&str> =
            self.parameters.iter().filter(|one| one.is_required).map(|one| one.name).collect();
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), properties.into());
        schema.insert("required".to_owned(), json!(required));
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema
    }

    /// Returns the arguments as texts, in the order of the parameters; those without a value are left out.
    ///
    /// # Errors
    /// An argument is unknown, missing, or has a wrong value.
    pub(super) fn read(&self, arguments: &JsonObject) -> Result<Vec<(&'static str, String)>, Failure> {
        let name = self.name;
        if let Some(wrong) = arguments.keys().find(|key| self.parameters.iter().all(|one| one.name != **key))
        {
            let known: Vec<String> = self.parameters.iter().map(|one| one.name.to_owned()).collect();
            return Err(wrong_argument(name, unknown("argument", wrong, "", &known)));
        }
        let mut given = Vec::new();
        for parameter in self.parameters {
            match arguments.get(parameter.name).filter(|value| !value.is_null()) {
                Some(value) => given.push((parameter.name, parameter.read(name, value)?)),
                None if parameter.is_required => {
                    return Err(wrong_argument(name, format!("`{}` is missing", parameter.name)));
                }
                None => {}
            }
        }
        Ok(given)
    }
}

fn wrong_argument(tool: &str, message: String) -> Failure {
    Failure::usage(message, format!("The schema of the tool `{tool}` has its arguments."))
}

impl Parameter {
    fn schema(&self) -> Value {
        match self.kind {
            Kind::Text => json!({"type": "string", "description": self.about}),
            Kind::OneOf(values) => json!({"type": "string", "description": self.about, "enum": values}),
            Kind::Count(most) => {
                json!({"type": "integer", "description": self.about, "minimum": 1, "maximum": most})
            }
        }
    }

    /// Returns a value as text. Takes numbers as texts and texts as numbers, because agents mix them.
    fn read(&self, tool: &str, value: &Value) -> Result<String, Failure> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => {
                return Err(wrong_argument(
                    tool,
                    format!("`{}` is {}: expected a text", self.name, plain(&other.to_string())),
                ));
            }
        };
        let expected = match self.kind {
            Kind::OneOf(values) if !values.contains(&text.as_str()) => values.join(", "),
            Kind::Count(most) if !text.parse().is_ok_and(|count: usize| (1..=most).contains(&count)) => {
                format!("1 to {most}")
            }
            _ => return Ok(text),
        };
        Err(wrong_argument(tool, format!("`{}` is `{}`: expected {expected}", self.name, plain(&text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use vitals::metric::Metric;
    use vitals::view::Device;

    fn tool(name: &str) -> &'static Tool {
        TOOLS.iter().find(|tool| tool.name == name).unwrap()
    }

    fn read(name: &str, arguments: Value) -> Result<Vec<(&'static str, String)>, String> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        tool(name).read(&arguments).map_err(|failure| failure.message)
    }

    #[test]
    fn schema_names_types_values_and_required_arguments() {
        let schema = Value::from(tool("series").schema());
        assert_eq!(schema["required"], json!(["metric"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["metric"]["enum"], json!(Metric::ALL.map(Metric::name)));
        let devices: Vec<&str> = Device::ALL.iter().map(|device| device.name()).collect();
        assert_eq!(schema["properties"]["device"]["enum"], json!(devices));
        for tool in TOOLS {
            let names: BTreeSet<&str> = tool.parameters.iter().map(|one| one.name).collect();
            assert_eq!(names.len(), tool.parameters.len(), "{} has a parameter twice", tool.name);
        }
    }

    #[test]
    fn arguments_are_read_in_the_order_of_the_parameters() {
        let given = json!({"limit": 5, "site": "shop", "device": "phone", "route": null});
        let expected = [("site", "shop"), ("device", "phone"), ("limit", "5")]
            .map(|(name, text)| (name, text.to_owned()));
        assert_eq!(read("report", given), Ok(expected.to_vec()));
        assert_eq!(read("report", json!({"release": 5, "limit": "7"})).unwrap()[1].1, "7");
    }

    #[test]
    fn wrong_argument_is_named_with_what_is_expected() {
        for (name, arguments, expected) in [
            ("report", json!({"rout": "/"}), "there is no argument `rout`; did you mean `route`?"),
            ("report", json!({"device": "fone"}), "`device` is `fone`: expected phone, tablet, desktop"),
            ("report", json!({"limit": 0}), "`limit` is `0`: expected 1 to 500"),
            ("report", json!({"site": ["shop"]}), "`site` is [\"shop\"]: expected a text"),
            ("series", json!({}), "`metric` is missing"),
            (
                "check",
                json!({"record": true, "budget": ""}),
                "there is no argument `record`; expected one of `site`",
            ),
        ] {
            let told = read(name, arguments.clone()).unwrap_err();
            assert!(told.starts_with(expected), "{name} {arguments}: {told}");
        }
    }
}
