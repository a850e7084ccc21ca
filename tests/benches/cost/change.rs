//! One endpoint of one Service changes.

use std::thread;

use crate::cluster::Cluster;
use crate::report::{Limit, Measure, Report};
use crate::samples::{Sample, differences, medians, time};
use crate::world::{PAUSE, Parts, World, ensure_equal};

/// Measures the way from the event to the kernel; returns viprule's time.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    let runs = if cluster.services() > 2_000 { 41 } else { 101 };
    let (mut real, mut floor, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let event = cluster.slice(cluster.victim(run), run + 1)?;
        let again = event.clone();
        // Tracker, plan, rendering, diff and encoding, with nothing sent; the caches are those
        // that the kernel left behind.
        let (outcome, sample) = time(|| {
            world.recorder.apply(again);
            world.prepare_changes()
        });
        let (prepared, mut parts) = outcome?;
        own.push(sample);
        if run % 2 == 0 {
            floor.push(bare(world, &mut parts)?);
        }
        thread::sleep(PAUSE);
        let (outcome, sample) = time(|| {
            world.viprule.apply(event);
            world.viprule.sync()
        });
        real.push(sample);
        if run % 2 == 1 {
            floor.push(bare(world, &mut parts)?);
        }
        ensure_equal(&outcome?, &prepared)?;
    }
    let measure = |name| Measure { name, services: cluster.services(), runs };
    let over = differences(&real, &floor);
    let (real, floor) = (medians(&real), medians(&floor));
    report.difference(measure("one change"), real, floor, over, Limit::AtMost(1.0));
    report.time(measure("one change, event to bytes"), medians(&own), Limit::AtMost(0.2));
    Ok(real)
}

fn bare(world: &mut World, parts: &mut Parts) -> anyhow::Result<Sample> {
    thread::sleep(PAUSE);
    world.bare(parts)
}
