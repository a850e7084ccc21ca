//! Another program that commits all the time, in its own table or in ours at the worst moment.

use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Transaction, generation};
use viprule_testkit::agent::Agent;
use viprule_testkit::manifests::Bulk;
use viprule_testkit::rival::Rival;

use crate::support::{LIMIT, Place};

/// No timer helps.
const NEVER: &str = "--iptables-sync-period=24h";

fn flush(socket: &mut Socket) {
    let mut transaction = Transaction::<()>::new();
    transaction.flush_chain(ChainId {
        family: Family::Ipv4,
        table: "nat",
        name: "KUBE-SERVICES",
    });
    transaction.commit(socket).unwrap();
}

/// Fails where the agent gave up for a while, or read everything after its first lines.
#[track_caller]
fn assert_calm(agent: &Agent, first: usize) {
    let lines = agent.lines();
    let count = |lines: &[String], text: &str| {
        let told = lines.iter().filter(|line| line.contains(text));
        told.count()
    };
    for text in ["trying again", "retry:", "keeps changing"] {
        assert_eq!(count(&lines, text), 0, "{text}: {lines:#?}");
    }
    for text in ["looking at everything", "looking at the kernel"] {
        assert_eq!(count(&lines[first..], text), 0, "{text}: {lines:#?}");
    }
}

/// The second flush has its turn as soon as the commit that puts the first one right is done,
/// while the agent reads the kernel's answer to it.
#[test]
fn a_chain_flushed_right_behind_its_repair_is_repaired_again() {
    for _ in 0..3 {
        flush_behind_repairs(&Place::small());
    }
}

#[track_caller]
fn flush_behind_repairs(place: &Place) {
    // Somebody who never pauses is left alone after the tenth repair, and each of these asks for two.
    const ROUNDS: u32 = 4;
    let mut agent = place.run(&[NEVER]);
    let first = agent.lines().len();
    let before = place.rules("nat", "KUBE-SERVICES");
    assert!(!before.is_empty());
    let mut socket = place
        .namespace
        .run(|| Socket::open(NETFILTER))
        .unwrap()
        .unwrap();
    for _ in 0..ROUNDS {
        let told = agent.lines().len();
        // The flush and the repair are a commit each, and the repair may be done before we get to ask.
        let repaired = generation(&mut socket).unwrap() + 2;
        flush(&mut socket);
        let start = std::time::Instant::now();
        while generation(&mut socket).unwrap() < repaired {
            assert!(start.elapsed() < LIMIT, "the first flush was not repaired");
        }
        flush(&mut socket);
        agent
            .wait_until("the second repair", LIMIT, || {
                place.rules("nat", "KUBE-SERVICES") == before
            })
            .unwrap();
        agent
            .wait_for_line_after(told, "another program changed our rules", LIMIT)
            .unwrap();
    }
    place.wait_for_sync();
    let lines = agent.lines();
    let unnamed = lines.iter().filter(|line| line.contains("by=\"\""));
    assert_eq!(unnamed.count(), 0, "{lines:#?}");
    assert_calm(&agent, first);
    agent.terminate(LIMIT).unwrap();
}

/// Changes under a rival that waits so long between two commits.
#[track_caller]
fn changes_go_in(pause: Duration) {
    let place = Place::small();
    let rival = Rival::start(&place.namespace, pause).unwrap();
    let mut agent = place.start(&[NEVER]);
    // What is written may be a change, or go in along with a repair of what nobody heard.
    agent.wait_for_line(": base", LIMIT).unwrap();
    // Nobody listened during the first sync, which is large: all may have to be read again.
    place.write("b", 2, &["10.244.7.0"]);
    agent.wait_for_line(": service shop/b", LIMIT).unwrap();
    let first = agent.lines().len();
    for number in 1..=10 {
        let (told, commits) = (agent.lines().len(), rival.commits());
        place.write("b", 2, &[&format!("10.244.7.{number}")]);
        agent
            .wait_for_line_after(told, ": service shop/b", LIMIT)
            .unwrap();
        agent
            .wait_until("a commit elsewhere", LIMIT, || rival.commits() > commits)
            .unwrap();
    }
    place.write("late", 7, &["10.244.7.7"]);
    agent.wait_for_line(": service shop/late", LIMIT).unwrap();
    drop(rival);
    // What no agent hears in time is lost, however fast it is: it may read everything then.
    let first = if pause.is_zero() {
        agent.lines().len()
    } else {
        first
    };
    assert_calm(&agent, first);
    place.wait_for_sync();
    agent.terminate(LIMIT).unwrap();
}

#[test]
fn changes_go_in_beside_a_hundred_commits_a_second_elsewhere() {
    changes_go_in(Duration::from_millis(10));
}

#[test]
fn changes_go_in_beside_commits_without_a_pause_elsewhere() {
    changes_go_in(Duration::ZERO);
}

/// Lists and dumps take several answers each, and the rival's chain comes and goes between them.
#[test]
fn everything_is_read_beside_commits_without_a_pause_elsewhere() {
    let place = Place::empty();
    let pause = Duration::from_micros(100);
    // The kernel lists its table before ours.
    drop(Rival::start(&place.namespace, pause).unwrap());
    let file = place.folder.path().join("bulk.yaml");
    Bulk::new(1000, 2).write_file(&file).unwrap();
    let mut agent = place.run(&[NEVER]);
    agent.terminate(LIMIT).unwrap();
    let rival = Rival::start(&place.namespace, pause).unwrap();
    let before = place.generation();
    let mut again = place.start(&[NEVER]);
    again
        .wait_for_line("first sync: nothing to write", LIMIT)
        .unwrap();
    assert!(place.generation() - before > 10, "nobody was in the way");
    assert_calm(&again, again.lines().len());
    again.terminate(LIMIT).unwrap();
    drop(rival);
    assert!(place.dump()[0].rules("nat", "KUBE-SERVICES").len() > 1000);
}
