//! What this machine has and how busy it is.

use std::num::NonZero;

use jiff::{SignedDuration, Timestamp};

/// Processors that this process may use; 4 where nobody says.
pub(super) fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(4, NonZero::get);
    u32::try_from(cpus).unwrap_or(u32::MAX)
}

/// The load of the last minute divided by the machine's processors. `None` where the system does
/// not tell, as anywhere but on Linux.
pub(super) fn load_per_core() -> Option<f64> {
    let load = load(&std::fs::read_to_string("/proc/loadavg").ok()?)?;
    // The load is the whole machine's, so all of its processors count, not only those that this
    // process may use.
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let processors = online.and_then(|text| processors(&text)).unwrap_or(cpus());
    Some(load / f64::from(processors))
}

/// The first figure of `/proc/loadavg`: the last minute's.
fn load(text: &str) -> Option<f64> {
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// How many a list such as `0-3,8` names; `None` where that is none, or it is no such list.
fn processors(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (count > 0).then_some(count)
}

/// When a process of this machine began, to the second. `None` where there is none, or the system
/// does not tell, as anywhere but on Linux.
pub(super) fn process_began(pid: u32) -> Option<Timestamp> {
    let process = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    began(&process, &system)
}

/// Ticks a second in what `/proc` shows to programs: a constant of the kernel's interface.
const TICKS: i64 = 100;

/// When a process began, by its `/proc/PID/stat`, in ticks since the start of the machine, and by
/// `/proc/stat`, which has that start.
fn began(process: &str, system: &str) -> Option<Timestamp> {
    // The second field is the program's name in parentheses, with whatever characters it has.
    let (_, fields) = process.rsplit_once(')')?;
    let ticks: i64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let boot = Timestamp::from_second(boot.trim().parse().ok()?).ok()?;
    boot.checked_add(SignedDuration::from_secs(ticks / TICKS))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_began_so_many_ticks_after_the_machine() {
        let process = "7 (a) (b c) S 1 7 7 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 3 0 12345 99 8";
        let system = "cpu 1 2\nbtime 1770000000\nprocesses 9\n";
        let at = Timestamp::from_second(1_770_000_123).ok();
        assert_eq!(began(process, system), at);
        assert_eq!(began("7 (a", system), None);
        assert_eq!(began(process, "cpu 1 2\n"), None);
    }

    #[test]
    fn the_load_is_the_first_figure() {
        assert_eq!(load("0.52 0.58 0.59 2/345 6789\n"), Some(0.52));
        assert_eq!(load("17.00"), Some(17.0));
        for strange in ["", "nan 1 2", "-1 0 0", "up 3 days"] {
            assert_eq!(load(strange), None, "{strange}");
        }
    }

    #[test]
    fn processors_are_counted() {
        assert_eq!(processors("0-3\n"), Some(4));
        assert_eq!(processors("0"), Some(1));
        assert_eq!(processors("0,2-4,7"), Some(5));
        for strange in ["", "3-1", "a", "0-", "0-4294967295"] {
            assert_eq!(processors(strange), None, "{strange}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells_its_load() {
        assert!(cpus() > 0);
        assert!(load_per_core().is_some_and(|load| load >= 0.0));
    }
}
