//! What processes use, as Linux tells it.

use anyhow::{Context as _, Result};
use std::fs;

/// The unit of times in `/proc`: USER_HZ is 100 wherever Linux runs (`man 5 proc_pid_stat`).
const TICK_MICROS: u64 = 10_000;

/// CPU time of a process with all of its threads, user and system, in microseconds.
pub(crate) fn cpu_micros(pid: u32) -> Result<u64> {
    Ok(stat(pid)?.own_micros)
}

/// CPU time of a process, of its children that live, and of those that it has seen end, in microseconds.
pub(crate) fn family_cpu_micros(pid: u32) -> Result<u64> {
    let own = stat(pid)?;
    let mut micros = own.own_micros + own.ended_micros;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while the list is walked; then its parent has its time.
        if let Ok(stat) = stat(child)
            && stat.parent == pid
        {
            micros += stat.own_micros;
        }
    }
    Ok(micros)
}

struct Stat {
    parent: u32,
    own_micros: u64,
    ended_micros: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("CPU time is read from /proc")?;
    // The second field is the program's name in parentheses, which may hold anything.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
    let ticks = |a, b| Some((field(a)? + field(b)?) * TICK_MICROS);
    let read =
        || Some(Stat { parent: field(4)? as u32, own_micros: ticks(14, 15)?, ended_micros: ticks(16, 17)? });
    read().with_context(|| format!("/proc/{pid}/stat has another shape: {text}"))
}

/// Memory that a process has in RAM, in bytes.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("memory is read from /proc")?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    let kib: u64 = kib.with_context(|| format!("/proc/{pid}/status does not tell VmRSS"))?;
    Ok(kib * 1024)
}

/// Files that a process has open, connections among them.
pub(crate) fn files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).context("files are counted in /proc")?.count())
}

/// The machine and the day, in a line.
pub(crate) fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let gib = kib.unwrap_or(0.0) / 1024.0 / 1024.0;
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("unknown system", |name| name.trim_matches('"'));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    format!("{cpus} CPUs ({model}), {gib:.0} GiB, {system}, load average {load}")
}
