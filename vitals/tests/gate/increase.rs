//! Error rates and power of budgets on an increase, by simulation.

use crate::random::Random;
use crate::traffic::Spread;
use crate::{Rates, TRIALS, TRIALS_LONG, grouped};
use vitals::gate::{
    ALPHA, Allowance, Class, ClassViews, Comparison, Looks, TimedValue, Verdict, judge_together,
    nuisance_level,
};
use vitals::metric::{Metric, Value};
use vitals::view::Device;

/// The 75th percentiles of phones and desktops, in milliseconds.
const P75_MS: [f64; 2] = [3_000.0, 1_500.0];
/// The time of a side: two days.
const HALF_HOURS: u32 = 96;
/// Looks of a repeated check.
const LOOKS: usize = 20;
/// Trials of repeated checks: the standard error of 0.05 is 0.007.
const TRIALS_OF_LOOKS: u32 = 1_000;

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
struct Side {
    spread: Spread,
    n: u32,
    /// The share of phones.
    phones: f64,
    /// The factors of the percentiles of phones and desktops.
    slower: [f64; 2],
    /// What is added to each value.
    later_ms: f64,
    /// Page views of each visitor, half of whom have the same value in all of them.
    views_each: u32,
}

const SIDE: Side =
    Side { spread: Spread::LogNormal, n: 400, phones: 0.4, slower: [1.0; 2], later_ms: 0.0, views_each: 1 };

impl Side {
    /// The same side with its percentiles moved to a limit.
    fn at(self, allowance: Allowance, phones: f64) -> Self {
        let later_ms = allowance.least.number(Metric::Lcp);
        Self { phones, slower: [1.0 + allowance.share; 2], later_ms, ..self }
    }

    /// Page views in the order of their arrival: the device, and the value.
    fn views(&self, random: &mut Random) -> Vec<(usize, TimedValue)> {
        let mut views = Vec::with_capacity(self.n as usize);
        while views.len() < self.n as usize {
            let device = usize::from(random.uniform() >= self.phones);
            let alike = self.views_each > 1 && random.uniform() < 0.5;
            let mut at = random.uniform() * f64::from(HALF_HOURS);
            let draw = |random: &mut Random| {
                let p75 = P75_MS[device] * self.slower[device];
                let ms = self.spread.value(random, p75).min(500_000.0) + self.later_ms;
                Value::new(Metric::Lcp, ms).expect("a plausible value")
            };
            let mut value = draw(random);
            for _ in 0..self.views_each {
                views.push((device, TimedValue { block: at as i32, value }));
                // Three minutes on a page.
                at -= 0.1 * (1.0 - random.uniform()).ln();
                if !alike {
                    value = draw(random);
                }
            }
        }
        views
    }
}

fn classes(views: &[(usize, TimedValue)]) -> [ClassViews; 2] {
    [Device::Phone, Device::Desktop].map(|device| {
        let of_device = |&&(place, _): &&(usize, TimedValue)| place == usize::from(device != Device::Phone);
        ClassViews {
            class: Class { device: Some(device), ..Class::default() },
            views: views.iter().filter(of_device).map(|&(_, view)| view).collect(),
        }
    })
}

fn verdict(allowance: Allowance, looks: Looks, sides: [&[ClassViews]; 2]) -> Verdict {
    let comparison = Comparison::new((75, allowance), 1, looks, sides);
    let evidence = comparison.evidence(nuisance_level(ALPHA, 1));
    judge_together(&[evidence], looks, ALPHA)[0].verdict
}

fn one_look(random: &mut Random, allowance: Allowance, from: Side, to: Side) -> Verdict {
    let [from, to] = [from, to].map(|side| classes(&side.views(random)));
    verdict(allowance, Looks::One, [&from, &to])
}

/// Looks at a current side that grows in equal steps, until a verdict.
fn until_decided(random: &mut Random, looks: Looks, allowance: Allowance, from: Side, to: Side) -> Verdict {
    let [from, to] = [from, to].map(|side| side.views(random));
    let from = classes(&from);
    let step = to.len() / LOOKS;
    (1..=LOOKS)
        .map(|look| verdict(allowance, looks, [&from, &classes(&to[..step * look])]))
        .find(|&found| found != Verdict::Inconclusive)
        .unwrap_or(Verdict::Inconclusive)
}

fn allowed(share: f64, least_ms: f64) -> Allowance {
    Allowance { share, least: Value::new(Metric::Lcp, least_ms).expect("a plausible value") }
}

const FIVE_PERCENT: Allowance = Allowance { share: 0.05, least: Value::ZERO };

#[test]
fn increase_at_its_limit_with_another_audience_rarely_gets_a_false_verdict() {
    let mut random = Random(11);
    let rates = Rates::of(TRIALS, || one_look(&mut random, FIVE_PERCENT, SIDE, SIDE.at(FIVE_PERCENT, 0.6)));
    rates.assert_at_most(0.05, TRIALS, "phones from 40 to 60 %");
    // The least favorable baseline costs much of the level for so few page views.
    assert!(rates.fail > 0.001 && rates.pass > 0.001, "the test can err: {rates:?}");
}

#[test]
fn increase_at_its_limit_rarely_gets_a_false_verdict() {
    let mut random = Random(12);
    for spread in Spread::ALL {
        for (from, to, allowance) in
            [(1_000, 200, FIVE_PERCENT), (200, 1_000, FIVE_PERCENT), (300, 300, allowed(0.0, 100.0))]
        {
            let from = Side { spread, n: from, ..SIDE };
            let to = Side { n: to, ..from }.at(allowance, 0.4);
            let rates = Rates::of(TRIALS_LONG, || one_look(&mut random, allowance, from, to));
            rates.assert_at_most(0.05, TRIALS_LONG, &format!("{from:?} {to:?}"));
        }
    }
}

#[test]
fn increase_of_visitors_of_five_page_views_rarely_gets_a_false_verdict() {
    let mut random = Random(13);
    let from = Side { n: 1_000, views_each: 5, ..SIDE };
    let rates =
        Rates::of(TRIALS_LONG, || one_look(&mut random, FIVE_PERCENT, from, from.at(FIVE_PERCENT, 0.6)));
    rates.assert_at_most(0.06, TRIALS_LONG, "five page views a visitor");
}

#[test]
fn twenty_looks_at_an_increase_rarely_give_a_false_verdict() {
    let mut random = Random(14);
    let to = SIDE.at(FIVE_PERCENT, 0.6);
    let rates =
        Rates::of(TRIALS_OF_LOOKS, || until_decided(&mut random, Looks::Many, FIVE_PERCENT, SIDE, to));
    rates.assert_at_most(0.05, TRIALS_OF_LOOKS, "looks=many");
}

#[test]
fn another_audience_alone_fails_only_without_classes() {
    let mut random = Random(15);
    let (from, to) = (Side { n: 1_000, ..SIDE }, Side { n: 1_000, phones: 0.6, ..SIDE });
    let weighted = Rates::of(TRIALS_LONG, || one_look(&mut random, FIVE_PERCENT, from, to));
    assert!(weighted.fail < 0.005, "{weighted:?}");
    let plain = Rates::of(1_000, || {
        let [from, to] = [from, to].map(|side| {
            let views = side.views(&mut random).into_iter().map(|(_, view)| view).collect();
            [ClassViews { class: Class::default(), views }]
        });
        verdict(FIVE_PERCENT, Looks::One, [&from, &to])
    });
    assert!(plain.fail > 0.3, "without classes the audience looks like a regression: {plain:?}");
}

#[test]
fn regression_of_phones_alone_is_found_behind_fewer_phones() {
    let mut random = Random(16);
    let ten = allowed(0.1, 100.0);
    let from = Side { n: 1_000, phones: 0.6, ..SIDE };
    let to = Side { phones: 0.4, slower: [1.5, 1.0], ..from };
    let rates = Rates::of(1_000, || one_look(&mut random, ten, from, to));
    assert!(rates.fail > 0.9 && rates.pass < 0.01, "{rates:?}");
}

/// Prints the tables of docs/gate.md about increases.
#[allow(clippy::print_stdout)]
pub(crate) fn tables(random: &mut Random) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let both = |rates: Rates| format!("{} / {}", percent(rates.fail), percent(rates.pass));
    println!(
        "\nWrong verdicts on an increase exactly at its limit of 5 % (fail / pass), {} trials each, standard error {}:\n",
        grouped(TRIALS.into()),
        percent((0.05 * 0.95 / f64::from(TRIALS)).sqrt())
    );
    println!("| page views, each side | log-normal | heavy-tailed | half zeros | phones from 40 to 60 % |");
    println!("|-:|-|-|-|-|");
    for n in [100, 300, 1_000] {
        let mut rates = |spread, phones| {
            let from = Side { spread, n, ..SIDE };
            both(Rates::of(TRIALS, || one_look(random, FIVE_PERCENT, from, from.at(FIVE_PERCENT, phones))))
        };
        let cells = [
            rates(Spread::LogNormal, 0.4),
            rates(Spread::HeavyTailed, 0.4),
            rates(Spread::ZeroInflated, 0.4),
            rates(Spread::LogNormal, 0.6),
        ];
        println!("| {} | {} |", grouped(n.into()), cells.join(" | "));
    }
    let from = Side { n: 400, ..SIDE };
    let to = from.at(FIVE_PERCENT, 0.6);
    let [many, one] = [Looks::Many, Looks::One]
        .map(|looks| both(Rates::of(TRIALS_LONG, || until_decided(random, looks, FIVE_PERCENT, from, to))));
    let of_five = Side { n: 1_000, views_each: 5, ..SIDE };
    let visitors = both(Rates::of(TRIALS_LONG, || {
        one_look(random, FIVE_PERCENT, of_five, of_five.at(FIVE_PERCENT, 0.6))
    }));
    println!(
        "\nThe same with phones from 40 to 60 %, {} trials each, standard error {}:\n",
        grouped(TRIALS_LONG.into()),
        percent((0.05 * 0.95 / f64::from(TRIALS_LONG)).sqrt())
    );
    println!("| | fail / pass |\n|-|-|");
    println!("| {LOOKS} looks up to 400 page views, `looks=many` | {many} |");
    println!("| {LOOKS} looks up to 400 page views, `looks=one` | {one} |");
    println!("| 1,000 page views of 200 visitors, intraclass correlation 0.5 | {visitors} |");
    println!("\nRight verdicts of one look on a limit of 10 %, by the true increase (1,000 trials each):\n");
    println!(
        "| page views, each side | none | +20 % | +30 % | phones alone +50 %, fewer phones |\n|-:|-:|-:|-:|-:|"
    );
    let ten = allowed(0.1, 100.0);
    for n in [300, 1_000, 3_000] {
        let mut right = |phones: [f64; 2], slower: [f64; 2]| {
            let from = Side { n, phones: phones[0], ..SIDE };
            let to = Side { n, phones: phones[1], slower, ..SIDE };
            let rates = Rates::of(1_000, || one_look(random, ten, from, to));
            percent(if slower == [1.0; 2] { rates.pass } else { rates.fail })
        };
        let cells = [
            right([0.4; 2], [1.0; 2]),
            right([0.4; 2], [1.2; 2]),
            right([0.4; 2], [1.3; 2]),
            right([0.6, 0.4], [1.5, 1.0]),
        ];
        println!("| {} | {} |", grouped(n.into()), cells.join(" | "));
    }
}
