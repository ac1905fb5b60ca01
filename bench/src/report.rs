//! The tables that come out.

use std::fmt;

use crate::samples::Samples;

/// What a value is, and how it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Milliseconds,
    Seconds,
    Microseconds,
    Kilobytes,
}

/// What a figure has to come to.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) reach: Bound,
    pub(crate) aim: Bound,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// What the machine does without us, in the rounds of a figure.
#[derive(Clone)]
pub(crate) enum Limit {
    /// The target is about the ratio.
    Judging(Samples),
    /// The target is about our values; the ratio is shown.
    Beside(Samples),
}

impl Limit {
    fn samples(&self) -> &Samples {
        match self {
            Self::Judging(samples) | Self::Beside(samples) => samples,
        }
    }
}

/// One of the figures to reach.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) limit: Option<Limit>,
    pub(crate) ours: Samples,
    pub(crate) target: Target,
    /// How often something happened that must not; then the figure is missed, whatever its value.
    pub(crate) faults: usize,
}

impl Figure {
    /// Our values over the limit of the same round.
    fn ratio(&self) -> Option<Samples> {
        self.limit.as_ref().map(|limit| self.ours.over(limit.samples()))
    }

    /// The ratio, where the target is about it.
    fn judged_ratio(&self) -> Option<Samples> {
        self.ratio().filter(|_| matches!(self.limit, Some(Limit::Judging(_))))
    }

    fn verdict(&self) -> &'static str {
        let value = self.judged_ratio().as_ref().unwrap_or(&self.ours).median();
        if self.faults > 0 {
            "**missed**"
        } else if self.target.aim.holds(value) {
            "aim"
        } else if self.target.reach.holds(value) {
            "reached"
        } else {
            "**missed**"
        }
    }
}

/// Further figures, for the reader to judge.
pub(crate) struct Table {
    pub(crate) title: String,
    /// What the reader would otherwise get wrong.
    pub(crate) note: String,
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Everything that a run has found.
#[derive(Default)]
pub(crate) struct Report {
    /// What the machine does without us.
    pub(crate) limits: Vec<(String, Unit, Samples)>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) tables: Vec<Table>,
    /// What the load generator itself took, as shares of a core.
    pub(crate) own_shares: Vec<(String, Samples)>,
}

impl Report {
    /// Puts down one of the machine's limits.
    pub(crate) fn limit(&mut self, name: impl Into<String>, unit: Unit, samples: &Samples) {
        if !samples.is_empty() {
            self.limits.push((name.into(), unit, samples.clone()));
        }
    }

    /// All tables, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        if !self.figures.is_empty() {
            let rows: Vec<_> = self.figures.iter().map(figure_row).collect();
            let header = ["figure", "the machine", "ours", "ratio", "from–to", "reach", "aim", ""];
            text += &table("Figures", FIGURES_NOTE, &header, &rows);
        }
        if !self.limits.is_empty() {
            let rows = self.limits.iter().map(|(name, unit, samples)| {
                vec![name.clone(), shown(samples.median(), *unit), range(samples, |v| shown(v, *unit))]
            });
            text += &table(
                "The machine's limits",
                "",
                &["limit", "median", "from–to"],
                &rows.collect::<Vec<_>>(),
            );
        }
        for one in &self.tables {
            text += &table(&one.title, &one.note, &one.header, &one.rows);
        }
        if !self.own_shares.is_empty() {
            let rows = self.own_shares.iter().map(|(name, samples)| {
                vec![name.clone(), percent(samples.median()), range(samples, percent)]
            });
            text += &table(
                "The load generator",
                OWN_NOTE,
                &["while it measures", "of a core", "from–to"],
                &rows.collect::<Vec<_>>(),
            );
        }
        text
    }
}

const FIGURES_NOTE: &str = "Medians of the rounds; limit and ours are measured in turn, and the ratio is that of \
    each round. Reach and aim are about what stands under from–to: the ratio or, where it has a unit, our own values.";
const OWN_NOTE: &str = "CPU time of the load generator itself. Below its threads' worth of cores it waits for the \
    servers, not they for it; what it can ask of a server that does nothing stands among the limits.";

fn figure_row(figure: &Figure) -> Vec<String> {
    let with_unit = |value| shown(value, figure.unit);
    vec![
        figure.name.clone(),
        figure.limit.as_ref().map_or("–".to_owned(), |limit| with_unit(limit.samples().median())),
        with_unit(figure.ours.median()),
        figure.ratio().map_or("–".to_owned(), |ratio| number(ratio.median())),
        figure.judged_ratio().map_or_else(|| range(&figure.ours, with_unit), |ratio| range(&ratio, number)),
        figure.target.reach.to_string(),
        figure.target.aim.to_string(),
        figure.verdict().to_owned(),
    ]
}

fn table(title: &str, note: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let names: Vec<String> = header.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!("## {title}"), String::new()];
    if !note.is_empty() {
        lines.extend([note.to_owned(), String::new()]);
    }
    lines.extend([line(&names), format!("|{}", "---|".repeat(header.len()))]);
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n") + "\n\n"
}

/// A value with its unit.
pub(crate) fn shown(value: f64, unit: Unit) -> String {
    let suffix = match unit {
        Unit::PerSecond => "/s",
        Unit::Milliseconds => " ms",
        Unit::Seconds => " s",
        Unit::Microseconds => " µs",
        Unit::Kilobytes => " KB",
    };
    format!("{}{suffix}", number(value))
}

/// The smallest and the greatest of the samples.
pub(crate) fn range(samples: &Samples, show: impl Fn(f64) -> String) -> String {
    let (least, most) = samples.range();
    format!("{}–{}", show(least), show(most))
}

/// A share of one, in percent.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// As many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value >= 100.0 => grouped(&format!("{value:.0}")),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// A number of things.
pub(crate) fn count(things: impl ToString) -> String {
    grouped(&things.to_string())
}

/// With commas between the thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ours: f64, limit: Option<f64>, target: Target) -> Figure {
        let samples = |value| [value].into_iter().collect();
        let name = "sends".to_owned();
        Figure {
            name,
            unit: Unit::PerSecond,
            limit: limit.map(|limit| Limit::Judging(samples(limit))),
            ours: samples(ours),
            target,
            faults: 0,
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [21_300.4, 1_234_567.0, 999.6, 42.26, 0.456, 0.0123].map(number);
        assert_eq!(shown, ["21,300", "1,234,567", "1,000", "42.3", "0.46", "0.012"]);
        assert_eq!(number(f64::NAN), "–");
    }

    #[test]
    fn a_verdict_is_about_the_ratio_where_there_is_a_limit() {
        let more = Target { reach: Bound::AtLeast(0.5), aim: Bound::AtLeast(1.0) };
        let verdict = |ours| figure(ours, Some(100.0), more).verdict();
        assert_eq!([49.0, 50.0, 100.0].map(verdict), ["**missed**", "reached", "aim"]);
        let less = Target { reach: Bound::AtMost(150.0), aim: Bound::AtMost(80.0) };
        let verdict = |ours| figure(ours, None, less).verdict();
        assert_eq!(Figure { faults: 1, ..figure(80.0, None, less) }.verdict(), "**missed**");
        assert_eq!([151.0, 150.0, 80.0].map(verdict), ["**missed**", "reached", "aim"]);
    }

    #[test]
    fn a_limit_beside_the_values_leaves_the_verdict_to_them() {
        let target = Target { reach: Bound::AtMost(150.0), aim: Bound::AtMost(80.0) };
        let figure = Figure {
            unit: Unit::Microseconds,
            limit: Some(Limit::Beside([50.0, 40.0, 100.0].into_iter().collect())),
            ours: [150.0, 100.0, 200.0].into_iter().collect(),
            ..figure(0.0, None, target)
        };
        let expected = ["sends", "50.0 µs", "150 µs", "2.50", "100 µs–200 µs", "≤ 150", "≤ 80", "reached"];
        assert_eq!(figure_row(&figure), expected);
    }

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let target = Target { reach: Bound::AtLeast(0.5), aim: Bound::AtLeast(1.0) };
        let figures = vec![figure(1_500.0, Some(3_000.0), target)];
        let text = Report { figures, ..Report::default() }.markdown();
        let row = "| sends | 3,000/s | 1,500/s | 0.50 | 0.50–0.50 | ≥ 0.5 | ≥ 1 | reached |";
        assert!(text.contains(row), "{text}");
    }
}
