//! Error rates and power of the gate, by simulation.
//!
//! `cargo xtask gate-tables` writes the tables of docs/gate.md from the same code.

mod increase;
#[path = "../../src/random.rs"]
mod random;
mod traffic;

use random::Random;
use traffic::{MAX_MS, Spread, Traffic};
use vitals::gate::{ALPHA, Block, Looks, Sample, Verdict, design_effect, judge, overall};

/// Trials of a simulated error rate: the standard error of 0.05 is 0.0015.
const TRIALS: u32 = 20_000;
/// Trials where one takes thousands of page views.
const TRIALS_LONG: u32 = 4_000;
/// Looks of a repeated check.
const LOOKS: u64 = 50;

/// Shares of trials that failed and passed.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    fail: f64,
    pass: f64,
}

impl Rates {
    fn of(trials: u32, mut trial: impl FnMut() -> Verdict) -> Self {
        let (mut fail, mut pass) = (0, 0);
        for _ in 0..trials {
            match trial() {
                Verdict::Fail => fail += 1,
                Verdict::Pass => pass += 1,
                Verdict::Inconclusive => {}
            }
        }
        Self { fail: f64::from(fail) / f64::from(trials), pass: f64::from(pass) / f64::from(trials) }
    }

    /// Asserts that neither rate exceeds `max` by more than three standard errors.
    fn assert_at_most(self, max: f64, trials: u32, what: &str) {
        let bound = max + 3.0 * (max * (1.0 - max) / f64::from(trials)).sqrt();
        assert!(self.fail <= bound && self.pass <= bound, "{what}: {self:?} exceeds {max}");
    }
}

fn sample(n: u64, within: u64, design_effect: f64) -> Sample {
    Sample { n, within, percent: 75, min_samples: 1, design_effect }
}

fn verdict(sample: Sample, looks: Looks) -> Verdict {
    judge(&[sample], looks, ALPHA)[0].verdict
}

/// One look at `n` independent page views whose 75th percentile is `over` times the budget.
fn one_look(random: &mut Random, spread: Spread, n: u64, over: f64) -> Verdict {
    let within = (0..n).filter(|_| spread.value(random, over * MAX_MS) <= MAX_MS).count() as u64;
    verdict(sample(n, within, 1.0), Looks::One)
}

/// Looks at independent page views after every `step` of them until a verdict. Returns it, and the page views that it
/// took.
fn until_decided(random: &mut Random, looks: Looks, step: u64, over: f64) -> (Verdict, u64) {
    let (mut n, mut within) = (0, 0);
    for _ in 0..LOOKS {
        n += step;
        within +=
            (0..step).filter(|_| Spread::LogNormal.value(random, over * MAX_MS) <= MAX_MS).count() as u64;
        let found = verdict(sample(n, within, 1.0), looks);
        if found != Verdict::Inconclusive {
            return (found, n);
        }
    }
    (Verdict::Inconclusive, n)
}

/// One look at visitors of five page views each, with the design effect that the gate finds.
fn visitors(random: &mut Random, traffic: &Traffic) -> Verdict {
    blocks_verdict(&traffic.blocks(random), Looks::One)
}

fn blocks_verdict(blocks: &[Block], looks: Looks) -> Verdict {
    let sum = |count: fn(&Block) -> u64| blocks.iter().map(count).sum();
    let effect = design_effect(blocks, looks, ALPHA);
    verdict(sample(sum(|block| block.n), sum(|block| block.within), effect.value), looks)
}

/// Looks at visitors of five page views each after every fiftieth of the time, until a verdict.
fn visitors_until_decided(random: &mut Random, traffic: &Traffic) -> Verdict {
    let views = traffic.views(random);
    (1..=LOOKS)
        .map(|look| blocks_verdict(&Traffic::blocks_until(&views, traffic.ms() * look / LOOKS), Looks::Many))
        .find(|&found| found != Verdict::Inconclusive)
        .unwrap_or(Verdict::Inconclusive)
}

#[test]
fn page_on_its_budget_rarely_gets_a_false_verdict() {
    let mut random = Random(1);
    for spread in Spread::ALL {
        for n in [30, 100, 300, 1_000, 3_000, 10_000] {
            let trials = if n > 1_000 { TRIALS_LONG } else { TRIALS };
            let rates = Rates::of(trials, || one_look(&mut random, spread, n, 1.0));
            rates.assert_at_most(0.05, trials, &format!("{spread:?}, n = {n}"));
            // The test uses most of its level, except where a count of few page views is a large step.
            assert!(rates.fail > 0.009 && rates.pass > 0.009, "{spread:?}, n = {n}: {rates:?}");
        }
    }
}

#[test]
fn fifty_looks_rarely_give_a_false_verdict() {
    let mut random = Random(2);
    for step in [2, 20, 100] {
        let trials = if step > 20 { TRIALS_LONG } else { TRIALS };
        let rates = Rates::of(trials, || until_decided(&mut random, Looks::Many, step, 1.0).0);
        rates.assert_at_most(0.05, trials, &format!("a look every {step} page views"));
    }
    // The exact test is for one look.
    let exact = Rates::of(2_000, || until_decided(&mut random, Looks::One, 20, 1.0).0);
    assert!(exact.fail > 0.1 && exact.pass > 0.1, "{exact:?}");
}

#[test]
fn visitors_of_five_page_views_rarely_cause_a_false_verdict() {
    let mut random = Random(3);
    for (half_hours, visitors_per_trial) in
        [(1, 40), (1, 400), (24, 200), (24, 1_000), (144, 200), (144, 1_000)]
    {
        let traffic =
            Traffic { half_hours, visitors: visitors_per_trial, views_each: 5, icc: 0.5, over: 1.0 };
        let trials = if visitors_per_trial > 400 { TRIALS_LONG } else { TRIALS };
        let rates = Rates::of(trials, || visitors(&mut random, &traffic));
        rates.assert_at_most(0.06, trials, &format!("{traffic:?}"));
    }
    // Without a design effect the page views would be taken for independent.
    let traffic = Traffic { half_hours: 24, visitors: 200, views_each: 5, icc: 0.5, over: 1.0 };
    let naive = Rates::of(TRIALS_LONG, || {
        let blocks = traffic.blocks(&mut random);
        let sum = |count: fn(&Block) -> u64| blocks.iter().map(count).sum();
        verdict(sample(sum(|block| block.n), sum(|block| block.within), 1.0), Looks::One)
    });
    assert!(naive.fail > 0.12 && naive.pass > 0.12, "{naive:?}");
}

#[test]
fn fifty_looks_at_visitors_of_five_page_views_rarely_give_a_false_verdict() {
    let mut random = Random(4);
    for (half_hours, visitors) in [(1, 200), (24, 400), (144, 400)] {
        let traffic = Traffic { half_hours, visitors, views_each: 5, icc: 0.5, over: 1.0 };
        let rates = Rates::of(TRIALS_LONG, || visitors_until_decided(&mut random, &traffic));
        rates.assert_at_most(0.06, TRIALS_LONG, &format!("{traffic:?}"));
    }
}

#[test]
fn check_of_twenty_budgets_rarely_fails_falsely() {
    let mut random = Random(5);
    for looks in Looks::ALL {
        let rates = Rates::of(TRIALS_LONG, || {
            let samples: Vec<Sample> = (0..20)
                .map(|_| {
                    let values = (0..200).filter(|_| Spread::LogNormal.value(&mut random, MAX_MS) <= MAX_MS);
                    sample(200, values.count() as u64, 1.0)
                })
                .collect();
            overall(&judge(&samples, looks, ALPHA).iter().map(|one| one.verdict).collect::<Vec<_>>())
        });
        rates.assert_at_most(0.05, TRIALS_LONG, &format!("{looks:?}"));
    }
}

#[test]
fn page_clearly_over_or_under_its_budget_is_decided() {
    let mut random = Random(6);
    for (n, least) in [(100, 0.55), (200, 0.8), (500, 0.98)] {
        let rates = Rates::of(TRIALS_LONG, || one_look(&mut random, Spread::LogNormal, n, 1.2));
        assert!(rates.fail > least && rates.pass < 0.01, "n = {n}: {rates:?}");
    }
    for over in [0.8, 1.2] {
        let rates = Rates::of(1_000, || until_decided(&mut random, Looks::Many, 40, over).0);
        let (right, wrong) = if over > 1.0 { (rates.fail, rates.pass) } else { (rates.pass, rates.fail) };
        assert!(right > 0.99 && wrong < 0.01, "{over}: {rates:?}");
    }
}

/// With the estimated number of page views most looks decide.
#[test]
fn needed_page_views_decide_most_looks() {
    let mut random = Random(7);
    for over in [0.9, 1.1, 1.2] {
        let values = (0..100_000).filter(|_| Spread::LogNormal.value(&mut random, over * MAX_MS) <= MAX_MS);
        let share = values.count() as f64 / 100_000.0;
        let few = sample(100, (share * 100.0).round() as u64, 1.0);
        let n = few.needed(Looks::One, ALPHA, ALPHA).expect("a number");
        let rates = Rates::of(TRIALS_LONG, || one_look(&mut random, Spread::LogNormal, n, over));
        let right = if over > 1.0 { rates.fail } else { rates.pass };
        assert!((0.65..0.95).contains(&right), "{over}, n = {n}: {rates:?}");
    }
}

/// Formats a number below a million with its thousands.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

/// Prints the tables of docs/gate.md.
#[test]
#[ignore = "no check: prints the tables of docs/gate.md for `cargo xtask gate-tables`"]
#[allow(clippy::print_stdout)]
fn tables() {
    let mut random = Random(8);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    // The trials, and how far a simulated rate of 5 % is from the true one.
    let trials = |number: u32| {
        let error = percent((0.05 * 0.95 / f64::from(number)).sqrt());
        format!("{} trials each, standard error {error}", grouped(number.into()))
    };
    println!("<!-- begin of the tables -->");
    println!("Wrong verdicts of a page exactly on its budget (fail / pass), {}:\n", trials(TRIALS));
    println!("| page views | log-normal | heavy-tailed | half zeros |\n|-:|-|-|-|");
    for n in [30, 100, 300, 1_000, 3_000, 10_000] {
        let cells: Vec<String> = Spread::ALL
            .into_iter()
            .map(|spread| {
                let rates = Rates::of(TRIALS, || one_look(&mut random, spread, n, 1.0));
                format!("{} / {}", percent(rates.fail), percent(rates.pass))
            })
            .collect();
        println!("| {} | {} |", grouped(n), cells.join(" | "));
    }
    println!("\nWrong verdicts within {LOOKS} looks (fail / pass), {}:\n", trials(TRIALS_LONG));
    println!("| page views at the last look | `looks=many` | `looks=one` |\n|-:|-|-|");
    for step in [2, 20, 100] {
        let cells: Vec<String> = [Looks::Many, Looks::One]
            .into_iter()
            .map(|looks| {
                let rates = Rates::of(TRIALS_LONG, || until_decided(&mut random, looks, step, 1.0).0);
                format!("{} / {}", percent(rates.fail), percent(rates.pass))
            })
            .collect();
        println!("| {} | {} |", grouped(step * LOOKS), cells.join(" | "));
    }
    println!(
        "\nWrong verdicts with five page views a visitor, intraclass correlation 0.5 (fail / pass), {}:\n",
        trials(TRIALS_LONG)
    );
    println!("| time | page views | one look | {LOOKS} looks |\n|-|-:|-|-|");
    for (half_hours, time, visitors_of) in
        [(1, "30 minutes", 200), (24, "12 hours", 200), (144, "3 days", 1_000)]
    {
        let traffic = Traffic { half_hours, visitors: visitors_of, views_each: 5, icc: 0.5, over: 1.0 };
        let one = Rates::of(TRIALS_LONG, || visitors(&mut random, &traffic));
        let many = Rates::of(TRIALS_LONG, || visitors_until_decided(&mut random, &traffic));
        println!(
            "| {time} | {} | {} / {} | {} / {} |",
            grouped(visitors_of * 5),
            percent(one.fail),
            percent(one.pass),
            percent(many.fail),
            percent(many.pass)
        );
    }
    println!("\nRight verdicts of one look, by the true percentile relative to the budget:\n");
    let overs = [0.8, 0.9, 1.1, 1.2, 1.3];
    println!("| page views | −20 % | −10 % | +10 % | +20 % | +30 % |\n|-:|-:|-:|-:|-:|-:|");
    for n in [100, 300, 1_000, 3_000] {
        let cells = overs.map(|over| {
            let rates = Rates::of(TRIALS_LONG, || one_look(&mut random, Spread::LogNormal, n, over));
            percent(if over > 1.0 { rates.fail } else { rates.pass })
        });
        println!("| {} | {} |", grouped(n), cells.join(" | "));
    }
    println!("\nPage views until a waiting check decides rightly (a look every 100, up to 5,000):\n");
    println!("| | −20 % | −10 % | +10 % | +20 % | +30 % |\n|-|-:|-:|-:|-:|-:|");
    let runs = overs.map(|over| {
        let mut taken: Vec<u64> = (0..TRIALS_LONG)
            .filter_map(|_| {
                let (found, n) = until_decided(&mut random, Looks::Many, 100, over);
                (found == if over > 1.0 { Verdict::Fail } else { Verdict::Pass }).then_some(n)
            })
            .collect();
        taken.sort_unstable();
        taken
    });
    let row = |cell: &dyn Fn(&Vec<u64>) -> String| runs.iter().map(cell).collect::<Vec<_>>().join(" | ");
    let at = |taken: &Vec<u64>, share: f64| {
        let place = (f64::from(TRIALS_LONG) * share) as usize;
        taken.get(place).map_or_else(|| "–".to_owned(), |&n| grouped(n))
    };
    println!("| half of the checks | {} |", row(&|taken| at(taken, 0.5)));
    println!("| nine tenths | {} |", row(&|taken| at(taken, 0.9)));
    println!("| decided by 5,000 | {} |", row(&|taken| percent(taken.len() as f64 / f64::from(TRIALS_LONG))));
    increase::tables(&mut random);
    println!("<!-- end of the tables -->");
}
