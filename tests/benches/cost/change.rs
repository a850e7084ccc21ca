//! One endpoint of one Service changes.

use std::hint::black_box;
use std::thread;

use crate::cluster::Cluster;
use crate::report::{Limit, Measure, Report};
use crate::samples::{Sample, differences, medians, time};
use crate::world::{PAUSE, Parts, World, ensure_equal};

/// Changes of which only viprule's own part is measured.
const OWN_RUNS: u32 = 2_000;

/// Measures the way from the event to the kernel; returns viprule's time.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    let runs = if cluster.services() > 2_000 { 41 } else { 101 };
    let (mut real, mut floor) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let event = cluster.slice(cluster.victim(run), run + 1)?;
        world.recorder.apply(event.clone());
        let (prepared, mut parts) = world.prepare_changes()?;
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
    let services = cluster.services();
    let over = differences(&real, &floor);
    let (real, floor) = (medians(&real), medians(&floor));
    let measure = Measure {
        name: "one change",
        services,
        runs,
    };
    report.difference(measure, real, floor, over, Limit::AtMost(1.0));
    let own = own_part(cluster, runs)?;
    let measure = Measure {
        name: "one change, event to bytes",
        services,
        runs: OWN_RUNS,
    };
    report.time(measure, own, Limit::AtMost(0.2));
    Ok(real)
}

fn bare(world: &mut World, parts: &mut Parts) -> anyhow::Result<Sample> {
    thread::sleep(PAUSE);
    world.bare(parts)
}

/// Tracker, plan, rendering, diff and encoding, with nothing sent.
fn own_part(cluster: &Cluster, first: u32) -> anyhow::Result<Sample> {
    let tracker = cluster.tracker()?;
    let dataplane = Cluster::dataplane(&tracker)?;
    let recorder = crate::recorder::Recorder::new(usize::MAX);
    let mut syncer = viprule::agent::Syncer::new(tracker, dataplane, recorder);
    syncer.reconcile(viprule_dataplane::Scope::Everything)?;
    syncer.writer().take_parts();
    let mut samples = Vec::new();
    for run in first..first + OWN_RUNS {
        let event = cluster.slice(cluster.victim(run), run + 1)?;
        let (outcome, sample) = time(|| {
            syncer.apply(event);
            syncer.sync()
        });
        black_box(outcome?);
        syncer.writer().reuse_part();
        samples.push(sample);
    }
    Ok(medians(&samples))
}
