//! Nobody tells of what others do to virtual servers: the agent looks, as often as it is told.

use crate::scene::{CLUSTER_IP, ENDPOINTS, FLAGS, chosen, running, wait_until};
use crate::support::shared;

/// What somebody does.
const DAMAGE: [&str; 9] = [
    "ipvsadm -D -t 10.1.0.90:80",
    "ipvsadm -E -t 192.168.77.2:30090 -s wlc",
    "ipvsadm -d -t 10.1.0.90:80 -r 10.244.0.91:8080",
    "ipvsadm -e -t 10.1.0.90:80 -r 10.244.0.91:8080 -m -w 9",
    "ipset del KUBE-CLUSTER-IP 10.1.0.90,tcp:80",
    "ipset flush KUBE-IPVS-IPS",
    "ip addr del 10.1.0.90/32 dev kube-ipvs0",
    "ip link del kube-ipvs0",
    "ipvsadm -C",
];

#[test]
fn what_somebody_changed_is_put_right() {
    let endpoints = &ENDPOINTS[..3];
    let often = "--ipvs-sync-period 1s --ipvs-min-sync-period 0s";
    let (stage, _run, _servers) = running(shared(), endpoints, often);
    let right = stage.state();
    for line in DAMAGE {
        let mut words = line.split(' ');
        let command = stage.world.node().command(words.next().unwrap());
        command.args(words).text().unwrap();
        wait_until(line, &stage, || stage.state() == right);
        assert_eq!(
            chosen(&stage, CLUSTER_IP, 6).len(),
            endpoints.len(),
            "{line}"
        );
    }
    stage.assert_in_sync(FLAGS);
}

/// What belongs to others stays, however often somebody looks.
#[test]
fn looking_writes_nothing() {
    let (stage, run, _servers) = running(shared(), &ENDPOINTS[..3], "--ipvs-sync-period 1s");
    let before = stage.state();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(stage.state(), before);
    for outcome in run.outcomes().iter().skip(1) {
        assert_eq!(outcome.counts(), [0; 3], "{outcome:?}");
    }
}

/// Settings that have to be as they are; nobody tells of them either.
#[test]
fn settings_that_somebody_changed_are_put_right() {
    const SETTINGS: [&str; 4] = [
        "net/ipv4/vs/conntrack",
        "net/ipv4/ip_forward",
        "net/ipv4/vs/expire_nodest_conn",
        "net/ipv4/vs/expire_quiescent_template",
    ];
    let endpoints = &ENDPOINTS[..2];
    let (stage, mut run, _servers) = running(shared(), endpoints, "--ipvs-sync-period 1s");
    let node = stage.world.node();
    for setting in SETTINGS {
        node.set_sysctl(setting, "0").unwrap();
        wait_until(setting, &stage, || node.sysctl(setting).unwrap() == "1");
        run.said(&["another program changed", &setting.replace('/', ".")]);
        assert_eq!(chosen(&stage, CLUSTER_IP, 6).len(), endpoints.len());
    }
}
