//! Memory of the real program.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use viprule_testkit::agent::{Agent, Memory};

use crate::world::Scratch;
use viprule_tests::figures::cluster::{Cluster, NODE, POD_NETWORK};
use viprule_tests::figures::report::{Limit, Measure, Report};

/// The size that the limits are for.
const LIMITED: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// Long enough for the agent to have done whatever it does after its first sync.
const REST: Duration = Duration::from_secs(5);

/// Measures `viprule apply` and `viprule run` on a file of manifests.
pub(crate) fn measure(cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cluster.yaml");
    cluster.write_manifests(&file)?;
    let file = file.to_string_lossy();
    let arguments = |verb| {
        [
            verb,
            "--manifests",
            &file,
            "--node",
            NODE,
            "--cluster-cidr",
            POD_NETWORK,
        ]
    };
    let limit = |mb| {
        if cluster.services() == LIMITED {
            Limit::AtMost(mb)
        } else {
            Limit::None
        }
    };
    let mut megabytes = |name, kib: u64, limit| {
        let measure = Measure {
            name,
            services: cluster.services(),
            runs: 1,
        };
        report.figure(measure, kib as f64 / 1024.0, "MB", limit);
    };

    let scratch = Scratch::new("apply")?;
    let mut apply = Agent::start(&scratch.0, arguments("apply"))?;
    let mut peak = 0;
    // The last answer before the end; a process that has ended has no memory to tell of.
    while let Ok(Memory { peak_kib, .. }) = apply.memory() {
        peak = peak_kib;
        thread::sleep(Duration::from_millis(1));
    }
    let status = apply.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "viprule apply: {status}: {}",
        apply.lines().join("\n")
    );
    megabytes("viprule apply, peak memory", peak, limit(60.0));
    drop(scratch);

    let scratch = Scratch::new("run")?;
    let mut run = Agent::start(&scratch.0, arguments("run"))?;
    run.wait_for_line("first sync", PATIENCE)?;
    thread::sleep(REST);
    let memory = run.memory()?;
    run.terminate(PATIENCE)?;
    megabytes("viprule run, peak memory", memory.peak_kib, Limit::None);
    megabytes(
        "viprule run, memory at rest",
        memory.resident_kib,
        limit(30.0),
    );
    Ok(())
}
