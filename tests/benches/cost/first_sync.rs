//! The first sync, from plans to an empty kernel.

use viprule_dataplane::Scope;

use crate::world::{World, ensure_equal};
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, medians, time};

/// Measures it; returns the last world with everything written, and viprule's time.
pub(crate) fn measure(cluster: &Cluster, report: &mut Report) -> anyhow::Result<(World, Sample)> {
    let runs = if cluster.services() > 2_000 { 3 } else { 7 };
    let (mut real, mut floor) = (Vec::new(), Vec::new());
    let mut world = None;
    for run in 0..runs {
        // Before the next one is made.
        drop(world.take());
        let mut next = World::new(cluster)?;
        let (prepared, mut parts) = next.prepare_everything()?;
        // The one that comes second finds the kernel's memory warm: in turn.
        if run % 2 == 0 {
            floor.push(next.bare(&mut parts)?);
        }
        let (outcome, sample) = time(|| next.viprule.reconcile(Scope::Everything));
        real.push(sample);
        if run % 2 == 1 {
            floor.push(next.bare(&mut parts)?);
        }
        ensure_equal(&outcome?, &prepared)?;
        world = Some(next);
    }
    let world = world.ok_or_else(|| anyhow::anyhow!("no run"))?;
    let (real, floor) = (medians(&real), medians(&floor));
    report.ratio(
        Measure {
            name: "first sync",
            services: cluster.services(),
            runs,
        },
        real,
        floor,
        Limit::AtMost(1.2),
    );
    Ok((world, real))
}
