//! What a server prints for Prometheus, read strictly.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
};

use crate::actor::client;

/// The metrics of one moment.
pub struct Measurements {
    /// The page itself.
    pub text: String,
    /// The kind of each metric.
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// A line with a value.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Measurements {
    /// Those of a server, by its operators' address.
    pub async fn of(operators: SocketAddr) -> Self {
        let answer = client().get(format!("http://{operators}/metrics")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        Self::parse(answer.text().await.expect("text"))
    }

    /// Reads a page (Prometheus' documentation, "Exposition formats"), and more strictly than that: each metric has a
    /// help and a kind, its name says its unit, and no series comes twice.
    pub fn parse(text: String) -> Self {
        let (mut helps, mut kinds) = (HashSet::new(), BTreeMap::new());
        let (mut samples, mut seen) = (Vec::new(), HashSet::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!words.is_empty() && helps.insert(name.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no kind: {line}"));
                check_name(name, kind);
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                let sample = Sample::parse(line);
                let family = family(&sample.name, &kinds).unwrap_or_else(|| panic!("no kind: {line}"));
                assert!(helps.contains(family), "no help: {line}");
                assert!(seen.insert(line.rsplit_once(' ').expect("a value").0), "twice: {line}");
                samples.push(sample);
            }
        }
        let measurements = Self { text: text.clone(), kinds, samples };
        measurements.check_histograms();
        measurements
    }

    /// The sum of all series of this name that have these labels; nought if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.with(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a series of this name with these labels.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.with(name, labels).next().is_some()
    }

    /// The names of all metrics; those of a histogram with its suffixes.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// The values of all labels, and of the label `name` alone if it is given.
    pub fn label_values(&self, name: Option<&str>) -> BTreeSet<&str> {
        let all = self.samples.iter().flat_map(|sample| &sample.labels);
        let wanted = all.filter(|(label, _)| name.is_none_or(|name| *label == name));
        wanted.map(|(_, value)| value.as_str()).collect()
    }

    /// The names of all labels.
    pub fn label_names(&self) -> BTreeSet<&str> {
        self.samples.iter().flat_map(|sample| sample.labels.keys().map(String::as_str)).collect()
    }

    fn with<'a>(&'a self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|v| v == value);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Buckets grow, and the last one holds as much as was counted.
    fn check_histograms(&self) {
        for name in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut buckets = BTreeMap::<Vec<_>, Vec<_>>::new();
            for sample in self.with(&format!("{name}_bucket"), &[]) {
                let others: Vec<_> = sample.labels.iter().filter(|(label, _)| *label != "le").collect();
                let bound: f64 = sample.labels["le"].parse().expect("a bound");
                buckets.entry(others).or_default().push((bound, sample.value));
            }
            assert!(!buckets.is_empty(), "{name} has no buckets");
            for (labels, buckets) in buckets {
                assert!(
                    buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                    "{name} {labels:?}: {buckets:?}"
                );
                let (bound, all) = *buckets.last().expect("one");
                let labels: Vec<_> =
                    labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
                assert!(bound.is_infinite(), "{name}");
                let same: Vec<_> = self
                    .with(&format!("{name}_count"), &labels)
                    .filter(|sample| sample.labels.len() == labels.len())
                    .map(|sample| sample.value.to_bits())
                    .collect();
                assert_eq!(same, [all.to_bits()], "{name} {labels:?}");
                assert!(self.has(&format!("{name}_sum"), &labels), "{name} {labels:?}");
            }
        }
    }
}

/// The metric that a sample belongs to.
fn family<'a>(name: &'a str, kinds: &BTreeMap<String, String>) -> Option<&'a str> {
    if kinds.get(name).is_some_and(|kind| kind != "histogram") {
        return Some(name);
    }
    let of =
        |suffix| name.strip_suffix(suffix).filter(|name| kinds.get(*name).is_some_and(|k| k == "histogram"));
    ["_bucket", "_sum", "_count"].into_iter().find_map(of)
}

fn check_name(name: &str, kind: &str) {
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    assert!(name.starts_with("fechatter_") || name.starts_with("process_"), "{name}");
    match kind {
        "counter" => assert!(name.ends_with("_total"), "{name} is counted up"),
        "histogram" => assert!(name.ends_with("_seconds") || name.ends_with("_messages"), "{name}: no unit"),
        "gauge" => assert!(!name.ends_with("_total"), "{name} is not counted up"),
        other => panic!("{name} is a {other}"),
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => {
                (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}")))
            }
            None => (series, ""),
        };
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        Self { name: name.to_owned(), labels: labels_of(labels, line), value }
    }
}

fn labels_of(mut rest: &str, line: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        // None of ours holds a quotation mark or a backslash.
        let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("no end of a label: {line}"));
        assert!(!value.contains('\\'), "{line}");
        assert!(labels.insert(name.to_owned(), value.to_owned()).is_none(), "{line}");
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(after.is_empty() || !rest.is_empty() && rest.len() < after.len(), "{line}");
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP fechatter_a_total As.\n# TYPE fechatter_a_total counter\nfechatter_a_total{x=\"1\"} 2\n\
        # HELP fechatter_b_seconds Bs.\n# TYPE fechatter_b_seconds histogram\n\
        fechatter_b_seconds_bucket{le=\"1\"} 1\nfechatter_b_seconds_bucket{le=\"+Inf\"} 2\n\
        fechatter_b_seconds_sum 3.5\nfechatter_b_seconds_count 2\n";

    #[test]
    fn a_page_is_read() {
        let read = Measurements::parse(GOOD.to_owned());
        assert_eq!(read.sum("fechatter_a_total", &[("x", "1")]).to_bits(), 2_f64.to_bits());
        assert!(!read.has("fechatter_a_total", &[("x", "2")]));
        assert_eq!(read.names().len(), 4);
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (from, to) in [
            ("# HELP fechatter_a_total As.\n", ""),
            ("# TYPE fechatter_a_total counter\n", ""),
            ("counter", "gauge"),
            ("x=\"1\"", "x=1"),
            ("} 2\n#", "} two\n#"),
            ("{le=\"+Inf\"} 2", "{le=\"+Inf\"} 3"),
            ("{le=\"1\"} 1", "{le=\"1\"} 5"),
            ("fechatter_b_seconds_sum 3.5\n", ""),
            (
                "fechatter_a_total{x=\"1\"} 2\n",
                "fechatter_a_total{x=\"1\"} 2\nfechatter_a_total{x=\"1\"} 2\n",
            ),
        ] {
            let page = GOOD.replacen(from, to, 1);
            assert_ne!(page, GOOD);
            assert!(std::panic::catch_unwind(|| Measurements::parse(page)).is_err(), "{from:?} → {to:?}");
        }
    }
}
