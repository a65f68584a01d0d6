//! Metrics as text that Prometheus reads: OpenMetrics, written by `prometheus-client`.

use super::timing::{EDGES_US, Timed};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A label: its name and its value.
pub type Label<'a> = (&'static str, &'a str);

/// Metrics at one moment. Names have no suffix `_total`: the text adds it to counters.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

/// A metric with its samples.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Count(u64),
    Number(f64),
    Durations(Timed),
}

impl Families {
    /// Adds a counter.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, MetricType::Counter)
    }

    /// Adds a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, MetricType::Gauge)
    }

    /// Adds a histogram of durations in seconds.
    pub fn durations(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, MetricType::Histogram)
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: MetricType) -> &mut Family {
        let at = self.0.len();
        self.0.push(Family { name, help, kind, samples: Vec::new() });
        &mut self.0[at]
    }

    /// Writes the text.
    #[must_use]
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        // A string takes every text. Prometheus refuses a text without its last line.
        let _ = text::encode(&mut written, &registry);
        written
    }
}

impl Family {
    /// Adds a count.
    pub fn count(&mut self, labels: &[Label<'_>], count: u64) -> &mut Self {
        self.sample(labels, Value::Count(count))
    }

    /// Adds a number, unless it is unknown.
    pub fn number(&mut self, labels: &[Label<'_>], number: impl Into<Option<f64>>) -> &mut Self {
        match number.into() {
            Some(number) => self.sample(labels, Value::Number(number)),
            None => self,
        }
    }

    /// Adds durations.
    pub fn timed(&mut self, labels: &[Label<'_>], timed: Timed) -> &mut Self {
        self.sample(labels, Value::Durations(timed))
    }

    fn sample(&mut self, labels: &[Label<'_>], value: Value) -> &mut Self {
        let labels = labels.iter().map(|&(name, text)| (name, text.to_owned())).collect();
        self.samples.push(Sample { labels, value });
        self
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for sample in &family.samples {
                if sample.labels.is_empty() {
                    write(&mut metric, family.kind, &sample.value)?;
                } else {
                    write(&mut metric.encode_family(&sample.labels)?, family.kind, &sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Count(count)) => {
            metric.encode_counter::<NoLabelSet, u64, u64>(count, None)
        }
        (MetricType::Counter, Value::Number(number)) => {
            metric.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (_, Value::Count(count)) => metric.encode_gauge(&(*count as f64)),
        (_, Value::Number(number)) => metric.encode_gauge(number),
        (_, Value::Durations(timed)) => {
            let edges = EDGES_US.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = edges.zip(timed.buckets).collect();
            metric.encode_histogram::<NoLabelSet>(timed.total_us as f64 / 1e6, timed.count(), &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::timing::Timing;
    use super::*;
    use std::time::Duration;

    #[test]
    fn text_has_types_labels_and_cumulative_buckets() {
        let timing = Timing::default();
        [300, 700, 700].into_iter().for_each(|us| timing.record(Duration::from_micros(us)));
        let mut families = Families::default();
        families.counter("a_requests", "Requests.").count(&[("class", "api")], 7);
        families.gauge("a_absent", "Nothing.").number(&[], None::<f64>);
        families.gauge("a_ready", "Readiness.").number(&[], 1.0);
        families.durations("a_seconds", "Durations.").timed(&[("class", "api")], timing.read());
        let text = families.text();
        for line in [
            "# TYPE a_requests counter",
            "a_requests_total{class=\"api\"} 7",
            "a_ready 1.0",
            "a_seconds_bucket{le=\"0.00025\",class=\"api\"} 0",
            "a_seconds_bucket{le=\"0.0005\",class=\"api\"} 1",
            "a_seconds_bucket{le=\"0.001\",class=\"api\"} 3",
            "a_seconds_bucket{le=\"+Inf\",class=\"api\"} 3",
            "a_seconds_count{class=\"api\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("absent"), "{text}");
    }

    #[test]
    fn hostile_label_stays_within_its_quotes() {
        let mut families = Families::default();
        families.gauge("a", "A.").number(&[("site", "x\"} 1\nb{c=\"\\")], 1.0);
        let text = families.text();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r#"a{site="x\"} 1\nb{c=\"\\"} 1.0"#), "{text}");
    }
}
