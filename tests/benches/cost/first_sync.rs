//! The first sync, from plans to an empty kernel.

use anyhow::ensure;
use viprule_dataplane::Scope;

use crate::cluster::Cluster;
use crate::report::{Limit, Measure, Report};
use crate::samples::{Sample, medians, time};
use crate::world::{World, ensure_equal};

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
    if std::env::var_os("DBG").is_some() {
        for (r, f) in real.iter().zip(&floor) {
            println!(
                "real {:.0} ({:.0}) floor {:.0} ({:.0})",
                r.wall, r.cpu, f.wall, f.cpu
            );
        }
    }
    let world = world.ok_or_else(|| anyhow::anyhow!("no run"))?;
    ensure_same_rules(cluster, &world)?;
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

/// viprule finds nothing to change in what the bare loop wrote.
fn ensure_same_rules(cluster: &Cluster, world: &World) -> anyhow::Result<()> {
    let report = world
        .bare_side
        .syncer(cluster)?
        .reconcile(Scope::Everything)?;
    ensure!(
        report.is_empty(),
        "the floor wrote other rules than viprule: {report:?}"
    );
    Ok(())
}
