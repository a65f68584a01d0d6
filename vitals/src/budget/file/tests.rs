//! Tests of files in TOML, and of the message for each mistake.

use super::*;
use crate::budget::{Baseline, Increase, Limit, OnNoBaseline};
use crate::metric::Value;
use proptest::prelude::*;

fn one(lines: &str) -> Result<Budget, String> {
    parse(&format!("[[budget]]\n{lines}"))
        .map(|mut budgets| budgets.remove(0))
        .map_err(|error| error.to_string())
}

#[test]
fn a_whole_file_is_read() {
    let text = "# Promises\n\n[[budget]]\nroute = \"/product/*\" # all of them\nmetric = \"LCP\"\nmax = 2500\n\
                percentile = 90\ndevice = \"phone\"\nmin_samples = 250\n\n[[budget]]\r\nmetric = \"cls\"\r\nmax = 0.1\r\nseverity = \"warn\"\r\n";
    assert_eq!(
        parse(text).unwrap(),
        [
            Budget {
                route: "/product/*".to_owned(),
                except: Vec::new(),
                metric: Metric::Lcp,
                limit: Limit::Max(Value::new(Metric::Lcp, 2_500.0).unwrap()),
                percentile: 90,
                filters: BudgetFilters { device: Some(Device::Phone), ..BudgetFilters::default() },
                severity: Severity::Error,
                min_samples: 250,
                line: 3,
            },
            Budget {
                route: "*".to_owned(),
                except: Vec::new(),
                metric: Metric::Cls,
                limit: Limit::Max(Value::new(Metric::Cls, 0.1).unwrap()),
                percentile: 75,
                filters: BudgetFilters::default(),
                severity: Severity::Warn,
                min_samples: 100,
                line: 11,
            },
        ]
    );
    assert_eq!(parse("budget = [{ metric = 'FID', max = 100 }]").unwrap()[0].line, 1);
}

#[test]
fn times_are_read_in_the_units_people_write() {
    for (max, milliseconds) in [
        ("2500", 2_500.0),
        ("2_500", 2_500.0),
        ("0x9c4", 2_500.0),
        ("2500.5", 2_500.5),
        ("2.5e3", 2_500.0),
        ("'2500ms'", 2_500.0),
        ("'2500 ms'", 2_500.0),
        ("'2.5s'", 2_500.0),
        ("'0.8 s'", 800.0),
        ("0", 0.0),
    ] {
        let budget =
            one(&format!("metric = 'LCP'\nmax = {max}")).unwrap_or_else(|error| panic!("{max}: {error}"));
        assert_eq!(budget.limit.max().unwrap().number(Metric::Lcp), milliseconds, "{max}");
    }
}

#[test]
fn errors_say_where_what_and_what_was_expected() {
    let many = "[[budget]]\nmetric = 'LCP'\nmax = 1000\n".repeat(limits::BUDGETS_MAX + 1);
    let long =
        format!("[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = '/{}'", "a".repeat(limits::ROUTE_BYTES_MAX));
    for (text, expected) in [
        ("", "1:1: no budgets; expected at least one `[[budget]]`"),
        ("# nothing\n", "1:1: no budgets"),
        ("budget = []", "1:10: no budgets"),
        ("budget = 3", "1:10: a whole number; expected `[[budget]]`"),
        ("budget = [3]", "1:11: a whole number; expected a table"),
        (
            "[budget]\nmetric = 'LCP'\nmax = 1000",
            "1:1: one table `budget`; expected a list of them: write `[[budget]]`",
        ),
        (
            "[[budgets]]\nmetric = 'LCP'",
            "1:3: unknown key `budgets`, did you mean `budget`?; expected `[[budget]]`",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = 1000\n\n[other]\na = 1", "5:2: unknown key `other`; expected"),
        (
            "[[budget]]\nmetirc = 'LCP'\nmax = 1000",
            "2:1: unknown key `metirc`, did you mean `metric`?; expected one of route, except,",
        ),
        ("[[budget]]\nzzz = 1\naaa = 2", "2:1: unknown key `zzz`; expected one of"),
        (
            "[[budget]]\nmax = 1000",
            "1:1: a budget without `metric`; expected one of LCP, INP, CLS, FCP, TTFB, FID, TTI",
        ),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\n[[budget]]\nmetric = 'INP'",
            "4:1: a budget without `max`; expected `max`, a time from 0 to 600000 ms",
        ),
        (
            "[[budget]]\nmetric =  'LCPP'\nmax = 1000",
            "2:11: unknown metric `LCPP`, did you mean `LCP`?; expected one of LCP, INP,",
        ),
        ("[[budget]]\nmetric = 'total'\nmax = 1000", "2:10: unknown metric `total`; expected one of LCP"),
        ("[[budget]]\nmetric = 7\nmax = 1000", "2:10: a whole number; expected one of LCP"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = '2500'",
            "3:7: `max` is `2500`; expected a time from 0 to 600000 ms, such as 2500,",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = 'infs'", "3:7: `max` is `infs`; expected"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = nan",
            "3:7: `max` is `nan`, which is not a finite number for LCP",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = -1", "3:7: `max` is `-1`, which is negative for LCP; expected"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 600001",
            "3:7: `max` is `600001`, which is beyond what is plausible for LCP",
        ),
        (
            "[[budget]]\nmetric = 'CLS'\nmax = 2500",
            "3:7: `max` is `2500`, which is beyond what is plausible for CLS; expected a score from 0 to 1",
        ),
        ("[[budget]]\nmetric = 'CLS'\nmax = '0.1'", "3:7: `0.1` in quotes for CLS; expected a score"),
        ("[[budget]]\nmetric = 'LCP'\nmax = true", "3:7: true or false; expected a time"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 100",
            "4:14: `percentile` is 100; expected a whole number from 1 to 99",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 0", "4:14: `percentile` is 0"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\npercentile = 99.9",
            "4:14: `percentile` is a number; expected a whole number",
        ),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\nmin_samples = 0",
            "4:15: `min_samples` is 0; expected a whole number from 1 to 1000000000",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nmin_samples = -5", "4:15: `min_samples` is -5"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\ndevice = 'phnoe'",
            "4:10: unknown device `phnoe`, did you mean `phone`?; expected one of phone, tablet, desktop",
        ),
        ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = ''", "4:9: an empty route; expected"),
        ("[[budget]]\nmetric = 'LCP'\nmax = 1000\nroute = ['/a']", "4:9: a list; expected a pattern"),
        (&long, "4:9: a route of 513 bytes; expected at most 512 bytes"),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 1000\nmax = 2",
            "4:1: `max` twice in one budget; expected one `max`",
        ),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 2.5",
            "3:7: `max` is `2.5`, which is too short for LCP; expected milliseconds: 2500, or \"2.5s\"",
        ),
        (
            "[[budget]]\nmetric = 'CLS'\nmax = 10",
            "3:7: `max` is `10`, which is too large for CLS; expected a score up to 1: 0.1,",
        ),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = 2,5 # s",
            "3:7: `2,5`, with a decimal comma; expected a decimal point: `max = 2.5`",
        ),
        (
            "[[budget]]\nmetric = 'LCP'\nmax = '2,5s'",
            "3:7: `max` is `2,5s`, with a decimal comma; expected a decimal point: \"2.5s\"",
        ),
        (
            "[[budget]]\nmetric = “LCP”\nmax = 2500",
            "2:10: a curly quote `“`; expected a straight one, as in `metric = \"LCP\"`",
        ),
        ("[[budget]]\nmetric = LCP\nmax = 1000", "2:10: "),
        ("[[budget]]\nmetric = 'LCP\nmax = 1000", "2:14: "),
        (
            "[[budget]]\nroute = '/é'\nmetric = 'é\u{1b}[31m'",
            "3:12: invalid literal string; expected non-single-quote visible characters",
        ),
        (&many, "4:1: the same promise as the budget at line 1 (LCP p75 all *); expected another"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}\n   said: {error}\n   not:  {expected}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn increases_are_read_with_their_defaults() {
    let increase = |lines: &str| match one(lines).unwrap().limit {
        Limit::Increase(increase) => increase,
        Limit::Max(max) => panic!("{lines}: {max:?}"),
    };
    let value = |metric, number| Value::new(metric, number).unwrap();
    let expected = Increase {
        max: 500,
        least: value(Metric::Lcp, 100.0),
        baseline: Baseline::Previous,
        on_no_baseline: OnNoBaseline::Inconclusive,
    };
    assert_eq!(increase("metric = 'LCP'\nmax_increase = '5%'"), expected);
    let expected = Increase {
        max: 1_250,
        least: value(Metric::Inp, 5.0),
        baseline: Baseline::Beside("stable".to_owned()),
        on_no_baseline: OnNoBaseline::Warn,
    };
    let lines = "metric = 'INP'\nmax_increase = '12.5 %'\nmin_increase = 5\nbaseline = 'beside:stable'\n\
        on_no_baseline = 'warn'";
    assert_eq!(increase(lines), expected);
    assert_eq!(increase("metric = 'CLS'\nmax_increase = '0%'\nmin_increase = 0").least, Value::ZERO);
}

#[test]
fn mistakes_in_an_increase_are_named() {
    for (lines, expected) in [
        ("max_increase = 5", "3:16: `max_increase` is `5`; expected per cent in quotes, from \"0%\" to"),
        ("max_increase = '5'", "3:16: `max_increase` is `5`; expected per cent in quotes"),
        ("max_increase = '-5%'", "3:16: `max_increase` is `-5%`; expected per cent in quotes"),
        (
            "max_increase = '5,5%'",
            "3:16: `max_increase` is `5,5%`, with a decimal comma; expected a decimal point: \"5.5%\"",
        ),
        ("max_increase = '100ms'", "3:16: `max_increase` is `100ms`, a time; expected per cent"),
        ("max_increase = true", "3:16: `max_increase` is true or false"),
        (
            "max_increase = '5%'\nmax = 2500",
            "3:16: `max` and `max_increase` in one budget; expected one of them",
        ),
        ("max = 2500\nbaseline = 'previous'", "4:12: `baseline` without `max_increase`; expected both"),
        ("min_increase = 100", "3:16: `min_increase` without `max_increase`"),
        ("max_increase = '5%'\nmin_increase = 'much'", "4:16: `min_increase` is `much`; expected a time"),
        (
            "max_increase = '5%'\nbaseline = 'previuos'",
            "4:12: unknown baseline `previuos`, did you mean `previous`?",
        ),
        ("max_increase = '5%'\nbaseline = 'release:'", "4:12: `baseline` is `release:`; expected one of"),
        ("max_increase = '5%'\nbaseline = 'period:90d'", "4:12: `baseline` is `period:90d`; expected one of"),
        ("max_increase = '5%'\non_no_baseline = 'pass'", "4:18: unknown on_no_baseline `pass`"),
        ("max_incraese = '5%'", "3:1: unknown key `max_incraese`, did you mean `max_increase`?"),
    ] {
        let error = one(&format!("metric = 'LCP'\n{lines}")).unwrap_err();
        assert!(error.starts_with(expected), "{lines}\n   said: {error}\n   not:  {expected}");
    }
}

#[test]
fn page_views_are_filtered_by_every_property() {
    let budget = one("metric = 'LCP'\nmax = 2500\ndevice = 'phone'\nbrowser = 'Firefox'\nos = 'android'\n\
        country = 'de'\nconnection = '4g'\nnavigation_type = 'reload'\nrelease = '1.4.2'");
    let filters = budget.unwrap().filters;
    assert_eq!(filters.device, Some(Device::Phone));
    let further: Vec<_> = filters.further().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        further.join(" "),
        "browser=Firefox os=android country=DE connection=4g navigation_type=reload release=1.4.2"
    );
    for (line, expected) in [
        ("os = 'andriod'", "unknown os `andriod`, did you mean `android`?"),
        ("navigation_type = 'relaod'", "unknown navigation_type `relaod`, did you mean `reload`?"),
        ("country = 'Germany'", "the country `GERMANY`; expected two letters"),
        ("browser = ''", "an empty `browser`; expected one browser"),
        ("release = 142", "a whole number; expected one release in quotes"),
    ] {
        let error = one(&format!("metric = 'LCP'\nmax = 2500\n{line}")).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn names_of_other_tools_are_taken() {
    let budget = one("metric = 'largest-contentful-paint'\nmax = 2500\ndevice = 'mobile'").unwrap();
    assert_eq!((budget.metric, budget.filters.device), (Metric::Lcp, Some(Device::Phone)));
    assert_eq!(
        one("metric = 'LCP'\nmax = '2.5ms'").unwrap().limit.max().unwrap().number(Metric::Lcp),
        2.5,
        "a unit is no mistake"
    );
}

#[test]
fn columns_count_characters() {
    let error = parse("budget = [{ route = '/é/ü', metric = 'LCPX', max = 1000 }]").unwrap_err();
    assert_eq!((error.line, error.column), (1, 38));
}

#[test]
fn files_are_bounded() {
    let budget = |index| format!("[[budget]]\nroute = '/{index}'\nmetric = 'LCP'\nmax = 1000\n");
    let most: String = (0..limits::BUDGETS_MAX).map(budget).collect();
    assert_eq!(parse(&most).unwrap().len(), limits::BUDGETS_MAX);
    let error = parse(&(most + &budget(limits::BUDGETS_MAX))).unwrap_err();
    assert_eq!(error.to_string(), "801:1: 201 budgets; expected at most 200");
    let error = parse(&"#".repeat(limits::API_BODY_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error.found, "a file of 262145 bytes");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_panics(
        key in "route|metric|max|max_increase|min_increase|baseline|percentile|device|min_samples",
        value in "-?[0-9_]{1,25}|[0-9.eE+-]{1,12}|'[^']{0,40}'|\\[\\]|\\{\\}|inf|nan|true|0x[0-9a-f]{1,20}|'[0-9.]{1,6} ?m?s'",
    ) {
        let _ = parse(&format!("[[budget]]\nmetric = 'LCP'\nmax = 1000\n{key} = {value}"));
        let _ = parse(&format!("[[budget]]\n{key} = {value}\nmetric = 'CLS'\nmax = 1"));
        let _ = parse(&format!("[[budget]]\n{key} = {value}\nmetric = 'LCP'"));
        let _ = parse(&format!("[[budget]]\nmax_increase = '5%'\n{key} = {value}\nmetric = 'CLS'"));
    }
}
