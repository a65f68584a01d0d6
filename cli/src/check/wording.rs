//! The words of a budget's verdict, for all formats.

use crate::client::answer::gate::{BudgetAnswer, IncreaseAnswer};
use crate::output::{ABSENT, limit, plain, value};
use crate::progress::count;

impl BudgetAnswer {
    /// `LCP p75 ≤ 2500 ms`, or `LCP p75 ≤ +5 % over 5.0.9, or +100 ms`
    pub(super) fn promise(&self) -> String {
        let (metric, percentile) = (self.metric.name(), self.percentile);
        match &self.increase {
            None => format!("{metric} p{percentile} ≤ {}", self.limit()),
            Some(increase) => format!(
                "{metric} p{percentile} ≤ +{} % over {}, or +{}",
                increase.max_percent,
                against(increase),
                limit(self.metric, increase.min)
            ),
        }
    }

    /// `2500 ms`; of an increase whose baseline is missing, `+5 %`.
    pub(super) fn limit(&self) -> String {
        match (self.max, &self.increase) {
            (Some(max), None) => limit(self.metric, max),
            (Some(max), Some(_)) => value(self.metric, max, &[]),
            (None, Some(increase)) => format!("+{} %", increase.max_percent),
            (None, None) => ABSENT.to_owned(),
        }
    }

    /// `2480 ms in 5.0.9 (5000 page views), now +160 ms (+20 ms to +310 ms), +6.5 %; without weights 2790 ms`; empty without a
    /// baseline.
    fn comparison(&self) -> String {
        let Some(increase) = &self.increase else { return String::new() };
        let Some(baseline) = &increase.against else { return String::new() };
        let (Some(measured), Some(change)) = (baseline.measured, increase.change) else {
            return String::new();
        };
        let signed = |change: f64| {
            format!("{}{}", if change < 0.0 { "−" } else { "+" }, value(self.metric, change.abs(), &[]))
        };
        let mut text = format!(
            "{} in {} ({}), now {}",
            value(self.metric, measured, &[]),
            against(increase),
            count(baseline.n, "page view"),
            signed(change)
        );
        if let Some([low, high]) = increase.interval {
            text.push_str(&format!(" ({} to {})", signed(low), signed(high)));
        }
        if let Some(percent) = increase.change_percent {
            text.push_str(&format!(", {}{:.1} %", if percent < 0.0 { "−" } else { "+" }, percent.abs()));
        }
        if let Some(unweighted) = increase.unweighted {
            text.push_str(&format!("; without weights {}", self.value(unweighted)));
        }
        text
    }

    /// `3100 ms (3000 ms to 3200 ms)`, or less if data are missing.
    pub(super) fn measurement(&self) -> String {
        match (self.measured, self.interval) {
            (None, _) => ABSENT.to_owned(),
            (Some(measured), None) => self.value(measured),
            (Some(measured), Some([low, high])) => {
                format!("{} ({} to {})", self.value(measured), self.value(low), self.value(high))
            }
        }
    }

    pub(super) fn value(&self, number: f64) -> String {
        value(self.metric, number, self.max.as_slice())
    }

    /// The reason, the number of samples needed, the time until then, and the comparison with a baseline.
    pub(super) fn why(&self) -> String {
        let mut text = plain(&self.reason);
        if let Some(needed) = self.samples_needed {
            text.push_str(&format!("; about {needed} page views are needed, there are {}", self.n));
        }
        if let Some(hours) = self.hours_needed {
            text.push_str(&format!(": {} at this traffic", hours_text(hours)));
        }
        let comparison = self.comparison();
        if comparison.is_empty() { text } else { format!("{text}; {comparison}") }
    }

    /// Page views that are missing for a verdict.
    pub(super) fn missing(&self) -> u64 {
        self.samples_needed.unwrap_or(self.n).saturating_sub(self.n)
    }

    /// `1.8`, or `3.0 (default)` if the page views do not tell it.
    pub(super) fn effect(&self) -> String {
        match (self.design_effect, self.design_effect_from.as_deref()) {
            (None, _) => ABSENT.to_owned(),
            (Some(effect), Some(from @ ("default" | "max"))) => format!("{effect:.1} ({from})"),
            (Some(effect), _) => format!("{effect:.1}"),
        }
    }

    /// The name of the rule that a budget is: `lcp.p75`, `lcp.p75.increase`, `lab.lcp.p50`.
    pub(super) fn rule(&self) -> String {
        let increase = if self.increase.is_some() { ".increase" } else { "" };
        let lab = if self.lab { "lab." } else { "" };
        format!("{lab}{}.p{}{increase}", self.metric.name().to_lowercase(), self.percentile)
    }

    /// The identity of a budget across checks, without its limit.
    pub(super) fn identity(&self) -> String {
        let over = self.increase.as_ref().map(|increase| format!(" over {}", increase.baseline));
        format!("{} {}{}", self.rule(), self.scope(), over.unwrap_or_default())
    }

    /// `/p/*, phone, country DE`
    pub(super) fn scope(&self) -> String {
        let device = self.device.iter().cloned();
        device
            .chain(self.further())
            .fold(plain(&self.route), |text, filter| format!("{text}, {}", plain(&filter)))
    }

    /// `/p/*, country DE`, beside a column of devices.
    pub(super) fn route_text(&self) -> String {
        self.further().fold(self.route.clone(), |text, filter| format!("{text}, {filter}"))
    }

    /// `country DE`, `navigation type reload`
    pub(super) fn further(&self) -> impl Iterator<Item = String> {
        self.filters.iter().map(|(name, value)| format!("{} {value}", name.replace('_', " ")))
    }
}

/// The baseline of a comparison: its release, or `period:7d`.
fn against(increase: &IncreaseAnswer) -> String {
    let release = increase.against.as_ref().and_then(|against| against.release.as_deref());
    plain(release.unwrap_or(&increase.baseline))
}

/// Formats a time: `40 minutes`, `6 hours`, `3 days`.
fn hours_text(hours: f64) -> String {
    let (number, unit) = match hours {
        hours if hours < 1.0 => (hours * 60.0, "minute"),
        hours if hours < 48.0 => (hours, "hour"),
        hours => (hours / 24.0, "day"),
    };
    count(number.ceil().max(1.0) as u64, unit)
}
