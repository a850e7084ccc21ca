//! Whatever isn't ours stays as it is, byte for byte, whatever we do.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{CLUSTER_CIDR, LIMIT, Run, Stage, at, shared};
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Mode;
use viprule_testkit::dump::{Family, ForeignState, Tables};
use viprule_testkit::server::Server;

/// An administrator's, a CNI plugin's and kubelet's rules, as `iptables-save` prints them.
const IPTABLES: &str = "\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 4789 -m comment --comment \"admin: overlay\" -j NOTRACK
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m mark --mark 0x77 -m comment --comment \"admin: mark\" -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-SERVICES-OLD - [0:0]
:KUBE-SVC-NOTAHASH - [0:0]
-A PREROUTING -p tcp -m tcp --dport 12345 -m comment --comment \"admin: first\" -j CNI-HOSTPORT-DNAT
-A PREROUTING -i lan0 -m comment --comment \"admin: not -j KUBE-SERVICES\" -j ACCEPT
-A POSTROUTING -o lan0 -m comment --comment \"admin: way out\" -j MASQUERADE
-A CNI-HOSTPORT-DNAT -p tcp -m tcp --dport 12345 -m comment --comment \"admin: port\" -j REDIRECT --to-ports 80
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A KUBE-SERVICES-OLD -m comment --comment \"admin: kept\" -j RETURN
-A KUBE-SVC-NOTAHASH -m comment --comment \"admin: kept\" -j KUBE-SERVICES-OLD
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:LOGDROP - [0:0]
-A INPUT -m comment --comment \"admin: router\" -j KUBE-ROUTER-INPUT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment \"admin: ssh\" -j ACCEPT
-A FORWARD -i lan0 -m comment --comment \"admin: lan\" -j LOGDROP
-A LOGDROP -m comment --comment \"admin: log\" -j DROP
COMMIT
";

/// What other programs own in nftables' own syntax. `FAMILY` is `ip` or `ip6`.
const NFTABLES: &str = "
table inet firewalld {
    set trusted { type ifname; elements = { \"lan0\", \"lan1\" } }
    map verdicts { type inet_service : verdict; elements = { 22 : accept, 23 : drop } }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        iifname @trusted counter accept
        meta l4proto tcp tcp dport vmap @verdicts
    }
}
table ip kube-router {
    set pods { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 } }
    chain forward {
        type filter hook forward priority -10; policy accept;
        ip saddr @pods counter accept
    }
}
table ip6 kube-router {
    chain postrouting {
        type nat hook postrouting priority srcnat + 5; policy accept;
        ip6 saddr fd09::/16 masquerade
    }
}
table bridge shaper {
    chain input { type filter hook input priority 0; policy accept; }
}
";

/// Virtual servers of others, as `ipvsadm -R` reads them: beside a node port, on an address of
/// their own, by mark.
const SERVERS: &str = "\
-A -t 192.168.77.2:9999 -s wlc
-a -t 192.168.77.2:9999 -r 10.9.0.1:80 -m -w 3
-a -t 192.168.77.2:9999 -r 10.9.0.2:80 -m -w 0
-A -t 10.99.0.1:80 -s sh -b sh-port
-a -t 10.99.0.1:80 -r 10.9.0.1:80 -g -w 1
-A -u 10.99.0.1:53 -s rr -p 60
-A -t [fd09::1]:80 -s rr
-a -t [fd09::1]:80 -r [fd09::2]:80 -m -w 1
-A -f 7 -s rr
-a -f 7 -r 10.9.0.1:0 -g -w 1
";

/// Sets of others; one has a name much like ours.
const SETS: &str = "\
create admins hash:ip family inet
add admins 10.9.0.1
create KUBE-SRC-GFEZP6ZBMNFDPEQS hash:net family inet
add KUBE-SRC-GFEZP6ZBMNFDPEQS 10.9.0.0/16
create KUBE-CLUSTER-IPS hash:ip,port family inet
add KUBE-CLUSTER-IPS 10.9.0.1,tcp:80
create KUBE-6-ADMINS bitmap:port range 0-1023
";

/// Rules that an administrator puts between ours: chain, place, rule.
const BETWEEN: [(&str, &str, u8, &str); 5] = [
    ("filter", "FORWARD", 2, "-s 10.9.0.0/16"),
    ("filter", "FORWARD", 4, "-o lan0"),
    ("filter", "INPUT", 3, "-i lan0"),
    ("nat", "PREROUTING", 1, "-i lan1"),
    ("nat", "OUTPUT", 2, "-o lan1"),
];

fn restore(stage: &Stage, family: Family, rules: &str) {
    let command = stage
        .world
        .node()
        .command(family.restore_tool())
        .arg("--noflush");
    command.input(rules).text().unwrap();
}

/// What other programs have on the node.
#[derive(Debug)]
struct Theirs {
    state: ForeignState,
    /// Rules with an administrator's comment and their handles.
    handles: Vec<String>,
}

impl Theirs {
    fn on(stage: &Stage) -> Self {
        Self {
            state: ForeignState::take(stage.world.node()).unwrap(),
            handles: handles(stage),
        }
    }

    /// Fails unless everything is still the same.
    #[track_caller]
    fn survived(&self, stage: &Stage, what: &str) {
        let now = Self::on(stage);
        assert_eq!(
            self.state,
            now.state,
            "{what}: {}",
            self.state.changes(&now.state)
        );
        assert_eq!(self.handles, now.handles, "{what}: written anew");
    }
}

/// Rules with an administrator's comment, each with its handle where rules have any. The tool for iptables prints no
/// handles and the other one no comments, but both the same rules in the same order.
fn handles(stage: &Stage) -> Vec<String> {
    if Tables::of_this_kernel() == Tables::Legacy {
        let dumps = Family::ALL.map(|family| stage.dump(family).to_string());
        let lines = dumps.iter().flat_map(|dump| dump.lines());
        let theirs = lines.filter(|line| line.contains("admin: "));
        return theirs.map(str::to_owned).collect();
    }
    let list = stage
        .world
        .node()
        .command("nft")
        .args(["-a", "-j", "list", "ruleset"]);
    let list: Value = serde_json::from_str(&list.text().unwrap()).unwrap();
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in list["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|object| object.get("rule"))
    {
        let place = ["family", "table", "chain"].map(|key| rule[key].as_str().unwrap().to_owned());
        all.entry(place)
            .or_default()
            .push(rule["handle"].as_u64().unwrap());
    }
    let mut marked = Vec::new();
    for (family, name) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        for (table, chains) in stage.dump(family).tables {
            for (chain, content) in chains.chains {
                let handles = all
                    .remove(&[name.to_owned(), table.clone(), chain])
                    .unwrap_or_default();
                assert_eq!(handles.len(), content.rules.len(), "{:#?}", content.rules);
                let rules = content.rules.iter().zip(handles);
                let theirs = rules.filter(|(rule, _)| rule.contains("admin: "));
                marked
                    .extend(theirs.map(|(rule, handle)| format!("{name} {table} {handle} {rule}")));
            }
        }
    }
    marked
}

/// The order of all rules in the built-in chains, ours and theirs.
fn order(stage: &Stage) -> Vec<String> {
    let mut order = Vec::new();
    for family in Family::ALL {
        for (table, chains) in stage.dump(family).tables {
            let built_in = chains
                .chains
                .into_values()
                .filter(|chain| chain.policy.is_some());
            order.extend(
                built_in
                    .flat_map(|chain| chain.rules)
                    .map(|rule| format!("{table} {rule}")),
            );
        }
    }
    order
}

/// A node that others use as well.
fn inhabited() -> (Busy, Vec<Server>) {
    let busy = Busy::new(shared());
    let servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint)).into();
    busy.write_service();
    busy.write_endpoints(ENDPOINTS.map(ready));
    for family in Family::ALL {
        restore(&busy.stage, family, IPTABLES);
    }
    let node = busy.stage.world.node();
    if Tables::of_this_kernel() == Tables::Nft {
        let nft = node.command("nft").args(["-f", "-"]);
        nft.input(NFTABLES).text().unwrap();
    }
    if Mode::of_this_run() == Mode::Ipvs {
        let links = ["link add lan9 type dummy", "addr add 10.99.0.1/32 dev lan9"];
        node.ip(links).unwrap();
        for (tool, input) in [("ipvsadm -R", SERVERS), ("ipset restore", SETS)] {
            let (program, verb) = tool.split_once(' ').unwrap();
            node.command(program).arg(verb).input(input).text().unwrap();
        }
    }
    (busy, servers)
}

/// The administrator again, after us.
fn insert_between(stage: &Stage) {
    for family in Family::ALL {
        for (table, chain, place, what) in BETWEEN {
            let what = if family == Family::V6 {
                what.replace("10.9.0.0/16", "fd09::/16")
            } else {
                what.to_owned()
            };
            let at = match Mode::of_this_run() {
                Mode::Iptables | Mode::Ipvs => place,
                // None of ours are there.
                Mode::Nftables => 1,
            };
            let rule =
                format!("-I {chain} {at} {what} -m comment --comment \"admin: {place}\" -j RETURN");
            restore(stage, family, &format!("*{table}\n{rule}\nCOMMIT\n"));
        }
    }
}

#[track_caller]
fn works(stage: &Stage) {
    for target in CHANGING {
        let attempt = stage.world.outside().tcp(at(target)).unwrap();
        assert!(attempt.is_answered(), "{target} {attempt:?}");
    }
}

#[test]
fn apply_and_cleanup_leave_everything_foreign_as_it_is() {
    let (busy, _servers) = inhabited();
    let stage = &busy.stage;
    let theirs = Theirs::on(stage);
    assert_eq!(theirs.handles.len(), 2 * 12, "{:#?}", theirs.handles);
    stage.apply(CLUSTER_CIDR);
    theirs.survived(stage, "apply");
    works(stage);

    insert_between(stage);
    let (theirs, order_before) = (Theirs::on(stage), order(stage));
    assert_eq!(stage.apply(CLUSTER_CIDR), "nothing to change\n");
    theirs.survived(stage, "apply again");
    busy.write_endpoints([ready(ENDPOINTS[1])]);
    stage.apply(CLUSTER_CIDR);
    theirs.survived(stage, "apply of a change");
    assert_eq!(
        order(stage),
        order_before,
        "ours stay where they are among theirs"
    );
    works(stage);
    stage.cleanup();
    theirs.survived(stage, "cleanup");
}

#[test]
fn running_repairing_and_ending_leaves_everything_foreign_as_it_is() {
    let (busy, _servers) = inhabited();
    let stage = &busy.stage;
    let theirs = Theirs::on(stage);
    // In IPVS mode nobody tells of damage.
    let often = match Mode::of_this_run() {
        Mode::Iptables | Mode::Nftables => "",
        Mode::Ipvs => "--ipvs-sync-period 4s --ipvs-min-sync-period 0s",
    };
    let mut run = stage.run(&format!("{CLUSTER_CIDR} {often}"));
    theirs.survived(stage, "first sync");
    insert_between(stage);
    let (theirs, order_before) = (Theirs::on(stage), order(stage));

    busy.write_endpoints([ready(ENDPOINTS[0]), ready(ENDPOINTS[2])]);
    run.changed();
    theirs.survived(stage, "an endpoint gone");
    stage.remove("service.yaml");
    run.changed();
    theirs.survived(stage, "a service gone");
    busy.write_service();
    run.changed();
    theirs.survived(stage, "a service back");
    assert_eq!(
        order(stage),
        order_before,
        "ours stay where they are among theirs"
    );
    works(stage);

    match Mode::of_this_run() {
        Mode::Iptables => {
            for (what, damage) in DAMAGE {
                for family in Family::ALL {
                    restore(stage, family, damage);
                    repaired(&mut run, stage, &theirs, what);
                }
            }
        }
        Mode::Ipvs => {
            for (what, damage) in DAMAGE {
                let damage = damage.replace("KUBE-NODEPORTS", "KUBE-NODE-PORT");
                for family in Family::ALL {
                    let before = stage.state();
                    restore(stage, family, &damage);
                    put_right(stage, &before, &theirs, what);
                }
            }
        }
        Mode::Nftables => {
            for (what, damage) in NFT_DAMAGE {
                for family in ["ip", "ip6"] {
                    let nft = stage.world.node().command("nft").args(["-f", "-"]);
                    let damage = damage.replace("FAMILY", family);
                    nft.input(damage).text().unwrap();
                    repaired(&mut run, stage, &theirs, what);
                }
            }
        }
    }
    works(stage);
    run.terminate();
    theirs.survived(stage, "SIGTERM");
    stage.cleanup();
    theirs.survived(stage, "cleanup");
}

/// What somebody does to our tables, as input of nft.
const NFT_DAMAGE: [(&str, &str); 5] = [
    ("a set flushed", "flush set FAMILY viprule services"),
    ("a map flushed", "flush map FAMILY viprule endpoints"),
    ("a chain flushed", "flush chain FAMILY viprule services"),
    ("a rule too many", "insert rule FAMILY viprule pick drop"),
    (
        "a base chain gone",
        "delete chain FAMILY viprule nat-prerouting",
    ),
];

/// What somebody does to our rules, as input of the restore tool.
const DAMAGE: [(&str, &str); 4] = [
    ("a chain flushed", "*nat\n-F KUBE-SERVICES\nCOMMIT\n"),
    (
        "a jump gone",
        "*filter\n-D FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\nCOMMIT\n",
    ),
    (
        "a rule too many",
        "*nat\n-I KUBE-NODEPORTS -p tcp -m tcp --dport 30079 -j RETURN\nCOMMIT\n",
    ),
    (
        "a jump gone and a chain flushed",
        "*nat\n-D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -F KUBE-MARK-MASQ\nCOMMIT\n",
    ),
];

#[track_caller]
fn repaired(run: &mut Run, stage: &Stage, theirs: &Theirs, what: &str) {
    let outcome = run.expect("repair: ");
    assert_ne!(outcome.counts(), [0; 3], "{what}: {outcome:?}");
    stage.assert_in_sync(CLUSTER_CIDR);
    theirs.survived(stage, what);
}

/// Both families have many lines in common, so each counts as often as it is there.
fn sorted_lines(state: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = state.lines().collect();
    lines.sort_unstable();
    lines
}

/// The same in IPVS mode, whoever noticed. A jump may come back to another place among theirs.
#[track_caller]
fn put_right(stage: &Stage, before: &str, theirs: &Theirs, what: &str) {
    let start = Instant::now();
    while sorted_lines(&stage.state()) != sorted_lines(before) {
        assert!(start.elapsed() < LIMIT, "{what}: {}", stage.state());
        sleep(Duration::from_millis(50));
    }
    stage.assert_in_sync(CLUSTER_CIDR);
    theirs.survived(stage, what);
}
