//! A hundred changes arrive while the kernel is busy with another one.

use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use viprule_service::model::Event;

use crate::world::{PAUSE, World, ensure_equal};
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, medians, time};

const CHANGES: u32 = 100;
const RUNS: u32 = 11;
/// Revisions from here on are this measure's own.
const FIRST_REVISION: u32 = 500;

/// Measures from the end of the sync that they interrupt to the end of the one that has them.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut real, mut floor, mut transactions) = (Vec::new(), Vec::new(), 0);
    for run in 0..RUNS {
        let revision = FIRST_REVISION + run;
        let change = |number: u32| cluster.slice(cluster.victim(run + number), revision);
        let first = change(0)?;
        let rest: Vec<Event> = (1..=CHANGES).map(change).collect::<Result<_, _>>()?;

        world.recorder.apply(first.clone());
        let (_, mut busy) = world.prepare_changes()?;
        rest.iter()
            .cloned()
            .for_each(|event| world.recorder.apply(event));
        let (prepared, mut parts) = world.prepare_changes()?;
        thread::sleep(PAUSE);
        world.bare(&mut busy)?;
        floor.push(world.bare(&mut parts)?);

        thread::sleep(PAUSE);
        let (outcome, sample) = interrupted(world, first, rest)?;
        real.push(sample);
        transactions = transactions.max(outcome.transactions);
        ensure_equal(&outcome, &prepared)?;
    }
    let measure = |name| Measure {
        name,
        services: cluster.services(),
        runs: RUNS,
    };
    let (real, floor) = (medians(&real), medians(&floor));
    report.ratio(measure("100 changes at once"), real, floor, Limit::None);
    let limit = Limit::AtMost(1.0);
    report.count(
        measure("100 changes at once"),
        transactions,
        "transactions",
        limit,
    );
    Ok(())
}

/// One thread syncs while another one tells of changes; then the first takes them all, as the
/// agent's sync loop does.
fn interrupted(
    world: &mut World,
    first: Event,
    rest: Vec<Event>,
) -> anyhow::Result<(viprule_sync::Report, Sample)> {
    let (start, started) = mpsc::channel();
    let (news, inbox) = mpsc::channel();
    thread::scope(|scope| {
        let teller = scope.spawn(move || {
            if started.recv().is_ok() {
                for event in rest {
                    drop(news.send(event));
                }
            }
        });
        world.viprule.apply(first);
        start.send(()).context("the other thread is gone")?;
        world.viprule.sync()?;
        // Sooner than the kernel is done, unless this machine is very busy.
        drop(teller.join());
        let (outcome, sample) = time(|| {
            for event in inbox.try_iter() {
                world.viprule.apply(event);
            }
            world.viprule.sync()
        });
        Ok((outcome?, sample))
    })
}
