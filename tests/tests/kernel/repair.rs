//! The agent puts right what others change, and tells who it was.

use viprule_testkit::agent::Agent;

use crate::support::{LIMIT, Place, chain_of, ordered};

/// Somebody does something; the agent puts it right and says who did it.
#[track_caller]
fn repaired(place: &Place, agent: &mut Agent, lines: &[&str]) {
    let before = place.dump().map(ordered);
    let told = agent.lines().len();
    for line in lines {
        place.tool(line);
    }
    let what = format!("repair after {lines:?}");
    agent
        .wait_until(&what, LIMIT, || place.dump().map(ordered) == before)
        .unwrap();
    place.wait_for_sync();
    let program = lines[0].split(' ').next().unwrap();
    let (_, line) = agent
        .wait_for_line_after(told, "another program changed our rules", LIMIT)
        .unwrap();
    assert!(line.contains(&format!("by=\"{program} (")), "{line}");
}

#[test]
fn single_changes_are_put_right() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let services = place.rules("nat", "KUBE-SERVICES");
    let chain = chain_of(&services, "shop/b:http cluster IP");
    for lines in [
        &[format!("iptables-nft -t nat -F {chain}")][..],
        &[format!(
            "iptables-nft -t nat -I {chain} -s 192.0.2.1 -j ACCEPT"
        )],
        &["iptables-nft -t nat -I KUBE-SERVICES -s 192.0.2.1 -j ACCEPT".to_owned()],
        &["iptables-nft -D INPUT 3".to_owned()],
        &["iptables-nft -F KUBE-FIREWALL".to_owned()],
        &["ip6tables-nft -t nat -F KUBE-POSTROUTING".to_owned()],
        &["iptables-nft -t mangle -X KUBE-PROXY-CANARY".to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        repaired(&place, &mut agent, &lines);
    }
}

#[test]
fn flushes_are_put_right() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    repaired(&place, &mut agent, &["iptables-nft -F -t nat"]);
    repaired(&place, &mut agent, &["iptables-nft -F"]);
    repaired(&place, &mut agent, &["nft flush ruleset"]);
    repaired(&place, &mut agent, &["nft delete table ip6 filter"]);
}

#[test]
fn a_rule_behind_the_node_ports_rule_gets_before_it() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let services = place.rules("nat", "KUBE-SERVICES");
    let rule = services
        .iter()
        .find(|rule| rule.contains("shop/d:http"))
        .unwrap();
    let spec = rule.strip_prefix("-A ").unwrap();
    let move_it = format!("*nat\n-D {spec}\n-A {spec}\nCOMMIT\n");
    let told = agent.lines().len();
    place
        .namespace
        .command("iptables-nft-restore")
        .args(["--noflush"])
        .input(move_it)
        .text()
        .unwrap();
    agent
        .wait_until("the node ports rule to be last", LIMIT, || {
            let rules = place.rules("nat", "KUBE-SERVICES");
            rules.len() == services.len() && rules.last() == services.last()
        })
        .unwrap();
    agent
        .wait_for_line_after(told, "by=\"iptables-nft-re (", LIMIT)
        .unwrap();
    place.wait_for_sync();
}

#[test]
fn many_copies_of_a_rule_go_at_once() {
    const COPIES: usize = 300;
    let place = Place::small();
    let mut agent = place.run(&[]);
    let services = place.rules("nat", "KUBE-SERVICES");
    // One that may stand anywhere before the node ports rule, and that one, which then stands before
    // others.
    for rule in [&services[0], &services[services.len() - 1]] {
        let spec = rule.strip_prefix("-A ").unwrap();
        let copies = format!("-I {spec}\n").repeat(COPIES);
        place
            .namespace
            .command("iptables-nft-restore")
            .args(["--noflush"])
            .input(format!("*nat\n{copies}COMMIT\n"))
            .text()
            .unwrap();
        agent
            .wait_until("one of each rule", LIMIT, || {
                place.rules("nat", "KUBE-SERVICES") == services
            })
            .unwrap();
        place.wait_for_sync();
    }
}

#[test]
fn our_jumps_keep_their_order_between_foreign_rules() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    for (number, position) in [(1, 5), (2, 3), (3, 2), (4, 1)] {
        let rule = format!("iptables-nft -I FORWARD {position} -s 192.0.2.{number} -j ACCEPT");
        place.tool(&rule);
    }
    let before = place.rules("filter", "FORWARD");
    let is_ours = |rule: &&String| rule.contains("-j KUBE-");
    let of = |rules: &[String], ours: bool| -> Vec<String> {
        let chosen = rules.iter().filter(|rule| is_ours(rule) == ours);
        chosen.cloned().collect()
    };
    assert_eq!((of(&before, true).len(), of(&before, false).len()), (4, 4));
    for lost in [
        "KUBE-FORWARD",
        "KUBE-PROXY-FIREWALL",
        "KUBE-EXTERNAL-SERVICES",
    ] {
        let rules = place.rules("filter", "FORWARD");
        let at = rules.iter().position(|rule| rule.ends_with(lost)).unwrap() + 1;
        place.tool(&format!("iptables-nft -D FORWARD {at}"));
        agent
            .wait_until(lost, LIMIT, || {
                place.rules("filter", "FORWARD").len() == before.len()
            })
            .unwrap();
        let after = place.rules("filter", "FORWARD");
        assert_eq!(of(&after, true), of(&before, true), "{after:#?}");
        assert_eq!(of(&after, false), of(&before, false), "{after:#?}");
    }
}

#[test]
fn commits_elsewhere_cause_no_transaction() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let generation = place.generation();
    let mut commits = 0;
    for line in [
        "nft add table inet other",
        "nft add chain inet other in { type filter hook input priority 0 ; }",
        "iptables-nft -A INPUT -s 192.0.2.1 -j ACCEPT",
        "iptables-nft -t nat -N CNI-OTHER",
        "iptables-nft -t nat -A KUBE-FIREWALL-2 -j ACCEPT",
        "iptables-nft -A KUBE-FIREWALL -s 192.0.2.1 -j ACCEPT",
        "nft delete table inet other",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let command = place.namespace.command(words[0]);
        let done = command.args(&words[1..]).output().unwrap().status.success();
        assert_eq!(done, !line.contains("KUBE-FIREWALL-2"), "{line}");
        commits += u32::from(done);
    }
    // A change of ours comes behind everything that the agent may have thought of.
    place.write("b", 2, &["10.244.9.9"]);
    agent
        .wait_for_line("changed: service shop/b", LIMIT)
        .unwrap();
    assert_eq!(place.generation(), generation + commits + 1);
    assert!(
        !agent
            .lines()
            .iter()
            .any(|line| line.contains("another program"))
    );
    place.assert_in_sync();
}
