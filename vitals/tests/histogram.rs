//! Laws of the histogram, for any values and any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use vitals::gate::interval_ranks;
use vitals::histogram::{ERROR_PERCENT_MAX, Histogram, Sum, rank, read_varint, write_varint};
use vitals::metric::{Metric, Rating, Value};

fn metric() -> impl Strategy<Value = Metric> {
    proptest::sample::select(&Metric::ALL[..])
}

/// Values of a metric: small, typical, at thresholds and at the edge of what is believed.
fn value(metric: Metric) -> impl Strategy<Value = Value> {
    let max = Value::new(metric, metric.value_max().into()).expect("its largest value").micros();
    let edges = metric.thresholds();
    let edges = [edges.good.micros(), edges.needs_improvement.micros()];
    prop_oneof![
        0..=200_u32,
        0..=max,
        0..=max / 100,
        proptest::sample::select(vec![0, 1, max, edges[0], edges[0] + 1, edges[1], edges[1] + 1]),
    ]
    .prop_map(move |micros| Value::from_micros(metric, micros).expect("within bounds"))
}

fn values(len: usize) -> impl Strategy<Value = (Metric, Vec<Value>)> {
    metric().prop_flat_map(move |metric| (Just(metric), vec(value(metric), 0..len)))
}

fn histogram(metric: Metric, values: &[Value]) -> Histogram {
    let mut histogram = Histogram::default();
    for &value in values {
        histogram.add(metric, value, 1);
    }
    histogram
}

fn merged(a: &Histogram, b: &Histogram) -> Histogram {
    let mut both = a.clone();
    both.merge(b);
    both
}

/// Histograms with counts of either sign, as corrections have them.
fn corrections(metric: Metric) -> impl Strategy<Value = Histogram> {
    vec((value(metric), -3..=3_i64), 0..40).prop_map(move |counts| {
        let mut histogram = Histogram::default();
        for (value, by) in counts {
            histogram.add(metric, value, by);
        }
        histogram
    })
}

/// Histograms of values that lie close together with counts of one size, as bit planes hold them.
fn dense(metric: Metric) -> impl Strategy<Value = Histogram> {
    let counts = vec((prop_oneof![5 => Just(1), 1 => 2..5_i32], any::<i64>()), 1..150);
    (1..1_000_000_u32, 0..15_u32, counts).prop_map(move |(first, bits, counts)| {
        let (mut histogram, mut place) = (Histogram::default(), 0);
        for (step, random) in counts {
            place += step;
            // About a bucket's width.
            let micros = f64::from(first) * 1.0109_f64.powi(place);
            if let Some(value) = Value::from_micros(metric, micros as u32) {
                histogram.add(metric, value, 1 + (random & ((1 << bits) - 1)));
            }
        }
        histogram
    })
}

fn three() -> impl Strategy<Value = [Histogram; 3]> {
    metric().prop_flat_map(|metric| [corrections(metric), corrections(metric), corrections(metric)])
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_has_an_identity([a, b, c] in three()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &Histogram::default()), &a);
        prop_assert_eq!(&merged(&Histogram::default(), &a), &a);
    }

    #[test]
    fn merging_is_counting_together((metric, values) in values(80), cut in 0.0..=1.0) {
        let (left, right) = values.split_at((values.len() as f64 * cut) as usize);
        let both = merged(&histogram(metric, left), &histogram(metric, right));
        prop_assert_eq!(both, histogram(metric, &values));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing((metric, values) in values(80), seed in any::<u64>()) {
        let mut counted = histogram(metric, &values);
        let mut order = values;
        order.sort_by_key(|value| u64::from(value.micros()).wrapping_mul(seed | 1));
        for value in order {
            counted.add(metric, value, -1);
        }
        prop_assert!(counted.is_empty());
        prop_assert_eq!(counted, Histogram::default());
    }

    #[test]
    fn ratings_are_exact((metric, values) in values(200)) {
        let histogram = histogram(metric, &values);
        prop_assert_eq!(histogram.n(), values.len() as i64);
        for rating in Rating::ALL {
            let exact = values.iter().filter(|&&value| metric.rate(value) == rating).count();
            prop_assert_eq!(histogram.rated(rating), exact as i64);
        }
    }

    #[test]
    fn percentiles_are_those_of_sorted_data((metric, mut values) in values(400), percent in 0..=100_u8) {
        let histogram = histogram(metric, &values);
        values.sort_unstable();
        let place = rank(values.len() as i64, percent) - 1;
        let exact = values.get(place as usize).map(|value| value.number(metric));
        let told = histogram.percentile(metric, percent);
        prop_assert_eq!(told.is_some(), exact.is_some());
        let (Some(told), Some(exact)) = (told, exact) else { return Ok(()) };
        // The error that is documented, and a float's.
        let bound = ERROR_PERCENT_MAX / 100.0 * exact + 1e-9;
        prop_assert!((told - exact).abs() <= bound, "{told} for {exact}");
        prop_assert!(told <= f64::from(metric.value_max()));
        let rate = |number: f64| metric.thresholds().good.number(metric) < number;
        prop_assert_eq!(rate(told), rate(exact), "{} for {} is on the other side of the threshold", told, exact);
    }

    #[test]
    fn an_interval_holds_the_values_at_its_ranks((metric, mut values) in values(400), percent in 1..=99_u8) {
        let histogram = histogram(metric, &values);
        values.sort_unstable();
        let told = histogram.interval(metric, percent, 0.05);
        let ranks = interval_ranks(values.len() as u64, percent, 0.05);
        prop_assert_eq!(told.is_some(), ranks.is_some());
        let (Some([low, high]), Some(ranks)) = (told, ranks) else { return Ok(()) };
        let at = |rank: u64| values[rank as usize - 1];
        prop_assert!(low <= at(ranks.0).number(metric) && at(ranks.1).number(metric) <= high);
        for (end, rank) in [(low, ranks.0), (high, ranks.1)] {
            prop_assert_eq!(metric.rate(Value::new(metric, end).unwrap()), metric.rate(at(rank)));
        }
        let percentile = histogram.percentile(metric, percent).unwrap();
        prop_assert!(low <= percentile && percentile <= high);
    }

    #[test]
    fn bins_between_thresholds_hold_the_exact_counts((metric, values) in values(200)) {
        let histogram = histogram(metric, &values);
        let thresholds = metric.thresholds();
        let edges = [thresholds.good.number(metric), thresholds.needs_improvement.number(metric)];
        let bins: Vec<i64> = histogram.bins(metric, &edges).iter().map(|bin| bin.n).collect();
        prop_assert_eq!(bins, Rating::ALL.map(|rating| histogram.rated(rating)).to_vec());
    }

    #[test]
    fn percentiles_rise((metric, values) in values(100)) {
        let histogram = histogram(metric, &values);
        let told: Vec<_> = (0..=100).filter_map(|percent| histogram.percentile(metric, percent)).collect();
        prop_assert!(told.is_sorted());
    }

    #[test]
    fn what_is_written_is_read_back(histograms in metric().prop_flat_map(|metric| vec(corrections(metric), 0..4))) {
        let mut bytes = Vec::new();
        for histogram in &histograms {
            histogram.encode(&mut bytes);
        }
        let mut rest = &bytes[..];
        for histogram in &histograms {
            prop_assert_eq!(&Histogram::decode(&mut rest).unwrap(), histogram);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_bytes_are_a_histogram_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let mut rest = &bytes[..];
        if let Ok(histogram) = Histogram::decode(&mut rest) {
            prop_assert!(rest.len() < bytes.len());
            let _ = histogram.percentile(Metric::Lcp, 75);
            let _ = histogram.bins(Metric::Cls, &[0.1, 0.25]);
            let mut again = Vec::new();
            histogram.encode(&mut again);
            prop_assert_eq!(Histogram::decode(&mut &again[..]), Ok(histogram));
        }
    }

    /// Digit by digit, with carries past those that are kept so, beside lists, and corrections of either sign.
    #[test]
    fn adding_encoded_histograms_is_merging_them(
        (histograms, times) in metric().prop_flat_map(|metric| {
            (vec(prop_oneof![dense(metric), corrections(metric)], 1..6), 1..60_usize)
        }),
    ) {
        let (mut sum, mut expected) = (Sum::default(), Histogram::default());
        for _ in 0..times {
            for histogram in &histograms {
                let mut bytes = Vec::new();
                histogram.encode(&mut bytes);
                let mut rest = &bytes[..];
                prop_assert_eq!(sum.add_encoded(&mut rest), Ok(()));
                prop_assert!(rest.is_empty());
                expected.merge(histogram);
            }
        }
        prop_assert_eq!(sum.finish(), expected);
    }

    /// Bytes that begin as a histogram's do, so that they get as far as the buckets.
    #[test]
    fn nearly_right_bytes_are_a_histogram_or_an_error(
        form in 0..3_u64,
        len in 0..2_100_u64,
        fields in vec((0..40_u64, 0..300_u64, vec(any::<u8>(), 0..40)), 0..30),
    ) {
        let planes = form == 2;
        let mut bytes = Vec::new();
        write_varint(&mut bytes, if planes { fields.len() as u64 } else { len } << 2 | form);
        bytes.extend_from_slice(&[2, 4, 6]);
        for (length, first, plane) in fields {
            if planes {
                // Now and then another length than the bytes have.
                write_varint(&mut bytes, if length == 0 { 20 } else { plane.len() as u64 });
                write_varint(&mut bytes, first);
            }
            bytes.extend_from_slice(&plane);
        }
        let mut rest = &bytes[..];
        let mut sum = Sum::default();
        let added = sum.add_encoded(&mut &bytes[..]);
        let decoded = Histogram::decode(&mut rest);
        prop_assert_eq!(added.is_ok(), decoded.is_ok());
        if let Ok(histogram) = decoded {
            prop_assert_eq!(&sum.finish(), &histogram);
            let doubled = merged(&histogram, &histogram);
            let _ = doubled.percentile(Metric::Lcp, 100);
        }
    }

    #[test]
    fn varints_are_read_back(number in any::<u64>(), shift in 0..64_u32) {
        let number = number >> shift;
        let mut bytes = Vec::new();
        write_varint(&mut bytes, number);
        let mut rest = &bytes[..];
        prop_assert_eq!(read_varint(&mut rest), Ok(number));
        prop_assert!(rest.is_empty());
    }
}

#[test]
fn histogram_is_empty_without_counts_only() {
    let mut histogram = Histogram::default();
    assert!(histogram.is_empty());
    let value = Value::new(Metric::Lcp, 2_000.0).unwrap();
    histogram.add(Metric::Lcp, value, 1);
    assert!(!histogram.is_empty());
    histogram.add(Metric::Lcp, value, -1);
    assert!(histogram.is_empty(), "what is added and taken away leaves nothing");
}

#[test]
fn damaged_bytes_are_named_as_such() {
    let error = Histogram::decode(&mut &[0xff_u8; 3][..]).unwrap_err();
    assert_eq!(error.to_string(), "the bytes are not a histogram");
}
