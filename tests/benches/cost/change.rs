//! One endpoint of one Service changes.

use std::thread;

use crate::world::{PAUSE, Parts, World, ensure_equal};
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, differences, medians, time};

/// Measures the way from the event to the kernel.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    let half = if cluster.services() > 2_000 { 60 } else { 50 };
    let mut samples = Samples::default();
    for run in 0..half {
        samples.pair(cluster, world, run)?;
    }
    world.swap(cluster)?;
    for run in half..2 * half {
        samples.pair(cluster, world, run)?;
    }
    let Samples { real, floor, own } = samples;
    let middle = real.len() / 2;
    let before = differences(&real[..middle], &floor[..middle]);
    let after = differences(&real[middle..], &floor[middle..]);
    let over = Sample {
        wall: f64::midpoint(before.wall, after.wall),
        cpu: f64::midpoint(before.cpu, after.cpu),
    };
    let measure = |name| Measure {
        name,
        services: cluster.services(),
        runs: 2 * half,
    };
    let (real, floor) = (medians(&real), medians(&floor));
    report.difference(measure("one change"), real, floor, over, Limit::AtMost(1.0));
    report.time(
        measure("one change, event to bytes"),
        medians(&own),
        Limit::AtMost(0.2),
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Samples {
    real: Vec<Sample>,
    floor: Vec<Sample>,
    own: Vec<Sample>,
}

impl Samples {
    /// The same change on both sides, with the order in turn.
    fn pair(&mut self, cluster: &Cluster, world: &mut World, run: u32) -> anyhow::Result<()> {
        let event = cluster.slice(cluster.victim(run), run + 1)?;
        let again = event.clone();
        // Tracker, plan, rendering, diff and encoding, with nothing sent; the caches are as the
        // kernel left them.
        let (outcome, sample) = time(|| {
            world.recorder.apply(again);
            world.prepare_changes()
        });
        self.own.push(sample);
        let (prepared, mut parts) = outcome?;
        if run.is_multiple_of(2) {
            self.bare(world, &mut parts)?;
        }
        thread::sleep(PAUSE);
        let (outcome, sample) = time(|| {
            world.viprule.apply(event);
            world.viprule.sync()
        });
        self.real.push(sample);
        if !run.is_multiple_of(2) {
            self.bare(world, &mut parts)?;
        }
        ensure_equal(&outcome?, &prepared)
    }

    fn bare(&mut self, world: &mut World, parts: &mut Parts) -> anyhow::Result<()> {
        thread::sleep(PAUSE);
        self.floor.push(world.bare(parts)?);
        Ok(())
    }
}
