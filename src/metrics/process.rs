//! What Linux says of this process, under the names that all Prometheus clients use. Where it says nothing, there
//! is no sample.

use std::fs;

use super::Page;

/// Ticks of a second in what the kernel shows, the same on every Linux.
const TICKS: f64 = 100.0;

pub fn report(page: &mut Page) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::read) {
        let help = "Processor time of the server, without its child processes, in seconds.";
        page.counter_seconds("process_cpu_seconds_total", help, &[], stat.ticks * (1e6 / TICKS) as u64);
        page.count("process_threads", "Threads of the server.", &[], stat.threads);
        if let Some(boot) = boot_time() {
            let help = "When the server started, in seconds since 1970.";
            page.gauge("process_start_time_seconds", help, &[], boot + stat.started / TICKS);
        }
    }
    if let Some(bytes) = resident() {
        page.gauge("process_resident_memory_bytes", "Memory of the server that is in use.", &[], bytes);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The folder that is read is one of them.
        let open = files.count().saturating_sub(1);
        page.count("process_open_fds", "Open files and sockets.", &[], open);
    }
    if let Some(most) = most_files() {
        page.gauge("process_max_fds", "Files and sockets that may be open.", &[], most);
    }
}

struct Stat {
    /// In user and in kernel mode.
    ticks: u64,
    threads: usize,
    /// Ticks since the machine started.
    started: f64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name may hold anything, brackets too.
        let (_, rest) = text.rsplit_once(')')?;
        // From the third field on.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: number(14)? + number(15)?,
            threads: usize::try_from(number(20)?).ok()?,
            started: number(22)? as f64,
        })
    }
}

fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn most_files() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_trouble() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 55 45 0 0 20 0 9 0 1234 5 6";
        let stat = Stat::read(text).unwrap();
        assert_eq!((stat.ticks, stat.threads, stat.started), (100, 9, 1234.0));
    }

    #[test]
    fn this_process_has_figures() {
        let mut page = Page::default();
        report(&mut page);
        let text = page.render();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
    }
}
