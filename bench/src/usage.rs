//! What processes use, as Linux tells it in `/proc` (proc(5)).

use std::{fs, time::Duration};

use anyhow::Context;

/// Of the times in `/proc/<pid>/stat`: `USER_HZ`, 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What stands in `/proc/<pid>/stat`, as far as it is of use here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Its own time, user and system, of all its threads.
    own: Duration,
    /// That of the children that have ended.
    ended_children: Duration,
}

impl Stat {
    /// The name of the program, in parentheses, may hold anything; the fields are counted from behind it.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| Some(TICK * fields.get(at)?.parse::<u32>().ok()?);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            ended_children: ticks(13)? + ticks(14)?,
        })
    }

    fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }
}

/// The CPU time of a process, all threads together.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    Ok(Stat::of(process).with_context(|| format!("cannot read the times of process {process}"))?.own)
}

/// The CPU time of a process and its children, those that have ended included.
pub(crate) fn cpu_with_children(process: u32) -> anyhow::Result<Duration> {
    let stat = Stat::of(process).with_context(|| format!("cannot read the times of process {process}"))?;
    let living: Duration = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Stat::of))
        .filter(|child| child.parent == process)
        .map(|child| child.own + child.ended_children)
        .sum();
    Ok(stat.own + stat.ended_children + living)
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    kilobytes(&text, "VmRSS:").map(|kb| kb * 1024).with_context(|| format!("{path} says nothing of VmRSS"))
}

/// The number in a line like `VmRSS:   1234 kB`.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_a_name_that_may_hold_anything() {
        let text = "77 (a) R 1 (b) S 42 77 77 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 5 0 999";
        let expected =
            Stat { parent: 42, own: Duration::from_secs(2), ended_children: Duration::from_millis(500) };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn sizes_are_found_by_their_name() {
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(kilobytes("VmPeak:\t 9 kB\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_is_there() -> anyhow::Result<()> {
        assert!(resident(std::process::id())? > 100_000);
        assert!(cpu_with_children(std::process::id())? >= cpu(std::process::id())?);
        Ok(())
    }
}
