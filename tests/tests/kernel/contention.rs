//! Somebody who always writes back.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Position, Transaction};
use nfnetlink::xtables::Rule;

use crate::support::{PATIENCE, Place, SOON};

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

/// Processor time of a process so far, in 1/100 s (proc(5), `utime` and `stime`).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
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
    let (ours, used, lines) = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rewrite(&mut socket);
                writes.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let reported = agent.wait_for_line("look for a second service proxy", PATIENCE);
        let before = (
            place.generation(),
            writes.load(Ordering::Relaxed),
            ticks(agent.pid()),
        );
        thread::sleep(SOON * 3);
        let theirs = writes.load(Ordering::Relaxed) - before.1;
        let ours = (place.generation() - before.0).saturating_sub(theirs);
        let used = ticks(agent.pid()) - before.2;
        stop.store(true, Ordering::Relaxed);
        reported.unwrap();
        (ours, used, agent.lines().len())
    });
    assert!(place.generation() - generation > 100, "nobody fought");
    assert!(ours < 60, "{ours} transactions in three seconds");
    assert!(used < 100, "{used} of 300 ticks of processor time");
    assert!(lines < 300, "{lines} lines of log");

    // Once the other one is gone, everything gets right.
    place.wait_for_sync(PATIENCE);
    agent.terminate(PATIENCE).unwrap();
}
