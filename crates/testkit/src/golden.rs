//! The golden cluster, and what kube-proxy 1.36 wrote for it on node-0, which has the addresses
//! 192.168.77.2 and `fd00:77::2`.

use std::path::{Path, PathBuf};

/// The node that kube-proxy ran on.
pub const NODE: &str = "node-0";
/// Where its pods and those of the others are.
pub const POD_NETWORKS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// The cluster's manifest.
pub const MANIFEST: &str = include_str!("../../../tests/golden/cluster/cluster.yaml");

/// What `iptables-save` and `ip6tables-save` printed in iptables mode.
pub const IPTABLES: [&str; 2] = [
    include_str!("../../../tests/golden/cluster/iptables-save.txt"),
    include_str!("../../../tests/golden/cluster/ip6tables-save.txt"),
];

/// The same in IPVS mode, where the node had no other addresses than those of its NIC.
pub const IPVS_IPTABLES: [&str; 2] = [
    include_str!("../../../tests/golden/cluster/ipvs/iptables-save.txt"),
    include_str!("../../../tests/golden/cluster/ipvs/ip6tables-save.txt"),
];
/// What `ipset save` printed there.
pub const IPSET: &str = include_str!("../../../tests/golden/cluster/ipvs/ipset-save.txt");
/// What `ipvsadm -Sn` printed there.
pub const IPVSADM: &str = include_str!("../../../tests/golden/cluster/ipvs/ipvsadm-Sn.txt");
/// The addresses of `kube-ipvs0` there, as `ip address` prints them.
pub const ADDRESSES: &str = include_str!("../../../tests/golden/cluster/ipvs/addresses.txt");
/// The sysctls that it had set there, a name and a value a line.
pub const SYSCTLS: &str = include_str!("../../../tests/golden/cluster/ipvs/sysctl.txt");

/// The cluster IP of the Service `default/kubernetes`, which an API server makes: it is in
/// kube-proxy's dumps and in no manifest.
pub const KUBERNETES: &str = "10.1.0.1";

/// The folder of all golden cases, as the checkout has it that the tests were built in.
pub fn folder() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Where only this folder was copied to, a way to it over `..` does not exist.
    this.ancestors().nth(2).unwrap_or(this).join("tests/golden")
}

/// The manifest's file.
pub fn manifest() -> PathBuf {
    folder().join("cluster/cluster.yaml")
}

/// A dump without the lines of the Service that is in no manifest.
pub fn without_kubernetes(dump: &str) -> String {
    let is_its = |line: &str| {
        let mut words = line.trim_end().split([' ', ',', '/', ':']);
        words.any(|word| word == KUBERNETES)
    };
    let lines = dump.split_inclusive('\n');
    lines.filter(|line| !is_its(line)).collect()
}
