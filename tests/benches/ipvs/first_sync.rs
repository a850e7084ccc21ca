//! The first sync, from plans to an empty kernel.

use anyhow::ensure;
use viprule_dataplane::Scope;
use viprule_dataplane::ipvs::Desired;
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, medians, time};

use crate::floor::{Everything, PARTS};
use crate::kernel::Kernel;
use crate::world::{Real, syncer};

/// Both sides after a first sync.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) viprule: Real,
    pub(crate) viprule_side: Kernel,
    pub(crate) bare_side: Kernel,
}

/// Measures it; returns the last world with everything written, and viprule's time.
pub(crate) fn measure(
    cluster: &Cluster,
    desired: &Desired,
    report: &mut Report,
) -> anyhow::Result<(World, Sample)> {
    let runs = if cluster.services() > 2_000 { 5 } else { 9 };
    let (mut real, mut floor, mut parts) = (Vec::new(), Vec::new(), <[Vec<Sample>; 4]>::default());
    let mut world = None;
    // The first run loads modules, shows that the floor is one, and counts for nothing.
    for run in 0..=runs {
        drop(world.take());
        let viprule_side = Kernel::new("viprule")?;
        let mut bare_side = Kernel::new("bare")?;
        bare_side.add_link()?;
        let mut all = Everything::prepare(&bare_side, desired)?;
        let mut viprule = syncer(&viprule_side.namespace, cluster)?;
        // The one that comes second finds the kernel's memory warm: in turn.
        let mut bare = None;
        if run % 2 == 0 {
            bare = Some(all.send(&mut bare_side)?);
        }
        let (outcome, sample) = time(|| viprule.reconcile(Scope::Everything));
        outcome?;
        let bare = match bare {
            Some(times) => times,
            None => all.send(&mut bare_side)?,
        };
        if run == 0 {
            // Alone on the kernel, whose table of virtual servers as text is incomplete where
            // several namespaces have some.
            drop(viprule_side);
            ensure_same(&bare_side, cluster)?;
            continue;
        }
        real.push(sample);
        floor.push(Sample {
            wall: bare.iter().map(|part| part.wall).sum(),
            cpu: bare.iter().map(|part| part.cpu).sum(),
        });
        for (times, time) in parts.iter_mut().zip(bare) {
            times.push(time);
        }
        world = Some(World {
            viprule,
            viprule_side,
            bare_side,
        });
    }
    let world = world.ok_or_else(|| anyhow::anyhow!("no run"))?;
    let measure = |name| Measure {
        name,
        services: cluster.services(),
        runs,
    };
    let (real, floor) = (medians(&real), medians(&floor));
    report.ratio(measure("first sync"), real, floor, Limit::AtMost(1.5));
    for (name, times) in PARTS.into_iter().zip(parts) {
        report.floor(measure(name), medians(&times));
    }
    Ok((world, real))
}

/// The floor is one only if viprule finds on its side what it would have written.
fn ensure_same(bare_side: &Kernel, cluster: &Cluster) -> anyhow::Result<()> {
    let report = syncer(&bare_side.namespace, cluster)?.reconcile(Scope::Everything)?;
    ensure!(
        report.is_empty(),
        "the floor wrote something else than viprule: {} objects are missing, {} are others, {} \
         too many",
        report.created,
        report.replaced,
        report.removed,
    );
    Ok(())
}
