//! Somebody who always writes back.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Position, Transaction};
use nfnetlink::xtables::Rule;

use crate::support::{LIMIT, Place};

/// What the agent says before a pause.
const REPORT: &str = "look for a second service proxy";

/// Empties `KUBE-SERVICES` in one commit, and puts a rule of its own there.
fn rewrite(socket: &mut Socket) {
    let chain = ChainId {
        family: Family::Ipv4,
        table: "nat",
        name: "KUBE-SERVICES",
    };
    let rule = Rule::new(Family::Ipv4);
    let mut transaction = Transaction::<()>::new();
    transaction.flush_chain(chain);
    transaction.new_rule(chain, Position::End, false, |attrs| rule.encode(attrs));
    transaction.commit(socket).unwrap();
}

#[test]
fn a_second_proxy_is_reported_and_not_fought_in_a_busy_loop() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let mut socket = place
        .namespace
        .run(|| Socket::open(NETFILTER))
        .unwrap()
        .unwrap();
    let (stop, writes) = (AtomicBool::new(false), AtomicU32::new(0));
    let generation = place.generation();
    let (ours, reports, lines) = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rewrite(&mut socket);
                writes.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut told = agent.wait_for_line_after(0, REPORT, LIMIT);
        let before = (place.generation(), writes.load(Ordering::Relaxed));
        // Each tells of a pause twice as long as the one before.
        for _ in 0..3 {
            told =
                told.and_then(|(number, _)| agent.wait_for_line_after(number + 1, REPORT, LIMIT));
        }
        let lines = agent.lines();
        let theirs = writes.load(Ordering::Relaxed) - before.1;
        let ours = (place.generation() - before.0).saturating_sub(theirs);
        stop.store(true, Ordering::Relaxed);
        told.unwrap();
        let reports = lines.iter().filter(|line| line.contains(REPORT)).count();
        (ours, reports, lines.len())
    });
    assert!(place.generation() - generation > 20, "nobody fought");
    // One for each pause, however long all of it took, and what came between two questions.
    let ours = usize::try_from(ours).unwrap();
    assert!(ours <= reports + 2, "{ours} transactions, {reports} pauses");
    assert!(lines < 300, "{lines} lines of log");

    // Once the other one is gone, everything gets right.
    place.wait_for_sync();
    agent.terminate(LIMIT).unwrap();
}
