//! What the kernel shall have for a cluster, and viprule as it is.

use std::path::Path;

use nfnetlink::Family;
use viprule_dataplane::ipvs::{Desired, Ipvs, Settings};
use viprule_dataplane::{CommonSettings, DetectLocal};
use viprule_service::tracker::Tracker;
use viprule_sync::Syncer;
use viprule_testkit::Namespace;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_tests::figures::cluster::{Cluster, POD_NETWORK};
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::IpvsWriter;

/// How jemalloc is told what to do; `scripts/bench-ipvs` lets it keep memory that is freed.
const ALLOCATOR_SETTINGS: &str = "_RJEM_MALLOC_CONF";

/// viprule's own parts, put together as the agent does.
pub(crate) type Real = Syncer<Ipvs, IpvsWriter>;

/// viprule's defaults.
fn dataplane(tracker: &Tracker) -> anyhow::Result<Ipvs> {
    let settings = Settings {
        common: CommonSettings {
            detect_local: DetectLocal::ClusterCidr(vec![POD_NETWORK.parse()?]),
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    Ok(Ipvs::new(settings, tracker.facts()))
}

/// A syncer that plans all of a cluster and knows nothing of the kernel. The calling thread moves
/// into the namespace: the writer reads the table of virtual servers of its thread's.
pub(crate) fn syncer(namespace: &Namespace, cluster: &Cluster) -> anyhow::Result<Real> {
    let tracker = cluster.tracker()?;
    let dataplane = dataplane(&tracker)?;
    namespace.enter_thread()?;
    let writer = IpvsWriter::open(Backend::Legacy, &Family::ALL)?;
    Ok(Syncer::new(tracker, dataplane, writer))
}

/// Starts the program with the allocator's own settings, whatever those of this process are.
pub(crate) fn start(node: &Namespace, arguments: &[&str]) -> anyhow::Result<Agent> {
    let program = viprule_binary()?.display().to_string();
    let start = ["-u", ALLOCATOR_SETTINGS, &program];
    let arguments = start.iter().chain(arguments);
    Ok(Agent::start_program(node, Path::new("env"), arguments)?)
}

/// Everything that is wanted.
pub(crate) fn desired(cluster: &Cluster) -> anyhow::Result<Desired> {
    let tracker = cluster.tracker()?;
    Ok(viprule_sync::desired(&dataplane(&tracker)?, &tracker))
}
