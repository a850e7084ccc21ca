//! What the agent gives up, in whatever mode these tests run.

use crate::support::{CLUSTER_CIDR, Stage, shared};
use viprule_testkit::agent::Confinement;
use viprule_testkit::golden::MANIFEST;

#[test]
fn every_thread_has_the_filter_in_this_mode() {
    let stage = Stage::without_pods(shared());
    stage.write("cluster.yaml", MANIFEST);
    let run = stage.run(CLUSTER_CIDR);
    let expected = Confinement {
        seccomp: 2,
        filters: Confinement::of_this_thread().unwrap().filters + 2,
        no_new_privs: 1,
    };
    let threads = run.confinement();
    assert!(threads.len() > 4, "{threads:?}");
    assert!(threads.values().all(|it| *it == expected), "{threads:?}");
}
