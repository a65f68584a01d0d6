//! `bench attack`: measures what hostile clients cost an honest client and the server.

// Includes the file of the tests' clients. The tests' whole crate would change the features of the measured code.
#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/attack.rs"]
mod clients;

use crate::figure::{Bound, Figure, percentile};
use crate::http;
use crate::progress::say;
use crate::target::Target;
use crate::{place, process};
use anyhow::{Context as _, Result};
use clients::{Attack, Attackers};
use fieldvitals_traffic::Beacons;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};

/// The duration and the rates of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds without an attack, before each attack.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Beacons per second of the honest client, each on its own connection.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// The fraction of each attack's connections to open.
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// Only the attacks whose names contain this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// Minimum duration of an attack. Fewer beacons would give no 99th percentile.
const ATTACK_SECONDS_MIN: f64 = 3.0;
/// Time in which the system closes the connections of an attack on another port, before the base is measured.
const CLOSING: Duration = Duration::from_secs(2);
/// Timeout for the server to close an attack's connections. Connections left after it count as never closed.
const CLOSED_SECONDS_MAX: f64 = 60.0;
/// Connections that the system completes for a port that nobody serves: as many as for the server.
const ACCEPTED_BY_THE_SYSTEM: u32 = 4_096;
/// The server's open files that vary: connections of the honest client and of the store.
const OWN_FILES_MAX: usize = 12;

/// The attacks, with their names and numbers of connections.
const ATTACKS: [(Attack, &str, usize); 10] = [
    (Attack::UnfinishedChunk, "unfinished chunk", 4_096),
    (Attack::UnfinishedGet, "unfinished body of a GET", 4_096),
    (Attack::TooLarge, "after a 413, silent", 4_096),
    (Attack::SlowBody, "body that stops (408)", 4_096),
    (Attack::SlowHead, "head that stops", 4_096),
    (Attack::SlowSecondHead, "second head that stops", 4_096),
    (Attack::Upload, "after a 413, at full speed", 1),
    (Attack::Drip, "after a 413, dripping", 2_000),
    (Attack::Pipeline, "pipelined, answers unread", 1_000),
    (Attack::Nonsense, "bad requests", 5_000),
];

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    raise_file_limit();
    // One thread, because more attackers' threads would compete harder with the measured server.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let mut figures = Vec::new();
    for (attack, name, connections) in ATTACKS.into_iter().filter(|(_, name, _)| name.contains(&args.only)) {
        let connections = ((connections as f64 * args.share) as usize).max(1);
        let server = Target::fieldvitals(&place::empty("attack")?, &[])?;
        let requests = http::requests(&server.key)?;
        let beside = {
            let unserved = unserved()?;
            let _attackers = Attackers::start(attack, unserved.local_addr()?, connections);
            honest(&server, &requests, args.rate, |passed| Ok(passed < ATTACK_SECONDS_MIN))?
        };
        std::thread::sleep(CLOSING);
        let base = honest(&server, &requests, args.rate, |passed| Ok(passed < args.seconds))?;
        let (memory, files) = (process::rss_bytes(server.pid())?, process::files(server.pid())?);
        let attackers = Attackers::start(attack, server.address, connections);
        let (mut closed, mut most) = (None, memory);
        let under = honest(&server, &requests, args.rate, |passed| {
            most = most.max(process::rss_bytes(server.pid())?);
            let is_closed = passed > 0.5 && process::files(server.pid())? <= files + OWN_FILES_MAX;
            if is_closed && closed.is_none() {
                closed = Some(passed);
            }
            Ok(passed < CLOSED_SECONDS_MAX && (closed.is_none() || passed < ATTACK_SECONDS_MIN))
        })?;
        drop(attackers);
        let closed = closed.unwrap_or(f64::INFINITY);
        let growth = (most - memory) as f64 / 1024.0 / 1024.0;
        let [base_p99, beside_p99, p99] =
            [&base, &beside, &under].map(|honest| percentile(&honest.times_ms, 99.0));
        say(format!(
            "{name}: p99 {p99:.1} ms of {base_p99:.1} ms, beside the attack {beside_p99:.1} ms, {} failed of {}, closed after {closed:.1} s, + {growth:.0} MiB",
            under.failed,
            under.times_ms.len(),
        ));
        let title = |what: &str| format!("{name} × {connections}: {what}");
        figures.extend([
            Figure::new(title("honest p99"), p99, "ms")
                .compared("before the attack", base_p99, p99 / base_p99)
                .bound(Bound::RatioAtMost(2.0)),
            Figure::new(title("honest p99"), p99, "ms").beside("the attack on another port", beside_p99),
            Figure::new(title("honest beacons that failed"), under.failed as f64, "")
                .bound(Bound::AtMost(0.0)),
            Figure::new(title("all closed after"), closed, "s").bound(Bound::AtMost(10.0)),
            Figure::new(title("memory taken"), growth, "MiB").bound(Bound::AtMost(64.0)),
        ]);
    }
    Ok(figures)
}

/// Results of the honest client's beacons.
struct Honest {
    times_ms: Vec<f64>,
    failed: u64,
}

/// Sends beacons at a rate, each on its own connection, until `goes_on` returns false. Calls `goes_on` every 0.1 s
/// with the elapsed seconds. A beacon's latency starts when the beacon is due, so a stalled server is charged for
/// delayed beacons too.
fn honest(
    server: &Target,
    requests: &Beacons,
    rate: f64,
    mut goes_on: impl FnMut(f64) -> Result<bool>,
) -> Result<Honest> {
    let mut views = fieldvitals_traffic::Sender::new(0);
    let mut honest = Honest { times_ms: Vec::new(), failed: 0 };
    let (began, mut looked) = (Instant::now(), f64::NEG_INFINITY);
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if http::send_one(server.address, requests, &mut views).is_err() {
            honest.failed += 1;
        }
        honest.times_ms.push(due.elapsed().as_secs_f64() * 1_000.0);
        let passed = began.elapsed().as_secs_f64();
        if passed - looked >= 0.1 {
            looked = passed;
            if !goes_on(passed).context("the server is looked at")? {
                break;
            }
        }
    }
    Ok(honest)
}

/// Opens a port that nobody serves: the system completes its connections and takes their first bytes. An attack on it costs
/// the honest client only what the attackers and the system take of the machine.
fn unserved() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(ACCEPTED_BY_THE_SYSTEM)?)
}

/// Raises the limit of open files, because each attacker needs one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, the bench runs fewer attackers.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
