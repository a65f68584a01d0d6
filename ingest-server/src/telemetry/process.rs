//! Reads processor time, memory and open files of this process, and the disk of its data folder. Values that the system does
//! not tell are `None`.

use std::path::Path;

/// Resources of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    /// Processor time since the start of the process, in seconds.
    pub cpu_s: Option<f64>,
    /// Resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Memory that the process may use: the limit of its control group, or the machine's memory.
    pub memory_bytes_max: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Limit of open files.
    pub files_max: Option<u64>,
}

/// Space on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disk {
    /// Space that this process can still use.
    pub free_bytes: u64,
    /// Space in use.
    pub used_bytes: u64,
}

impl Disk {
    /// Reads the space on the disk of a folder. Blocks while the disk hangs.
    #[cfg(unix)]
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            used_bytes: disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize),
        })
    }

    /// The space is unknown on this system.
    #[cfg(not(unix))]
    #[must_use]
    pub fn read(_: &Path) -> Option<Self> {
        None
    }

    /// Returns the used share, in percent, of the space that unprivileged processes can use.
    #[must_use]
    pub fn used_percent(&self) -> f64 {
        let all = self.free_bytes.saturating_add(self.used_bytes);
        if all == 0 { 0.0 } else { self.used_bytes as f64 / all as f64 * 100.0 }
    }
}

impl Resources {
    /// Returns the resident share of the memory that the process may use, in percent.
    #[must_use]
    pub fn memory_percent(&self) -> Option<f64> {
        let max = self.memory_bytes_max.filter(|&max| max > 0)?;
        Some(self.resident_bytes? as f64 / max as f64 * 100.0)
    }

    /// Reads the resources. Takes about a millisecond for a thousand open files.
    #[must_use]
    pub fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name| field(&status, name).map(|kib| kib.saturating_mul(1_024));
        Self {
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            threads: field(&status, "Threads:"),
            memory_bytes_max: memory_bytes_max(),
            files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            ..system()
        }
    }
}

/// Returns the number of a line such as `VmRSS:   1234 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn memory_bytes_max() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemTotal:")).map(|kib| kib.saturating_mul(1_024));
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    [machine, group_bytes_max(&group)].into_iter().flatten().min()
}

/// Returns the limit of the control group: `memory.max` of version 2 (<https://docs.kernel.org/admin-guide/cgroup-v2.html>),
/// of the group or of a group above it.
fn group_bytes_max(groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut limit = None;
    for folder in Path::new(group.trim()).ancestors() {
        let file = Path::new("/sys/fs/cgroup").join(folder).join("memory.max");
        // The text is `max` without a limit.
        let bytes: Option<u64> = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        limit = [limit, bytes].into_iter().flatten().min();
    }
    limit
}

#[cfg(unix)]
fn system() -> Resources {
    use rustix::process::{Resource, getrlimit};
    use rustix::time::{ClockId, clock_gettime};
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Resources {
        cpu_s: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
        files_max: getrlimit(Resource::Nofile).current,
        ..Resources::default()
    }
}

#[cfg(not(unix))]
fn system() -> Resources {
    Resources::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_of_this_process_are_read() {
        let read = Resources::read();
        assert!(read.cpu_s.is_some_and(|seconds| seconds > 0.0), "{read:?}");
        assert!(read.files.is_some_and(|files| files > 2 && Some(files) <= read.files_max), "{read:?}");
        assert!(read.memory_percent().is_some_and(|percent| percent > 0.0 && percent < 100.0), "{read:?}");
        assert!(read.threads.is_some_and(|threads| threads > 0), "{read:?}");
        let used = Disk::read(Path::new("/")).map(|disk| disk.used_percent());
        assert!(used.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{used:?}");
    }

    #[test]
    fn field_is_the_number_after_its_name() {
        assert_eq!(field("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1_234));
        assert_eq!(field("VmRSS:", "VmRSS:"), None);
        assert_eq!(group_bytes_max("1:name=systemd:/a\n"), None);
    }
}
