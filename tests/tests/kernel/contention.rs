//! Somebody who always writes back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Position, Transaction};
use nfnetlink::xtables::Rule;

use crate::support::{LIMIT, Place};

/// What the agent says before a pause.
const REPORT: &str = "look for a second service proxy";
/// The first pause of a fight.
const FIRST: &str = "pause=250ms";
/// Repairs before it.
const PATIENCE: usize = 10;

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
    let (stop, writes) = (AtomicBool::new(false), Mutex::new(0));
    // Commits so far, and those of the rival among them.
    let commits = || {
        let writes = writes.lock().unwrap();
        (place.generation(), *writes)
    };
    let generation = place.generation();
    let (ours, reports, lines) = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut writes = writes.lock().unwrap();
                rewrite(&mut socket);
                *writes += 1;
                drop(writes);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut told = agent.wait_for_line_after(0, REPORT, LIMIT);
        let before = commits();
        // Each tells of a pause twice as long as the one before.
        for _ in 0..3 {
            told =
                told.and_then(|(number, _)| agent.wait_for_line_after(number + 1, REPORT, LIMIT));
        }
        let after = commits();
        let ours = (after.0 - before.0) - (after.1 - before.1);
        // Later, so that they tell of all but the last of those.
        let lines = agent.lines();
        stop.store(true, Ordering::Relaxed);
        told.unwrap();
        let reports: Vec<String> = lines
            .iter()
            .filter(|line| line.contains(REPORT))
            .cloned()
            .collect();
        (ours, reports, lines.len())
    });
    assert!(place.generation() - generation > 20, "nobody fought");
    // One for each pause, however long all of it took, and what came between two questions. A
    // machine that needs more than a second for a repair begins another fight.
    let ours = usize::try_from(ours).unwrap();
    let fights = reports.iter().filter(|line| line.contains(FIRST)).count();
    let allowed = reports.len() + 2 + PATIENCE * (fights - 1);
    assert!(ours <= allowed, "{ours} transactions, {reports:#?}");
    assert!(lines < 300 * fights, "{lines} lines of log, {reports:#?}");

    // Once the other one is gone, everything gets right.
    place.wait_for_sync();
    agent.terminate(LIMIT).unwrap();
}
