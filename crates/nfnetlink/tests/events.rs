//! Notifications of foreign and own commits.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::time::{Duration, Instant};

use common::{accept, in_netns, nat, open, prepare, run};
use netlink_batch::{Error, Socket};
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{
    Change, CommitError, Event, GROUP, Object, Position, Transaction, generation, wait_for_commit,
};

/// For what has to come; tests that pass never wait so long.
const LIMIT: Duration = Duration::from_secs(180);

/// What was told until `commits` generations were: object, and port of the writer.
fn listen(listener: &mut Socket, commits: usize) -> Vec<(String, u32)> {
    let mut told = Vec::new();
    let mut generations = 0;
    let start = Instant::now();
    while generations < commits {
        assert!(start.elapsed() < LIMIT, "only {told:?}");
        listener
            .receive(Some(LIMIT), |message| {
                let event = Event::read(&message).unwrap().unwrap();
                let sign = if event.change == Change::New {
                    '+'
                } else {
                    '-'
                };
                let text = match event.object {
                    Object::Table { table } => format!("{sign}table {table}"),
                    Object::Chain { table, chain } => format!("{sign}chain {table} {chain}"),
                    Object::Rule { table, chain, .. } => format!("{sign}rule {table} {chain}"),
                    Object::Other(kind) => format!("other {kind:#x}"),
                    Object::Generation(generation) => {
                        generations += 1;
                        assert!(generation.process_id.is_some_and(|id| id != 0));
                        format!("by {}", generation.process_name.unwrap())
                    }
                    other => panic!("{other:?}"),
                };
                told.push((text, event.port));
            })
            .unwrap();
    }
    told
}

#[test]
fn a_foreign_commit_is_told_with_its_process() {
    in_netns(|_| {
        let mut listener = open();
        listener.join(GROUP).unwrap();
        run("iptables-nft", &["-t", "nat", "-N", "KUBE-A"]);
        run("nft", &["add", "rule", "ip", "nat", "KUBE-A", "counter"]);
        run("nft", &["delete", "table", "ip", "nat"]);
        let told = listen(&mut listener, 3);
        let texts: Vec<_> = told.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "+table nat",
                "+chain nat KUBE-A",
                "by iptables-nft",
                "+rule nat KUBE-A",
                "by nft",
                "-rule nat KUBE-A",
                "-chain nat KUBE-A",
                "-table nat",
                "by nft",
            ]
        );
        assert!(told.iter().all(|(_, port)| *port != listener.port()));
    });
}

#[test]
fn own_commits_carry_the_port_of_the_writer() {
    in_netns(|writer| {
        let mut listener = open();
        listener.join(GROUP).unwrap();
        prepare(writer);
        let mut transaction = Transaction::new();
        transaction.tag(());
        transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
        assert_eq!(transaction.commit(writer).unwrap().echoes.len(), 1);
        let told = listen(&mut listener, 2);
        assert!(
            told.iter().all(|(_, port)| *port == writer.port()),
            "{told:?}"
        );
        assert!(
            told.iter().any(|(text, _)| text == "+rule nat A"),
            "{told:?}"
        );
    });
}

#[test]
fn what_a_listener_ignores_does_not_reach_it() {
    in_netns(|writer| {
        let mut listener = open();
        listener.ignore(writer.port()).unwrap();
        listener.join(GROUP).unwrap();
        let mut other = open();
        prepare(writer);
        for socket in [&mut *writer, &mut other] {
            let mut transaction = Transaction::<()>::new();
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
            transaction.commit(socket).unwrap();
        }
        // All that was told to anybody is there then.
        wait_for_commit(writer).unwrap();
        let mut told = Vec::new();
        while listener
            .receive(Some(Duration::ZERO), |message| told.push(message.port))
            .unwrap()
            > 0
        {}
        assert_eq!(told, [other.port(); 2], "a rule and the generation");
    });
}

/// What a transaction would have had to be read again for can be found out from notifications.
#[test]
fn a_transaction_that_came_too_late_can_be_sent_again() {
    in_netns(|writer| {
        prepare(writer);
        let mut transaction = Transaction::<()>::new();
        transaction.begin(Some(generation(writer).unwrap()));
        transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
        let length = transaction.len();
        run("nft", &["add", "table", "inet", "other"]);
        let error = transaction.commit(writer).unwrap_err();
        assert!(matches!(error, CommitError::GenerationMoved), "{error}");
        assert_eq!(transaction.len(), length);
        let now = generation(writer).unwrap();
        transaction.pin(now);
        let mut sent = false;
        let committed = transaction.commit_then(writer, || sent = true).unwrap();
        assert_eq!(committed.echoes.len(), 1);
        assert_eq!(committed.generation, Some(now + 1));
        assert!(sent && transaction.is_empty());
    });
}

#[test]
fn a_slow_listener_is_told_to_resync() {
    in_netns(|writer| {
        let mut listener = open();
        listener.allow_receive(4096).unwrap();
        listener.join(GROUP).unwrap();
        prepare(writer);
        let mut transaction = Transaction::<()>::new();
        for _ in 0..1000 {
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        }
        transaction.commit(writer).unwrap();
        let mut result = Ok(0);
        while result.is_ok() {
            result = listener.receive(Some(LIMIT), |_| ());
            assert_ne!(result.as_ref().ok(), Some(&0), "the loss was not told");
        }
        assert!(matches!(result, Err(Error::Resync)), "{result:?}");
        // The listener goes on.
        while listener.receive(Some(Duration::ZERO), |_| ()).unwrap() > 0 {}
        run("nft", &["flush", "chain", "ip", "nat", "OUTPUT"]);
        run("nft", &["delete", "chain", "ip", "nat", "OUTPUT"]);
        let told = listen(&mut listener, 1);
        assert_eq!(told[0].0, "-chain nat OUTPUT");
    });
}
