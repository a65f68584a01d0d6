//! `--wait`: looks again until the budgets are decided.

use super::look::{Look, Question};
use crate::client::answer::gate::GateAnswer;
use crate::exit::{Exit, Failure};
use crate::limits;
use crate::output::plain;
use crate::progress::{Progress, count, grouped};
use indicatif::HumanDuration;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};
use vitals::gate::Verdict;

/// The last look of a wait.
pub(super) struct Waited {
    pub(super) look: Look,
    pub(super) end: End,
    /// The number of looks.
    pub(super) looks: u64,
}

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All budgets pass, or one fails.
    Decided,
    /// The time is up.
    TimeUp,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// Parses a time of an option: `30s`, `30m`, `6h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "expected seconds, minutes or hours, such as 30s, 30m or 6h, up to {}h",
            limits::WAIT_HOURS_MAX
        )
    };
    let last = text.chars().last().ok_or_else(wrong)?;
    let seconds_each = match last {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let number: u32 = text.strip_suffix(last).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = u64::from(number).saturating_mul(seconds_each);
    if (1..=limits::WAIT_HOURS_MAX * 3_600).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(wrong())
    }
}

/// Completes at Ctrl-C or SIGTERM, by which pipelines cancel a job.
pub(super) async fn stopped() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            // Without a handler the signal ends the program as usual.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Looks every `every`, for at most `wait`, until the budgets are decided or `stop` completes.
///
/// All looks judge the period from its first start, so that their data only grow. A look that the server does not answer is
/// repeated, except the first and the last.
///
/// # Errors
/// Those of [`Question::look`], if `stop` completes before the first look, and if page views expire during the wait.
pub(super) async fn wait(
    question: &Question<'_>,
    wait: Duration,
    every: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Waited, Failure> {
    let mut stop = pin!(stop);
    let mut progress = Progress::new();
    let deadline = Instant::now() + wait;
    let mut last: Option<Look> = None;
    let mut looks = 0;
    loop {
        let from = last.as_ref().map(|look| look.answer.period.from.clone());
        let Some(found) = unless(stop.as_mut(), question.look(from.as_deref())).await else {
            return interrupted(last, looks);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match found {
            Ok(look) => {
                if let Some(expected) = from.filter(|from| *from != look.answer.period.from) {
                    return Err(expired(&expected, &look.answer.period.from));
                }
                looks += 1;
                progress.say(|| state(&look.answer, looks, left));
                let end = match look.verdict {
                    Verdict::Inconclusive if left.is_zero() => Some(End::TimeUp),
                    Verdict::Inconclusive => None,
                    Verdict::Pass | Verdict::Fail => Some(End::Decided),
                };
                if let Some(end) = end {
                    return Ok(Waited { look, end, looks });
                }
                last = Some(look);
            }
            Err(failure) if failure.exit == Exit::Unreachable && last.is_some() && !left.is_zero() => {
                progress.note(&format!("warning: {}; asking again", failure.message));
            }
            Err(failure) => return Err(failure),
        }
        if unless(stop.as_mut(), tokio::time::sleep(every.min(left))).await.is_none() {
            return interrupted(last, looks);
        }
    }
}

/// Returns the output of a future, or `None` if `stop` completes first.
async fn unless<T>(stop: Pin<&mut impl Future<Output = ()>>, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        output = future => Some(output),
        () = stop => None,
    }
}

fn interrupted(last: Option<Look>, looks: u64) -> Result<Waited, Failure> {
    match last {
        Some(look) => Ok(Waited { look, end: End::Interrupted, looks }),
        None => Err(Failure {
            exit: Exit::Inconclusive,
            message: "interrupted before the first look was answered".to_owned(),
            hint: String::new(),
        }),
    }
}

/// The failure of a look that no longer has the page views of the first look: the test needs growing data.
fn expired(expected: &str, found: &str) -> Failure {
    Failure {
        exit: Exit::Inconclusive,
        message: format!(
            "the check began with page views from {}, of which those before {} have expired",
            plain(expected),
            plain(found)
        ),
        hint: "Choose a shorter --period, so that all its page views are kept during --wait.".to_owned(),
    }
}

/// `look 3: 2 kept, 0 exceeded, 1 inconclusive; LCP p75 on /p: 812 of about 1,400 page views; 24 minutes left`
fn state(answer: &GateAnswer, looks: u64, left: Duration) -> String {
    let number = |verdict| answer.budgets.iter().filter(|budget| budget.verdict == verdict).count();
    let mut text = format!(
        "look {looks}: {} kept, {} exceeded, {} inconclusive",
        number(Verdict::Pass),
        number(Verdict::Fail),
        number(Verdict::Inconclusive)
    );
    // The budget that needs most is decided last.
    let undecided = answer.budgets.iter().filter(|budget| budget.verdict == Verdict::Inconclusive);
    let slowest = undecided.max_by_key(|budget| (budget.samples_needed.is_none(), budget.missing()));
    if let Some(budget) = slowest {
        let (metric, route) = (budget.metric.name(), plain(&budget.route));
        text.push_str(&format!(
            "; {metric} p{} on {route}: {}",
            budget.percentile,
            count(budget.n, "page view")
        ));
        if let Some(needed) = budget.samples_needed {
            text.push_str(&format!(" of about {}", grouped(needed)));
        }
    }
    text.push_str(&format!("; {} left", HumanDuration(left)));
    text
}

/// Explains the end of a wait that decided nothing; empty after a decision.
pub(super) fn warning(waited: &Waited, wait: Duration) -> String {
    let looks = count(waited.looks, "look");
    match waited.end {
        End::Decided => String::new(),
        End::TimeUp => format!("warning: not decided within {} and {looks}", HumanDuration(wait)),
        End::Interrupted => format!("warning: interrupted after {looks}; this is the state so far"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        for (text, seconds) in [("30s", 30), ("30m", 1_800), ("6h", 21_600), ("168h", 604_800)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "30", "0m", "-1m", "1.5h", "30 m", "169h", "4294967295h", "3µ"] {
            assert!(time(text).unwrap_err().starts_with("expected seconds, minutes or hours"), "{text}");
        }
    }
}
