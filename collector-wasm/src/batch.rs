//! What is news: the page views that changed since the last report.

use vitals::metric::{Metric, Value, Values};
use vitals::view::Snapshot;

/// Remembers what was last reported.
#[derive(Debug, Default)]
pub struct Batch {
    reported: Vec<Snapshot>,
}

/// A page view that is new or has changed.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// The view as it stands; always whole, so that any one beacon says all.
    pub snapshot: Snapshot,
    /// What was reported of it before.
    before: Values,
}

impl Change {
    /// The values that are new or have changed.
    pub fn values(&self) -> impl Iterator<Item = (Metric, Value)> + '_ {
        self.snapshot.values.iter().filter(|&(metric, value)| self.before.get(metric) != Some(value))
    }
}

impl Batch {
    /// Those of `views` that differ from what was reported, which they are from now on.
    pub fn news(&mut self, views: Vec<Snapshot>) -> Vec<Change> {
        let news = views
            .iter()
            .filter(|view| !self.reported.contains(view))
            .map(|view| Change {
                snapshot: view.clone(),
                before: self
                    .reported
                    .iter()
                    .find(|reported| reported.id == view.id)
                    .map_or(Values::EMPTY, |reported| reported.values),
            })
            .collect();
        self.reported = views;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitals::view::{NavigationType, ViewId};

    fn view(start_ms: u64, values: &[(Metric, f64)]) -> Snapshot {
        let mut all = Values::EMPTY;
        for &(metric, number) in values {
            all.set(metric, Some(Value::new(metric, number).unwrap()));
        }
        Snapshot {
            id: ViewId::new(start_ms, 7),
            url: None,
            route: None,
            navigation_type: NavigationType::Navigate,
            values: all,
            tti_gap: None,
        }
    }

    #[test]
    fn only_what_changed_is_news_and_it_comes_whole() {
        let mut batch = Batch::default();
        let first = view(1, &[(Metric::Fcp, 100.0)]);
        assert_eq!(batch.news(vec![first.clone()]).len(), 1);
        assert_eq!(batch.news(vec![first.clone()]), []);

        let soft = view(2, &[]);
        let news = batch.news(vec![first, soft.clone()]);
        assert_eq!(news.iter().map(|change| &change.snapshot).collect::<Vec<_>>(), [&soft]);

        let grown = view(1, &[(Metric::Fcp, 100.0), (Metric::Cls, 0.2)]);
        let news = batch.news(vec![grown.clone(), soft]);
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].snapshot, grown);
        let told: Vec<_> = news[0].values().map(|(metric, _)| metric).collect();
        assert_eq!(told, [Metric::Cls]);
    }

    #[test]
    fn a_change_without_a_value_is_news_too() {
        let mut batch = Batch::default();
        let mut first = view(1, &[]);
        batch.news(vec![first.clone()]);
        first.tti_gap = Some(vitals::view::TtiGap::Hidden);
        assert_eq!(batch.news(vec![first]).len(), 1);
    }
}
