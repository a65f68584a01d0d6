//! Prints engagement by a metric's values.

use super::Args;
use super::breakdown::limited;
use super::sampled::sampled;
use super::tables::{no_route, nothing, title};
use crate::client::answer::{BucketAnswer, EngagementAnswer, ShareAnswer};
use crate::output::csv::Csv;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, number, plain};
use vitals::metric::Metric;

/// The three ratings, then the finer buckets.
pub(super) fn table(answer: &EngagementAnswer, args: &Args, terminal: Terminal) -> String {
    let mut text =
        title(&answer.site, answer.route.as_deref().unwrap_or_default(), &answer.period, args, terminal);
    text.push_str(&sampled(answer.sample.as_ref(), terminal));
    text.push_str(&limited(answer.period.limited.as_deref(), terminal));
    if answer.known == 0 {
        let what = format!("page views with {} and known engagement", answer.metric.name());
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        text.push_str(&nothing(&answer.site, &what, terminal));
        return text;
    }
    let counts = format!(
        "{} page views, {} with {}, {} of known engagement",
        answer.views,
        answer.measured,
        answer.metric.name(),
        answer.known
    );
    text.push_str(&terminal.wrap("", &counts));
    let mut columns = vec![
        Column::word(answer.metric.name()),
        Column::number("N"),
        Column::number("INTERACTION"),
        Column::number("ENGAGED"),
    ];
    columns.extend(answer.mark.is_some().then_some(Column::number("MARK")));
    for (place, buckets) in [&answer.ratings, &answer.buckets].into_iter().enumerate() {
        let mut table = Table::new(&columns);
        for bucket in buckets {
            table.row(row(answer.metric, bucket, place == 0));
        }
        text.push_str(&table.render(terminal));
    }
    text.push_str(&terminal.wrap("", "Shares of page views, with 90 % confidence intervals."));
    text.push_str(&terminal.wrap("", &plain(&answer.note)));
    text
}

fn row(metric: Metric, bucket: &BucketAnswer, is_rating: bool) -> Vec<Cell> {
    let name = match (is_rating, bucket.to) {
        (true, _) => bucket.rating.name().to_owned(),
        (false, Some(to)) => format!("≤ {}", number(metric, to, &[])),
        (false, None) => format!("> {}", number(metric, bucket.from, &[])),
    };
    let mut cells = vec![
        Cell::painted(name, bucket.rating.into()),
        bucket.n.to_string().into(),
        share(&bucket.interaction).into(),
        share(&bucket.engaged).into(),
    ];
    cells.extend(bucket.mark.as_ref().map(|mark| share(mark).into()));
    cells
}

/// A share with its interval, in percent.
fn share(share: &ShareAnswer) -> String {
    match (share.share, share.interval) {
        (Some(share), Some([low, high])) => {
            format!("{:.1} % ({:.1}–{:.1})", share * 100.0, low * 100.0, high * 100.0)
        }
        _ => ABSENT.to_owned(),
    }
}

/// A CSV with a line a bucket and kind of engagement.
pub(super) fn csv(answer: &EngagementAnswer) -> String {
    let columns =
        ["site", "route", "metric", "from", "to", "rating", "n", "what", "views", "share", "low", "high"];
    let mut csv = Csv::new(columns);
    for bucket in &answer.buckets {
        let mark = answer.mark.as_deref().zip(bucket.mark.as_ref());
        let mark = mark.map(|(name, share)| (format!("mark:{name}"), share));
        let kinds =
            [("interaction".to_owned(), &bucket.interaction), ("engaged".to_owned(), &bucket.engaged)];
        for (what, share) in kinds.into_iter().chain(mark) {
            let text = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
            csv.row(&[
                answer.site.clone(),
                answer.route.clone().unwrap_or_default(),
                answer.metric.name().to_owned(),
                bucket.from.to_string(),
                text(bucket.to),
                bucket.rating.name().to_owned(),
                bucket.n.to_string(),
                what,
                share.views.to_string(),
                text(share.share),
                text(share.interval.map(|[low, _]| low)),
                text(share.interval.map(|[_, high]| high)),
            ]);
        }
    }
    csv.finish()
}
