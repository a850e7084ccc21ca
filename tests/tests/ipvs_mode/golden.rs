//! What the kernel holds, beside what kube-proxy put there.

use crate::scene;
use crate::support::golden::load_kube_proxys;
use crate::support::{CLUSTER_CIDR, Stage};
use viprule_testkit::dump::{Dump, Family, LINK, VirtualServers};
use viprule_testkit::golden::{
    ADDRESSES, IPSET, IPVS_IPTABLES, IPVSADM, KUBERNETES, SYSCTLS, without_kubernetes,
};

/// What kube-proxy had written.
fn kube_proxys() -> VirtualServers {
    let [servers, sets, addresses] = [IPVSADM, IPSET, ADDRESSES].map(without_kubernetes);
    VirtualServers::parse(&servers, &sets, Some(&addresses)).unwrap()
}

/// Has kube-proxy's state loaded.
fn loaded() -> Stage {
    let stage = scene::golden();
    let node = stage.world.node();
    load_kube_proxys(node);
    let run = |program: &str, args: &[&str]| node.command(program).args(args).text().unwrap();
    run("ipvsadm", &["-D", "-t", "10.1.0.1:443"]);
    run("ipset", &["del", "KUBE-CLUSTER-IP", "10.1.0.1,tcp:443"]);
    run("ipset", &["del", "KUBE-IPVS-IPS", KUBERNETES]);
    run("ip", &["addr", "del", "10.1.0.1/32", "dev", LINK]);
    stage
}

/// Fails unless the kernel has what kube-proxy had written.
#[track_caller]
fn is_kube_proxys(stage: &Stage) {
    let (expected, found) = (kube_proxys(), stage.servers());
    assert!(expected == found, "\n{}", expected.differences(&found));
    for (family, dump) in Family::ALL.into_iter().zip(IPVS_IPTABLES) {
        let expected = Dump::parse(dump).unwrap().without_empty_chains();
        let found = stage.dump(family).without_empty_chains();
        let differences = expected.differences(&found);
        let text: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert!(differences.is_empty(), "{family:?}:\n{}", text.join("\n"));
    }
}

/// Fails unless nobody finds anything to do, and nothing is done.
#[track_caller]
fn is_settled(stage: &Stage) {
    stage.assert_in_sync(CLUSTER_CIDR);
    let before = stage.state();
    assert_eq!(stage.apply(CLUSTER_CIDR), "nothing to change\n");
    assert_eq!(stage.state(), before);
}

#[test]
fn what_is_written_is_what_kube_proxy_writes() {
    let stage = scene::golden();
    stage.apply(CLUSTER_CIDR);
    is_kube_proxys(&stage);
    is_settled(&stage);
    for line in SYSCTLS.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        assert_eq!(stage.world.node().sysctl(key).unwrap(), value, "{key}");
    }
}

#[test]
fn what_kube_proxy_left_is_taken_over_as_it_is() {
    let stage = loaded();
    is_kube_proxys(&stage);
    is_settled(&stage);
    is_kube_proxys(&stage);
}

/// kube-proxy keeps its list of draining destinations in memory; a restart leaves them behind, the
/// wanted ones as well as the others.
#[test]
fn destinations_that_kube_proxy_left_at_weight_0_are_healed() {
    let stage = loaded();
    let node = stage.world.node();
    let edit = |verb: &str, server: &str, destination: &str| {
        let args = [verb, "-t", server, "-r", destination, "-m", "-w", "0"];
        node.command("ipvsadm").args(args).text().unwrap();
    };
    edit("-e", "10.1.20.144:8080", "10.244.1.3:80");
    edit("-e", "[fd00:10:1::80]:80", "[fd00:10:244::80]:8080");
    edit("-a", "10.1.0.30:80", "10.244.0.99:80");
    edit("-a", "192.168.77.2:32697", "10.244.0.99:80");
    let harmed = kube_proxys().differences(&stage.servers());
    assert_eq!(harmed.lines().count(), 6, "{harmed}");

    // It goes on to look at those that drain.
    let mut run = stage.run(CLUSTER_CIDR);
    scene::wait_until("kube-proxy's state", &stage, || {
        stage.servers() == kube_proxys()
    });
    run.terminate();
    is_kube_proxys(&stage);
    is_settled(&stage);
}

/// Somebody changed what is ours, by every kind of object.
#[test]
fn whatever_differs_is_put_right_by_the_least_change() {
    let stage = loaded();
    let damage = "\
        ipvsadm -E -t 10.1.0.20:80 -s wlc -p 60\n\
        ipvsadm -D -t 10.1.0.80:80\n\
        ipvsadm -d -t 10.1.20.144:8080 -r 10.244.0.5:80\n\
        ipvsadm -e -t 10.1.0.40:443 -r 10.244.0.40:8443 -m -w 7\n\
        ipvsadm -A -t 10.1.0.20:8080 -s rr\n\
        ipset del KUBE-CLUSTER-IP 10.1.0.20,tcp:80\n\
        ipset add KUBE-NODE-PORT-TCP 31999\n\
        ipset add KUBE-LOAD-BALANCER 203.0.113.99,tcp:443\n\
        ip addr del 10.1.0.30/32 dev kube-ipvs0\n\
        ip addr add 10.1.0.99/32 dev kube-ipvs0";
    for line in damage.lines() {
        let mut words = line.split_whitespace();
        let command = stage.world.node().command(words.next().unwrap());
        command.args(words).text().unwrap();
    }
    assert_ne!(kube_proxys(), stage.servers());
    stage.apply(CLUSTER_CIDR);
    is_kube_proxys(&stage);
    is_settled(&stage);
}
