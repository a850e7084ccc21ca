//! One endpoint of one Service comes, then goes.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use ipvs_netlink::{Destination, DestinationId};
use viprule_service::model::{Endpoint, EndpointSlice, Event};
use viprule_tests::figures::cluster::{Cluster, TARGET_PORT};
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, differences, medians, time};

use crate::first_sync::World;
use crate::kernel::tcp;

/// How often.
const RUNS: u32 = 100;
/// Between two changes, for the kernel to free what the last one removed.
const PAUSE: Duration = Duration::from_millis(5);

/// Times of both sides for the same change.
#[derive(Debug, Default)]
struct Times {
    real: Vec<Sample>,
    floor: Vec<Sample>,
}

/// Measures from the event to the kernel's answer; viprule's median time for an endpoint that
/// comes.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    let (mut comes, mut goes) = (Times::default(), Times::default());
    world.viprule_side.namespace.enter_thread()?;
    for run in 0..RUNS {
        let service = cluster.victim(run);
        let to: IpAddr = cluster.bulk().endpoint(service, 0, 1).into();
        let server = tcp(cluster.bulk().cluster_ip(service).into());
        let id = DestinationId {
            address: to,
            port: TARGET_PORT,
        };
        let mut add = world.bare_side.ipvs.requests();
        add.new_destination(&server, &id, &Destination::masqueraded(1))?;
        let mut delete = world.bare_side.ipvs.requests();
        delete.delete_destination(&server, &id);

        let before = cluster.slice(service, 0)?;
        let after = with_one_more(before.clone(), to)?;
        for (event, mut bare, times) in [(after, add, &mut comes), (before, delete, &mut goes)] {
            thread::sleep(PAUSE);
            let first = run.is_multiple_of(2);
            if first {
                times.floor.push(floor(world, &mut bare)?);
            }
            let (outcome, sample) = time(|| {
                world.viprule.apply(event);
                world.viprule.sync()
            });
            times.real.push(sample);
            ensure!(!outcome?.is_empty(), "viprule wrote nothing");
            if !first {
                times.floor.push(floor(world, &mut bare)?);
            }
        }
    }
    for side in [&mut world.viprule_side, &mut world.bare_side] {
        let wanted = cluster.bulk().services * cluster.bulk().endpoints;
        let found = side.destinations_of_each()?;
        ensure!(
            found == wanted as usize,
            "{}: {found} destinations are left, not {wanted}",
            side.namespace.name()
        );
    }
    let time = medians(&comes.real);
    for (name, times) in [("one endpoint more", comes), ("one endpoint less", goes)] {
        let measure = Measure {
            name,
            services: cluster.services(),
            runs: RUNS,
        };
        report.difference(
            measure,
            medians(&times.real),
            medians(&times.floor),
            differences(&times.real, &times.floor),
            Limit::AtMost(0.5),
        );
    }
    Ok(time)
}

fn floor(world: &mut World, requests: &mut ipvs_netlink::Requests<()>) -> anyhow::Result<Sample> {
    let (outcome, sample) = time(|| world.bare_side.send(requests));
    outcome?;
    Ok(sample)
}

/// The slice with an endpoint on another node behind the others.
fn with_one_more(event: Event, address: IpAddr) -> anyhow::Result<Event> {
    let Event::SliceApplied(slice) = event else {
        anyhow::bail!("not a slice: {event:?}");
    };
    let more = slice.endpoints.first().map(|like| Endpoint {
        address,
        node: Some("node-1".into()),
        ..like.clone()
    });
    let endpoints = slice.endpoints.iter().cloned().chain(more);
    Ok(Event::SliceApplied(EndpointSlice {
        endpoints: endpoints.collect(),
        ..slice
    }))
}
