//! Without rights over the network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use viprule_testkit::agent::viprule_binary;

use crate::support::{Place, good};

/// How to start the program as nobody; as root without the capability where this user namespace
/// has no nobody.
fn nobody() -> &'static str {
    if has_nobody() {
        "--reuid 65534 --regid 65534 --clear-groups"
    } else {
        "--bounding-set -net_admin --inh-caps -net_admin"
    }
}

/// The same with the capability and no other.
fn network_admin() -> &'static str {
    if has_nobody() {
        "--reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin --ambient-caps +net_admin \
         --bounding-set -all,+net_admin --no-new-privs"
    } else {
        "--bounding-set -all,+net_admin --inh-caps -all --no-new-privs"
    }
}

fn has_nobody() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(|it| it.parse().unwrap())
            .collect();
        (numbers[0]..numbers[0] + numbers[2]).contains(&65534)
    })
}

/// A place whose files everybody may read, and the program in it.
fn place() -> Place {
    let place = Place::new();
    place.write("good.yaml", &good("fine", "10.1.0.10"));
    fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(
        viprule_binary().unwrap(),
        place.directory.path().join("viprule"),
    )
    .unwrap();
    place
}

#[test]
fn render_needs_none() {
    let place = place();
    let args = "{}/viprule render --node node-0 --manifests {} --ip-family ipv4";
    let out = place
        .program("setpriv", &format!("{} {args}", nobody()))
        .clean(0);
    assert!(out.contains("shop/fine:http cluster IP"));
}

#[test]
fn other_verbs_name_the_capability_that_they_lack() {
    let place = place();
    for verb in [
        "apply --node node-0 --manifests {}",
        "diff --node node-0 --manifests {}",
        "run --node node-0 --manifests {}",
        "cleanup",
        "cleanup --dry-run",
    ] {
        let args = format!("{} {{}}/viprule {verb}", nobody());
        let answer = place.program("setpriv", &args);
        answer.says(&["not permitted; run as root or with the capability CAP_NET_ADMIN"]);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    }
    assert_eq!(place.ruleset(), "");
}

#[test]
fn one_capability_is_enough_for_any_user() {
    let place = place();
    place
        .program("sysctl", "-w net.ipv4.conf.all.route_localnet=1")
        .clean(0);
    let viprule = |args: &str| {
        let args = format!("{} {{}}/viprule {args}", network_admin());
        place.program("setpriv", &args)
    };
    let input = "--node node-0 --manifests {}";
    viprule(&format!("apply {input}")).clean(0);
    assert!(place.ruleset().contains("KUBE-SVC-"));
    assert_eq!(viprule(&format!("diff {input}")).code, 0);
    let cleanup = viprule("cleanup");
    assert_eq!(cleanup.code, 0, "{}", cleanup.err);
    assert!(!place.ruleset().contains("KUBE-SVC-"));
}
