//! The page in Prometheus' text format, version 0.0.4: each family once, with its `# HELP` and `# TYPE` lines,
//! then all of its samples, whoever told them.

use std::fmt::Write;

use indexmap::IndexMap;

use super::sharded::{BOUNDS, Totals};

/// What the page is sent as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label names are written by this program, values may be anything.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page while it is written.
#[derive(Debug, Default)]
pub struct Page {
    families: IndexMap<&'static str, Samples>,
    /// Of every sample that follows.
    common: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Samples {
    help: &'static str,
    kind: &'static str,
    lines: String,
}

impl Page {
    /// What follows belongs to this application.
    pub fn of_app(&mut self, app_id: &str) {
        self.common = vec![("app", app_id.to_owned())];
    }

    /// What follows belongs to the process.
    pub fn of_process(&mut self) {
        self.common.clear();
    }

    /// Names of counters end in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        self.sample(name, "counter", help, labels, &value.to_string());
    }

    /// A counter with a fraction, such as seconds.
    pub fn counter_seconds(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, us: u64) {
        self.sample(name, "counter", help, labels, &seconds(us));
    }

    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        value: impl Into<f64>,
    ) {
        self.sample(name, "gauge", help, labels, &value.into().to_string());
    }

    /// As [`Page::gauge`], for counts of things.
    pub fn count(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: usize) {
        self.sample(name, "gauge", help, labels, &value.to_string());
    }

    /// Names of histograms end in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, totals: &Totals) {
        let shared = self.labels(labels);
        let lines = &mut self.family(name, "histogram", help).lines;
        let comma = if shared.is_empty() { "" } else { "," };
        let mut below = 0;
        for (index, count) in totals.buckets.iter().enumerate() {
            below += count;
            let bound = BOUNDS.get(index).map_or("+Inf", |(_, bound)| *bound);
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{name}_bucket{{{shared}{comma}le=\"{bound}\"}} {below}");
        }
        let braces = braced(&shared);
        let _ = writeln!(lines, "{name}_sum{braces} {}", seconds(totals.sum_us));
        let _ = writeln!(lines, "{name}_count{braces} {below}");
    }

    fn sample(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        value: &str,
    ) {
        let braces = braced(&self.labels(labels));
        let _ = writeln!(self.family(name, kind, help).lines, "{name}{braces} {value}");
    }

    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) -> &mut Samples {
        let family =
            self.families.entry(name).or_insert_with(|| Samples { help, kind, lines: String::new() });
        debug_assert_eq!(family.kind, kind, "{name}");
        family
    }

    fn labels(&self, labels: Labels<'_>) -> String {
        let common = self.common.iter().map(|(name, value)| (*name, value.as_str()));
        let all = common.chain(labels.iter().copied());
        all.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
    }

    /// The whole text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, Samples { help, kind, lines }) in &self.families {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            text.push_str(lines);
        }
        text
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Histogram;
    use super::*;

    #[test]
    fn families_stay_together_and_values_are_escaped() {
        let mut page = Page::default();
        page.counter("a_total", "As.", &[("of", "x\"\\\ny")], 1);
        page.of_app("one");
        page.count("b", "Bs.", &[], 2);
        page.counter("a_total", "As.", &[("of", "z")], 3);
        assert_eq!(
            page.render(),
            "# HELP a_total As.\n# TYPE a_total counter\na_total{of=\"x\\\"\\\\\\ny\"} 1\n\
             a_total{app=\"one\",of=\"z\"} 3\n# HELP b Bs.\n# TYPE b gauge\nb{app=\"one\"} 2\n"
        );
    }

    #[test]
    fn buckets_hold_those_below_them() {
        let times = Histogram::default();
        times.observe(Duration::from_micros(100));
        times.observe(Duration::from_micros(700));
        times.observe(Duration::from_secs(60));
        let mut page = Page::default();
        page.histogram("t_seconds", "Ts.", &[], &times.totals());
        let text = page.render();
        for line in [
            "t_seconds_bucket{le=\"0.00025\"} 1\n",
            "t_seconds_bucket{le=\"0.0005\"} 1\n",
            "t_seconds_bucket{le=\"0.001\"} 2\n",
            "t_seconds_bucket{le=\"10\"} 2\n",
            "t_seconds_bucket{le=\"+Inf\"} 3\n",
            "t_seconds_sum 60.000800\n",
            "t_seconds_count 3\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
