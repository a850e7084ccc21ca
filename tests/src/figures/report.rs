//! The table.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::samples::Sample;

/// What a target asks of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// No target.
    None,
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// Names a figure.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measure {
    /// What was done.
    pub name: &'static str,
    /// With how many Services.
    pub services: u32,
    /// How often; figures are medians.
    pub runs: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    measure: Measure,
    viprule_ms: Option<f64>,
    viprule_cpu_ms: Option<f64>,
    other_ms: Option<f64>,
    other_cpu_ms: Option<f64>,
    figure: f64,
    /// The same figure made of processor time.
    cpu_figure: Option<f64>,
    unit: &'static str,
    target: String,
    ok: Option<bool>,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    machine: String,
    load_before: String,
    load_after: String,
    rows: Vec<Row>,
}

impl Report {
    /// Prints the head.
    pub fn begin() -> Self {
        let kernel = read("/proc/sys/kernel/osrelease");
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let report = Self {
            machine: format!("Linux {kernel}, {cpus} CPUs"),
            load_before: load(),
            ..Self::default()
        };
        println!("{}, load {}", report.machine, report.load_before);
        println!("times are medians in ms, in brackets what of it is processor time\n");
        println!(
            "{:28} {:>8} {:>5} {:>19} {:>19} {:>20}  {:9}",
            "measure", "Services", "n", "viprule", "floor or other", "figure", "target"
        );
        report
    }

    /// Prints the foot, and writes all figures to a file as JSON where one is given.
    pub fn end(mut self, json: Option<&Path>) -> anyhow::Result<()> {
        self.load_after = load();
        let missed = self.rows.iter().filter(|row| row.ok == Some(false)).count();
        let judged = self.rows.iter().filter(|row| row.ok.is_some()).count();
        println!(
            "\nload {}; {} of {judged} targets met",
            self.load_after,
            judged - missed
        );
        if let Some(file) = json {
            let json = serde_json::to_string_pretty(&self)?;
            std::fs::write(file, json + "\n")
                .with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }

    /// viprule's time by the floor's.
    pub fn ratio(&mut self, measure: Measure, real: Sample, floor: Sample, limit: Limit) {
        let figure = (real.wall / floor.wall, Some(real.cpu / floor.cpu));
        self.add(measure, Some(real), Some(floor), figure, "x", limit);
    }

    /// What viprule takes on top of the floor.
    pub fn difference(
        &mut self,
        measure: Measure,
        real: Sample,
        floor: Sample,
        over: Sample,
        limit: Limit,
    ) {
        let figure = (over.wall, Some(over.cpu));
        self.add(measure, Some(real), Some(floor), figure, "ms more", limit);
    }

    /// How many times as long the other way takes, which runs in a process of its own.
    pub fn gain(&mut self, measure: Measure, real: Sample, other: Sample, limit: Limit) {
        let figure = (other.wall / real.wall, None);
        let other = Sample {
            cpu: f64::NAN,
            ..other
        };
        self.add(measure, Some(real), Some(other), figure, "x faster", limit);
    }

    /// A time that has no floor.
    pub fn time(&mut self, measure: Measure, real: Sample, limit: Limit) {
        self.add(
            measure,
            Some(real),
            None,
            (real.wall, Some(real.cpu)),
            "ms",
            limit,
        );
    }

    /// A part of a floor that stands in another row as a whole.
    pub fn floor(&mut self, measure: Measure, floor: Sample) {
        let figure = (floor.wall, Some(floor.cpu));
        self.add(measure, None, Some(floor), figure, "ms", Limit::None);
    }

    /// A number of things.
    pub fn count(&mut self, measure: Measure, n: usize, unit: &'static str, limit: Limit) {
        self.figure(measure, n as f64, unit, limit);
    }

    /// Any other figure.
    pub fn figure(&mut self, measure: Measure, figure: f64, unit: &'static str, limit: Limit) {
        self.add(measure, None, None, (figure, None), unit, limit);
    }

    fn add(
        &mut self,
        measure: Measure,
        real: Option<Sample>,
        other: Option<Sample>,
        (figure, cpu_figure): (f64, Option<f64>),
        unit: &'static str,
        limit: Limit,
    ) {
        let (target, ok) = match limit {
            Limit::None => (String::new(), None),
            Limit::AtMost(most) => (format!("<= {most}"), Some(figure <= most)),
            Limit::AtLeast(least) => (format!(">= {least}"), Some(figure >= least)),
        };
        let verdict = ok.map_or("", |ok| if ok { "ok" } else { "MISSED" });
        let brackets = cpu_figure.map_or_else(String::new, |cpu| format!(" ({})", number(cpu)));
        println!(
            "{:28} {:>8} {:>5} {:>19} {:>19} {:>20}  {target:9} {verdict}",
            measure.name,
            measure.services,
            measure.runs,
            real.map_or_else(String::new, times),
            other.map_or_else(String::new, times),
            format!("{}{brackets} {unit}", number(figure)),
        );
        self.rows.push(Row {
            measure,
            viprule_ms: real.map(|sample| sample.wall),
            viprule_cpu_ms: real.map(|sample| sample.cpu),
            other_ms: other.map(|sample| sample.wall),
            other_cpu_ms: other.map(|sample| sample.cpu).filter(|cpu| cpu.is_finite()),
            figure,
            cpu_figure,
            unit,
            target,
            ok,
        });
    }
}

fn times(sample: Sample) -> String {
    if sample.cpu.is_finite() {
        format!("{} ({})", number(sample.wall), number(sample.cpu))
    } else {
        number(sample.wall)
    }
}

/// With about three digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn load() -> String {
    let averages = read("/proc/loadavg");
    averages.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
