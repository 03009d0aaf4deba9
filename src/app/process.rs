//! What the operating system says of this process, for the metrics. What it does not say is left out.

use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use crate::admin::Process;

/// The process as it is now; `started`: when it was.
pub fn process(started: SystemTime) -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpu_seconds = getrusage(UsageWho::RUSAGE_SELF)
        .map(|usage| (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6);
    Process {
        cpu_seconds: cpu_seconds.ok(),
        resident_bytes: field(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
        virtual_bytes: field(&status, "VmSize:").map(|kilobytes| kilobytes * 1024),
        // One of them is the listing itself.
        open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as u64),
        max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        threads: field(&status, "Threads:"),
        start_seconds: seconds(started),
    }
}

/// Unix time.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let process = process(SystemTime::now());
        let known = [process.resident_bytes, process.virtual_bytes, process.open_fds, process.threads];
        assert!(known.iter().all(|value| value.is_some_and(|value| value > 0)), "{process:?}");
        assert!(process.cpu_seconds.is_some_and(|seconds| seconds >= 0.0) && process.max_fds.is_some());
        assert!(process.start_seconds > 1e9);
    }
}
