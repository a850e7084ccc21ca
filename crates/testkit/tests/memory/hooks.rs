//! What can be made to happen beside the agent and to its messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ipvs_netlink::{Destination, DestinationId, Ipvs, Protocol, Scheduler, Server, ServerId};

use netlink_batch::{Errno, Socket};
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{
    ChainId, CommitError, Event, GROUP, Object, Position, Transaction, generation, rules,
};
use nfnetlink::xtables::Rule;
use viprule_testkit::memory::{Fate, Hooks, MemoryKernel, Program, Ruleset, Sent};

use crate::worlds::open;

const CHAIN: ChainId<'_> = ChainId {
    family: Ipv4,
    table: "nat",
    name: "KUBE-A",
};

fn begin(pin: Option<u32>) -> Transaction<u32> {
    let mut transaction = Transaction::new();
    transaction.begin(pin);
    transaction.tag(7);
    transaction.new_table(Ipv4, CHAIN.table);
    transaction.ensure_chain(CHAIN);
    transaction.new_rule(CHAIN, Position::End, true, |attrs| {
        Rule::parse(Ipv4, "-d 10.1.0.1/32 -j DROP")
            .unwrap()
            .encode(attrs);
    });
    transaction
}

/// The next datagrams' fates; other programs' commits before each; what was committed.
#[derive(Default)]
struct Scripted {
    fates: Vec<Fate>,
    rival: Option<Program>,
    between: Option<Program>,
    seen: Arc<Mutex<Vec<(u32, u32)>>>,
}

impl Hooks for Scripted {
    fn before_send(&mut self, _: &MemoryKernel, sent: &Sent<'_>) -> Fate {
        if !sent.is_batch() {
            return Fate::Handled;
        }
        if let Some(rival) = self.rival.take() {
            rival.flush(CHAIN).unwrap();
        }
        if self.fates.is_empty() {
            Fate::Handled
        } else {
            self.fates.remove(0)
        }
    }

    fn between_datagrams(&mut self, _: &MemoryKernel) {
        if let Some(program) = self.between.take() {
            let chain = ChainId {
                table: "rival",
                ..CHAIN
            };
            program.append_to(chain).unwrap();
        }
    }

    fn committed(&mut self, _: &MemoryKernel, before: &Ruleset, after: &Ruleset) {
        let of = |ruleset: &Ruleset| {
            let chain = ruleset
                .table(2, "nat")
                .and_then(|table| table.chain("KUBE-A"));
            u32::try_from(chain.map_or(0, |chain| chain.rules().count())).unwrap()
        };
        self.seen.lock().unwrap().push((of(before), of(after)));
    }
}

#[test]
fn messages_meet_their_fates() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut socket = open();
    let seen = Arc::default();
    kernel.set_hooks(Scripted {
        fates: vec![
            Fate::NotSent(Errno::NOBUFS),
            Fate::Refused {
                errno: Errno::BUSY,
                message: 3,
            },
            Fate::Refused {
                errno: Errno::PERM,
                message: 0,
            },
            Fate::Refused {
                errno: Errno::NOMEM,
                message: 2,
            },
            Fate::AnswersLost,
            Fate::Handled,
        ],
        seen: Arc::clone(&seen),
        ..Scripted::default()
    });
    let mut commit = || begin(None).commit(&mut socket).map(|_| ());
    assert!(matches!(commit(), Err(CommitError::NotSent(_))));
    let Err(CommitError::Refused { refusals, .. }) = commit() else {
        panic!("refused");
    };
    assert_eq!((refusals[0].tag, refusals[0].errno), (Some(7), Errno::BUSY));
    assert!(matches!(commit(), Err(CommitError::NotSent(_))));
    let Err(CommitError::Refused { refusals, .. }) = commit() else {
        panic!("refused");
    };
    assert_eq!((refusals[0].tag, refusals[0].errno), (None, Errno::NOMEM));
    assert_eq!(kernel.ruleset().tables().count(), 0);
    assert!(matches!(commit(), Err(CommitError::Unknown)));
    commit().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, 1), (1, 2)]);
}

#[test]
fn a_rival_commits_between_our_question_and_our_commit() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let (mut socket, mut listener) = (open(), open());
    begin(None).commit(&mut socket).unwrap();
    listener.join(GROUP).unwrap();
    let now = generation(&mut socket).unwrap();
    let rival = kernel.program("kube-proxy", 4711);
    kernel.set_hooks(Scripted {
        rival: Some(rival),
        ..Scripted::default()
    });
    let result = begin(Some(now)).commit(&mut socket).map(|_| ());
    assert!(
        matches!(result, Err(CommitError::GenerationMoved)),
        "{result:?}"
    );
    let mut by = Vec::new();
    let heard = listener.receive(None, |message| {
        let event = Event::read(&message).unwrap().unwrap();
        if let Object::Generation(made) = event.object {
            by.push((
                made.id,
                made.process_id,
                made.process_name.unwrap().to_owned(),
            ));
        }
    });
    assert_eq!(heard.unwrap(), 2);
    assert_eq!(by, [(now + 1, Some(4711), "kube-proxy".to_owned())]);
}

#[test]
fn a_rival_commits_while_we_read() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut socket = open();
    let count =
        |socket: &mut Socket| rules(socket, CHAIN, |_| ()).map_err(|error| error.is_stale());
    for _ in 0..50 {
        begin(None).commit(&mut socket).unwrap();
    }
    kernel.set_hooks(Scripted {
        between: Some(kernel.program("nft", 1)),
        ..Scripted::default()
    });
    assert_eq!(count(&mut socket), Err(true));
    assert_eq!(count(&mut socket), Ok(()));
}

/// Loses the answers to everything once.
struct Loses(bool);

impl Hooks for Loses {
    fn before_send(&mut self, _: &MemoryKernel, _: &Sent<'_>) -> Fate {
        if std::mem::take(&mut self.0) {
            Fate::AnswersLost
        } else {
            Fate::Handled
        }
    }
}

#[test]
fn a_listing_of_which_a_part_was_lost_can_be_read_again() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut socket = open();
    for _ in 0..50 {
        begin(None).commit(&mut socket).unwrap();
    }
    kernel.set_hooks(Loses(true));
    let mut read = || {
        let mut count = 0;
        let result = rules(&mut socket, CHAIN, |_| count += 1);
        result.map(|()| count).map_err(|error| error.is_stale())
    };
    assert_eq!(read(), Err(true));
    assert_eq!(read(), Ok(50));
}

/// Counts virtual servers and destinations after each message; refuses the second message once.
struct Steps {
    refuses: bool,
    seen: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Hooks for Steps {
    fn before_send(&mut self, _: &MemoryKernel, sent: &Sent<'_>) -> Fate {
        if self.refuses && sent.messages().count() > 1 {
            self.refuses = false;
            return Fate::Refused {
                errno: Errno::NOMEM,
                message: 1,
            };
        }
        Fate::Handled
    }

    fn took_effect(&mut self, kernel: &MemoryKernel) {
        let servers = kernel.virtual_servers();
        let destinations = servers.values().map(BTreeMap::len).sum();
        self.seen
            .lock()
            .unwrap()
            .push((servers.len(), destinations));
    }
}

#[test]
fn virtual_servers_take_effect_one_by_one() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut ipvs = Ipvs::open().unwrap();
    let seen = Arc::default();
    kernel.set_hooks(Steps {
        refuses: true,
        seen: Arc::clone(&seen),
    });
    let server = ServerId::Address {
        address: [10, 1, 0, 1].into(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let destination = |number| DestinationId {
        address: [10, 244, 0, number].into(),
        port: 8080,
    };
    let mut requests = ipvs.requests::<u8>();
    let content = Server::new(Scheduler::RR, server.family());
    requests.new_server(&server, &content).unwrap();
    for number in 1..=2 {
        requests.tag(number);
        let content = Destination::masqueraded(1);
        let id = destination(number);
        requests.new_destination(&server, &id, &content).unwrap();
    }
    let answers = ipvs.send(&mut requests).unwrap();
    let refused: Vec<_> = answers
        .refusals
        .iter()
        .map(|it| (it.tag, it.errno))
        .collect();
    assert_eq!(refused, [(Some(1), Errno::NOMEM)]);
    assert_eq!(*seen.lock().unwrap(), [(1, 0), (1, 1)]);
    // Asking changes nothing.
    ipvs.servers(|_| {}).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}
