//! Memory of the real program.

use std::thread;
use std::time::Duration;

use viprule_tests::figures::cluster::{Cluster, NODE, POD_NETWORK};
use viprule_tests::figures::report::{Limit, Measure, Report};

use crate::kernel::Kernel;
use crate::world::start;

const PATIENCE: Duration = Duration::from_secs(300);
/// Long enough for the agent to have done whatever it does after its first sync.
const REST: Duration = Duration::from_secs(5);

/// Measures `viprule run` on a file of manifests.
pub(crate) fn measure(cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cluster.yaml");
    cluster.write_manifests(&file)?;
    let kernel = Kernel::new("run")?;
    let file = file.to_string_lossy();
    let arguments = [
        "run",
        "--manifests",
        &file,
        "--node",
        NODE,
        "--cluster-cidr",
        POD_NETWORK,
        "--proxy-mode",
        "ipvs",
        "--iptables-backend",
        "legacy",
    ];
    let mut run = start(&kernel.namespace, &arguments)?;
    run.wait_for_line("first sync", PATIENCE)?;
    thread::sleep(REST);
    let memory = run.memory()?;
    run.terminate(PATIENCE)?;
    for (name, kib, limit) in [
        ("viprule run, peak memory", memory.peak_kib, Limit::None),
        (
            "viprule run, memory at rest",
            memory.resident_kib,
            Limit::AtMost(30.0),
        ),
    ] {
        let measure = Measure {
            name,
            services: cluster.services(),
            runs: 1,
        };
        report.figure(measure, kib as f64 / 1024.0, "MB", limit);
    }
    Ok(())
}
