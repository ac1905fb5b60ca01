//! What it was measured on.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::Instant,
};

use chat_core::clock::Clock;

use crate::{cluster::Cluster, plan::Plan, usage::kilobytes};

/// Writes that are timed.
const SYNCS: usize = 200;
/// Faster than any disk, in microseconds.
const NO_DISK: f64 = 20.0;

/// A few lines for the head of the results.
pub(crate) fn describe(plan: &Plan, cluster: &Cluster, fsync_micros: f64) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let gigabytes = kilobytes(&memory, "MemTotal:").unwrap_or_default() / 1_000_000;
    let kernel = read("/proc/sys/kernel/osrelease");
    let commit = answer("git", &["describe", "--always", "--dirty"]);
    let disk = if fsync_micros < NO_DISK { " (not a disk; set TMPDIR to a folder on one)" } else { "" };
    format!(
        "- {date}, `make bench{target}`, commit {commit}\n\
         - {model}, {cores} cores, {gigabytes} GB; Linux {kernel}; an 8 KB write with fsync takes {fsync_micros:.0} µs{disk}\n\
         - PostgreSQL {postgres}, {rustc}; the load generator and the servers share the machine\n",
        date = Clock::system().now().format("%Y-%m-%d %H:%M UTC"),
        target = if plan.name == "full" { "" } else { "-quick" },
        model = model.trim_start_matches([' ', '\t', ':']),
        kernel = kernel.trim(),
        postgres = cluster.version(),
        rustc = answer("rustc", &["--version"]),
    )
}

/// What a program says, or that nobody knows.
fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| format!("{program} unknown"), |text| text.trim().to_owned())
}

/// What a small write costs that has to survive, in microseconds: the median of many.
pub(crate) fn fsync_micros(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = crate::samples::Samples::default();
    for _ in 0..SYNCS {
        let begin = Instant::now();
        file.write_all(&[0; 8192])?;
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    Ok(times.median())
}
