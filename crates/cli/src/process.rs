//! What this process costs: CPU time and memory, as Linux tells them.

use std::fs;
use std::time::Duration;

/// CPU time of all threads of this process, user and system; `None` where there is no `/proc`.
pub(crate) fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let auxiliary = fs::read("/proc/self/auxv").unwrap_or_default();
    Some(Duration::from_secs_f64(
        cpu_ticks(&stat)? as f64 / ticks_per_second(&auxiliary),
    ))
}

/// Resident memory in bytes; `None` where there is no `/proc`.
pub(crate) fn resident_bytes() -> Option<u64> {
    resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Fields 14 and 15, utime and stime. The second one, the name in brackets, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// `AT_CLKTCK` of the auxiliary vector, which is pairs of native words.
fn ticks_per_second(auxiliary: &[u8]) -> f64 {
    const AT_CLKTCK: usize = 17;
    const USUAL: usize = 100;
    let words: Vec<usize> = auxiliary
        .chunks_exact(size_of::<usize>())
        .filter_map(|word| word.try_into().ok().map(usize::from_ne_bytes))
        .collect();
    let found = words.chunks_exact(2).find_map(|pair| match pair {
        [AT_CLKTCK, ticks] if *ticks > 0 => Some(*ticks),
        _ => None,
    });
    found.unwrap_or(USUAL) as f64
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1 2"), None);
    }

    #[test]
    fn ticks_come_from_the_auxiliary_vector_or_are_the_usual_ones() {
        let vector: Vec<u8> = [6_usize, 4096, 17, 250, 0, 0]
            .into_iter()
            .flat_map(usize::to_ne_bytes)
            .collect();
        assert_eq!(ticks_per_second(&vector), 250.0);
        assert_eq!(ticks_per_second(&[]), 100.0);
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
