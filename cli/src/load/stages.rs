//! Stages of a test: a time and a rate each.

use std::time::Duration;

/// Largest rate, in beacons per second. One client process sends some 20,000.
pub(super) const RATE_MAX: u64 = 200_000;
/// Longest stage: a day.
const TIME_S_MAX: u64 = 86_400;
/// Steps of a stress test: from 200/s to some 58,000/s.
const STRESS_STEPS: u32 = 15;
/// Factor of a spike.
const SPIKE: u64 = 10;

/// A time with a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) time: Duration,
    /// Beacons per second.
    pub(crate) rate: u64,
}

/// A sequence of stages with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// One rate.
    Steady,
    /// Rising rates until the server breaks.
    Stress,
    /// A short burst.
    Spike,
    /// One rate for long.
    Endurance,
}

impl Profile {
    /// The stages, from a rate. `time` is that of a stage, instead of the profile's own.
    pub(super) fn stages(self, rate: u64, time: Option<Duration>) -> Vec<Stage> {
        let seconds = |own| time.unwrap_or(Duration::from_secs(own));
        let stage = |rate: u64, own| Stage { time: seconds(own), rate: rate.min(RATE_MAX) };
        match self {
            Self::Steady => vec![stage(rate, 60)],
            Self::Endurance => vec![stage(rate, 1_800)],
            Self::Spike => vec![stage(rate, 20), stage(rate.saturating_mul(SPIKE), 20), stage(rate, 20)],
            Self::Stress => {
                let rates =
                    (0..STRESS_STEPS).map(|step| (rate as f64 * 1.5_f64.powi(step as i32)).round() as u64);
                let mut stages: Vec<Stage> = rates.map(|rate| stage(rate, 10)).collect();
                stages.dedup_by_key(|stage| stage.rate);
                stages
            }
        }
    }
}

/// Parses a stage: `30s:1000`.
pub(super) fn stage(text: &str) -> Result<Stage, String> {
    let expected =
        format!("expected TIME:RATE such as 30s:1000, with a rate of 1 to {RATE_MAX} beacons per second");
    let (of_time, rate) = text.split_once(':').ok_or_else(|| expected.clone())?;
    let rate = rate.trim().parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate)).ok_or(expected)?;
    Ok(Stage { time: time(of_time)?, rate })
}

/// Parses a time: `90s`, `5m`, `2h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let units = [('s', 1), ('m', 60), ('h', 3_600)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    let seconds = seconds.filter(|seconds| (1..=TIME_S_MAX).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a time of 1s to 24h, such as 30s, 5m or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_as_people_write_them() {
        let at = |seconds, rate| Ok(Stage { time: Duration::from_secs(seconds), rate });
        assert_eq!(stage("30s:1000"), at(30, 1_000));
        assert_eq!(stage("2h: 5"), at(7_200, 5));
        for wrong in
            ["", "30s", "30:1000", "0s:10", "30s:0", "30s:-1", "25h:1", "30s:99999999", "é:1", "9e9h:1"]
        {
            assert!(stage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn profiles_have_their_shapes() {
        let rates = |profile: Profile| -> Vec<u64> {
            profile.stages(200, None).iter().map(|stage| stage.rate).collect()
        };
        assert_eq!(rates(Profile::Spike), [200, 2_000, 200]);
        assert_eq!(rates(Profile::Stress)[..4], [200, 300, 450, 675]);
        assert_eq!(Profile::Endurance.stages(200, None)[0].time, Duration::from_secs(1_800));
        assert_eq!(Profile::Stress.stages(RATE_MAX, None).len(), 1);
        assert_eq!(Profile::Steady.stages(1, Some(Duration::from_secs(2)))[0].time, Duration::from_secs(2));
    }
}
