//! Dumps of real rulesets.

use crate::support::{BACKENDS, BACKENDS6, VIP, VIP6, program, world};
use viprule_testkit::Namespace;
use viprule_testkit::dump::{Difference, Dump, Family, ForeignState};
use viprule_testkit::netns::require_privileges;

const OURS: &str = "*nat\n:KUBE-SERVICES -\n:KUBE-SEP-2H5CYDZJWFSSYBNW -\n\
    -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
    -A KUBE-SERVICES -d 10.1.0.10/32 -j KUBE-SEP-2H5CYDZJWFSSYBNW\nCOMMIT\n";

const THEIRS: &str = "*nat\n:CNI-HOSTPORT -\n:KUBE-KUBELET-CANARY -\n\
    -A PREROUTING -j CNI-HOSTPORT\n-A PREROUTING -s 10.0.0.0/8 -j RETURN\n\
    -A CNI-HOSTPORT -m comment --comment \"[1:2] -j KUBE-SERVICES\" -j RETURN\nCOMMIT\n";

fn restore(namespace: &Namespace, family: Family, rules: &str) {
    let command = namespace.command(family.restore_tool()).arg("--noflush");
    command.input(rules).text().unwrap();
}

fn nft(namespace: &Namespace, command: &str) {
    namespace.command("nft").arg(command).text().unwrap();
}

#[test]
fn what_was_restored_is_read_back() {
    let world = world();
    for (family, vip, backends) in [(Family::V4, VIP, BACKENDS), (Family::V6, VIP6, BACKENDS6)] {
        program(
            &world,
            family,
            vip,
            &backends,
            "-A FORWARD -s 192.0.2.1,192.0.2.2 -j DROP\n"
                .replace(
                    "192.0.2.1,192.0.2.2",
                    if vip == VIP {
                        "192.0.2.1"
                    } else {
                        "2001:db8::1"
                    },
                )
                .as_str(),
        );
        let dump = Dump::take(world.node(), family).unwrap();
        assert_eq!(dump.rules("nat", "SERVICES").len(), 3 * 4);
        assert_eq!(dump.rules("filter", "FORWARD").len(), 1);
        assert_eq!(dump.rule_count(), 12 + 3 + 1);
        assert_eq!(dump.tables["nat"].chains["SERVICES"].policy, None);
        assert_eq!(
            dump.tables["nat"].chains["OUTPUT"].policy.as_deref(),
            Some("ACCEPT")
        );

        // Its own text restores to the same, and counters don't matter.
        let other = Namespace::new("copy").unwrap();
        restore(&other, family, &dump.to_string());
        let counted = other.command(family.save_tool()).arg("-c").text().unwrap();
        let copy = Dump::parse(&counted).unwrap();
        assert_eq!(dump.differences(&copy), []);
    }
}

#[test]
fn order_within_a_chain_counts() {
    let dump = |rules: &str| Dump::parse(&format!("*nat\n:A -\n{rules}COMMIT\n")).unwrap();
    let (one, other) = (
        dump("-A A -j X\n-A A -j Y\n"),
        dump("-A A -j Y\n-A A -j X\n"),
    );
    let [difference] = &one.differences(&other)[..] else {
        panic!("one chain differs")
    };
    assert!(matches!(difference, Difference::Changed { .. }));
    let printed = dump("-A A -j X\n-A A -j Y\n-A A -j Z\n").differences(&one)[0].to_string();
    assert_eq!(printed, "nat: chain A, from rule 3\n- -A A -j Z");
    assert_eq!(
        one.differences(&Dump::default())[0].to_string(),
        "nat: - chain A"
    );
    assert!(Dump::parse("-A A -j X\n").is_err());
    assert!(Dump::parse("*nat\nnonsense\n").is_err());
}

#[test]
fn ours_and_foreign_are_told_apart() {
    require_privileges().unwrap();
    let node = Namespace::new("node").unwrap();
    restore(&node, Family::V4, THEIRS);
    let theirs = Dump::take(&node, Family::V4).unwrap();
    restore(&node, Family::V4, OURS);
    let both = Dump::take(&node, Family::V4).unwrap();
    assert_eq!(theirs.differences(&both.foreign()), []);
    assert_eq!(both.ours().rule_count(), 2);
    assert_eq!(both.foreign().rule_count(), 3);
    assert_eq!(both.rule_count(), 5);
}

#[test]
fn foreign_state_ignores_ours_and_sees_everything_else() {
    require_privileges().unwrap();
    let node = Namespace::new("node").unwrap();
    node.ip([
        "link add cni0 type bridge",
        "addr add 10.9.0.1/24 dev cni0",
        "link set cni0 up",
    ])
    .unwrap();
    restore(&node, Family::V4, THEIRS);
    nft(
        &node,
        "add table inet admin; add chain inet admin c; add rule inet admin c counter accept",
    );
    let before = ForeignState::take(&node).unwrap();

    restore(&node, Family::V4, OURS);
    restore(&node, Family::V6, "*mangle\n:KUBE-PROXY-CANARY -\nCOMMIT\n");
    nft(&node, "add table ip kube-proxy");
    node.ip([
        "link add kube-ipvs0 type bridge",
        "addr add 10.1.0.10/32 dev kube-ipvs0",
    ])
    .unwrap();
    let after = ForeignState::take(&node).unwrap();
    assert_eq!(before, after, "{}", before.changes(&after));
    assert_eq!(before.changes(&after), "");

    let disturb: [(&str, &dyn Fn()); 6] = [
        ("inet admin", &|| nft(&node, "add rule inet admin c drop")),
        ("inet admin", &|| {
            // The same content under new handles: somebody deleted the table and made it again.
            let content = node
                .command("nft")
                .args(["list", "table", "inet", "admin"])
                .text();
            let again = format!("delete table inet admin\n{}", content.unwrap());
            node.command("nft")
                .args(["-f", "-"])
                .input(again)
                .text()
                .unwrap();
        }),
        ("CNI-HOSTPORT", &|| {
            restore(&node, Family::V4, "*nat\n-F CNI-HOSTPORT\nCOMMIT\n");
        }),
        ("order", &|| {
            let swap = "*nat\n-D PREROUTING -s 10.0.0.0/8 -j RETURN\n\
                        -I PREROUTING -s 10.0.0.0/8 -j RETURN\nCOMMIT\n";
            restore(&node, Family::V4, swap);
        }),
        ("10.9.0.2", &|| {
            node.ip(["addr add 10.9.0.2/24 dev cni0"]).unwrap();
        }),
        ("10.8.0.0/16", &|| {
            node.ip(["route add 10.8.0.0/16 via 10.9.0.7"]).unwrap();
        }),
    ];
    let mut last = after;
    for (told, disturb) in disturb {
        disturb();
        let now = ForeignState::take(&node).unwrap();
        assert_ne!(last, now, "{told}");
        assert!(
            last.changes(&now).contains(told),
            "{told}: {}",
            last.changes(&now)
        );
        last = now;
    }
}
