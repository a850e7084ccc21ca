//! A table for Services as large as they come: sets for frontends by the size of their rows, and
//! chains that draw an endpoint.

use std::time::Duration;

use ipnet::IpNet;
use nfnetlink::Family::{self, Ipv4, Ipv6};
use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{
    Base, ChainKind, ChainListing, CtKey, DataType, DynsetOperation, Hash, Listing, MetaKey,
    NatFlags, NatKind, NatTo, Numgen, Operand, Reject, Relation, Rule, Set, SetFlags, SetListing,
    Statement, Term, Transport, Value, Verdict,
};

const MARK: u32 = 0x4000;
const STICKY: &str = "sticky-10800";
const MAGLEV: [u32; 3] = [251, 1021, 4093];

fn key() -> Vec<Term> {
    [vec![Term::DestinationAddress], node_key()].concat()
}

fn node_key() -> Vec<Term> {
    let port = Term::DestinationPort(Transport::Any);
    vec![Term::Meta(MetaKey::L4Proto), port]
}

fn with(mut key: Vec<Term>, term: Term) -> Vec<Term> {
    key.push(term);
    key
}

fn in_set(key: &[Term], set: &str) -> Statement {
    Statement::InSet {
        key: key.to_vec(),
        set: set.into(),
        not: false,
    }
}

fn goto(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Goto(chain.into()))
}

fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.into()))
}

fn set_mark(bits: fn(Term, u32) -> Operand) -> Statement {
    Statement::SetMeta {
        key: MetaKey::Mark,
        to: bits(Term::Meta(MetaKey::Mark), MARK),
    }
}

fn compare(term: Term, relation: Relation, value: impl Into<Value>) -> Statement {
    Statement::Compare {
        term,
        mask: None,
        relation,
        value: value.into(),
    }
}

fn flag(key: CtKey, bits: u32) -> Statement {
    Statement::Compare {
        term: Term::Ct(key),
        mask: Some(bits.into()),
        relation: Relation::Ne,
        value: 0u32.into(),
    }
}

fn dnat(key: Vec<Term>, map: &str) -> Rule {
    Rule::new([Statement::Nat {
        kind: NatKind::Destination,
        to: NatTo::Map {
            key,
            map: map.into(),
            with_port: true,
        },
        flags: NatFlags::default(),
    }])
}

fn random(modulus: u32) -> Term {
    Term::Numgen(Numgen::random(modulus))
}

fn sizes(last: u32) -> impl Iterator<Item = u32> + Clone {
    (0..)
        .map(|bits| 1 << bits)
        .take_while(move |size| *size <= last)
}

/// What is drawn of a row: its size eight times, half of it, and slot 0.
fn draws(size: u32) -> Vec<u32> {
    let mut draws = if size > 1 { vec![size; 8] } else { Vec::new() };
    draws.extend((size > 2).then_some(size / 2));
    draws.push(1);
    draws
}

struct Foundation {
    family: Family,
    sets: Vec<Set>,
    chains: Vec<ChainListing>,
}

/// The table; rows have up to `largest` slots.
pub(crate) fn foundation(family: Family, largest: u32) -> Listing {
    let Foundation { sets, chains, .. } = Foundation::new(family, largest);
    let mut listing = Listing::new(family, "viprule");
    let empty = |set| SetListing {
        set,
        elements: Vec::new(),
    };
    listing.sets = sets.into_iter().map(empty).collect();
    listing.chains = chains;
    listing
}

impl Foundation {
    fn new(family: Family, largest: u32) -> Self {
        let mut foundation = Self {
            family,
            sets: Vec::new(),
            chains: Vec::new(),
        };
        for node in [false, true] {
            foundation.sets_of_rows(node, largest);
        }
        foundation.other_sets();
        for node in [false, true] {
            for local in [false, true] {
                foundation.rows(node, local, if local { largest / 8 } else { largest });
            }
            foundation.service(node);
        }
        foundation.filters();
        foundation.bases();
        foundation
    }

    fn address(&self) -> DataType {
        Term::SourceAddress.data_type(self.family)
    }

    fn key_types(&self, node: bool) -> Vec<DataType> {
        let node_key = [DataType::InetProto, DataType::InetService];
        if node {
            node_key.to_vec()
        } else {
            [&[self.address()][..], &node_key].concat()
        }
    }

    fn chain(&mut self, name: impl Into<String>, rules: impl Into<Vec<Rule>>) {
        self.chains.push(ChainListing {
            name: name.into().into(),
            base: None,
            comment: None,
            rules: rules.into(),
        });
    }

    fn base(&mut self, name: &str, kind: ChainKind, hook: Hook, priority: i32, rules: Vec<Rule>) {
        self.chain(name, rules);
        let base = Base::accepting(kind, hook, priority);
        self.chains.last_mut().unwrap().base = Some(base);
    }

    fn bases(&mut self) {
        let new = |chain: &str| vec![Rule::new([flag(CtKey::State, 8), goto(chain)])];
        let services = || vec![Rule::new([goto("services")])];
        let marked = Statement::Compare {
            term: Term::Meta(MetaKey::Mark),
            mask: Some(MARK.into()),
            relation: Relation::Ne,
            value: 0u32.into(),
        };
        let masquerade = goto("masquerading");
        let unmark = set_mark(Operand::turning_bits);
        let addresses = [Term::SourceAddress, Term::DestinationAddress];
        let hairpin = in_set(&[addresses.to_vec(), node_key()].concat(), "hairpin");
        let translated = flag(CtKey::Status, 32);
        let postrouting = vec![
            Rule::new([marked, unmark, masquerade.clone()]),
            Rule::new([translated, hairpin, masquerade]),
        ];
        let (filter, nat) = (ChainKind::Filter, ChainKind::Nat);
        self.base("nat-prerouting", nat, Hook::Prerouting, -100, services());
        self.base("nat-output", nat, Hook::Output, -100, services());
        self.base(
            "filter-prerouting",
            filter,
            Hook::Prerouting,
            -110,
            new("firewall"),
        );
        self.base(
            "filter-output-early",
            filter,
            Hook::Output,
            -110,
            new("firewall"),
        );
        self.base("filter-input", filter, Hook::Input, 0, new("check-in"));
        self.base(
            "filter-forward",
            filter,
            Hook::Forward,
            0,
            new("check-away"),
        );
        self.base("filter-output", filter, Hook::Output, 0, new("check-away"));
        self.base("nat-postrouting", nat, Hook::Postrouting, 100, postrouting);
    }

    fn sets_of_rows(&mut self, node: bool, largest: u32) {
        let (prefix, key, types) = of_node(node, self.key_types(node));
        let mut add = |name: &str| {
            let set = Set::of_types(format!("{prefix}{name}"), types.clone());
            self.sets.push(if name == "services" {
                set.counting()
            } else {
                set
            });
        };
        add("services");
        for size in sizes(largest) {
            add(&format!("size-{size}"));
        }
        for size in sizes(largest / 8) {
            add(&format!("local-size-{size}"));
        }
        for name in [
            "local-frontends",
            STICKY,
            "rejected-frontends",
            "dropped-frontends",
        ] {
            add(name);
        }
        for modulus in MAGLEV {
            add(&format!("maglev-{modulus}"));
        }
        let endpoint = [
            Term::DestinationAddress,
            Term::DestinationPort(Transport::Any),
        ];
        let id = Term::Meta(MetaKey::Priority);
        for local in ["", "local-"] {
            let mut map = |name: &str, last: Term, data: &[Term]| {
                let name = format!("{prefix}{local}{name}");
                let key = with(key.clone(), last);
                self.sets.push(Set::map_of(name, key, data.to_vec()));
            };
            map("endpoints", random(2), &endpoint);
            map("sticky-slots", random(2), std::slice::from_ref(&id));
            map("sticky-endpoints", id.clone(), &endpoint);
        }
    }

    fn other_sets(&mut self) {
        let address = self.address();
        let mut affinity = Set::map_of(
            "affinity",
            match self.family {
                Ipv4 => self.affinity(),
                Ipv6 => [vec![random(2), random(2)], node_key()].concat(),
            },
            [Term::Meta(MetaKey::Priority)],
        );
        affinity.size = Some(65536);
        affinity.flags = SetFlags::DYNAMIC.with(SetFlags::TIMEOUT);
        self.sets.push(affinity);
        let service = [address, DataType::InetProto, DataType::InetService];
        self.sets
            .push(Set::of_types("restricted-frontends", service));
        for protocol in ["tcp", "udp", "sctp"] {
            let allowed = [address, DataType::InetService, address];
            let set = Set::of_types(format!("allowed-{protocol}"), allowed);
            self.sets.push(set.with_flags(SetFlags::INTERVAL));
        }
        let hairpin = [address, address, DataType::InetProto, DataType::InetService];
        self.sets.push(Set::of_types("hairpin", hairpin));
        for name in ["cluster-ips", "node-addresses"] {
            self.sets.push(Set::of_types(name, [address]));
        }
        let cidrs = Set::of_types("service-cidrs", [address]);
        self.sets.push(cidrs.with_flags(SetFlags::INTERVAL));
    }

    /// What a client is known by.
    fn affinity(&self) -> Vec<Term> {
        let hash = |of| {
            Term::Hash(Hash {
                of: vec![of],
                modulus: u32::MAX,
                seed: Some(1),
                offset: 0,
            })
        };
        let addresses = [Term::SourceAddress, Term::DestinationAddress];
        let addresses = match self.family {
            Ipv4 => addresses,
            Ipv6 => addresses.map(hash),
        };
        [addresses.to_vec(), node_key()].concat()
    }

    fn rows(&mut self, node: bool, local: bool, largest: u32) {
        let (prefix, key, _) = of_node(node, Vec::new());
        let row = format!("{prefix}{}", if local { "local-" } else { "" });
        let (endpoints, slots) = (format!("{row}endpoints"), format!("{row}sticky-slots"));
        let id = Term::Meta(MetaKey::Priority);
        let affinity = |operation, timeout| Statement::Dynset {
            operation,
            set: "affinity".into(),
            key: self.affinity(),
            data: Some(id.clone()),
            timeout,
            counter: false,
        };
        let forget = affinity(DynsetOperation::Delete, None);
        let keep = affinity(DynsetOperation::Update, Some(Duration::from_secs(10800)));
        let set_id = |key: Vec<Term>, map: &str| Statement::SetMeta {
            key: MetaKey::Priority,
            to: Operand::Map {
                key,
                map: map.into(),
            },
        };
        let known = set_id(self.affinity(), "affinity");
        for size in sizes(largest) {
            let picks = draws(size)
                .into_iter()
                .map(|of| dnat(with(key.clone(), random(of)), &endpoints));
            let picks: Vec<_> = picks.collect();
            self.chain(format!("{row}pick-{size}"), picks);
            let draw = |of| {
                let slot = with(key.clone(), random(of));
                let end = Statement::Verdict(Verdict::Return);
                Rule::new([set_id(slot, &slots), forget.clone(), end])
            };
            let all: Vec<_> = draws(size).into_iter().map(draw).collect();
            self.chain(format!("{row}draw-{size}"), all);
        }
        let by_size = |what: &str| {
            let rule = |size: u32| {
                let set = in_set(&key, &format!("{row}size-{size}"));
                Rule::new([set, goto(&format!("{row}{what}-{size}"))])
            };
            sizes(largest).map(rule).collect::<Vec<_>>()
        };
        self.chain(format!("{row}draw"), by_size("draw"));
        let translate = dnat(
            with(key.clone(), id.clone()),
            &format!("{row}sticky-endpoints"),
        );
        let draw = Rule::new([jump(&format!("{row}draw"))]);
        let first = [vec![known, keep.clone()], translate.statements.clone()].concat();
        let sticky = [
            Rule::new(first),
            draw.clone(),
            Rule::new([keep]),
            translate.clone(),
            draw,
            translate,
        ];
        self.chain(format!("{row}{STICKY}"), sticky);
        let sticky = in_set(&key, &format!("{prefix}{STICKY}"));
        let mut pick = vec![Rule::new([sticky, goto(&format!("{row}{STICKY}"))])];
        for modulus in MAGLEV {
            let hash = Term::Hash(Hash {
                of: vec![Term::SourceAddress],
                modulus,
                seed: Some(0x1234),
                offset: 0,
            });
            let mut rule = dnat(with(key.clone(), hash), &endpoints);
            let set = in_set(&key, &format!("{prefix}maglev-{modulus}"));
            rule.statements.insert(0, set);
            pick.push(rule);
        }
        pick.extend(by_size("pick"));
        self.chain(format!("{row}pick"), pick);
    }

    fn pods(&self, not: bool) -> Statement {
        let network: IpNet = match self.family {
            Ipv4 => "10.244.0.0/16",
            Ipv6 => "fd00:10:244::/56",
        }
        .parse()
        .unwrap();
        Statement::Address {
            destination: false,
            not,
            network,
        }
    }

    fn service(&mut self, node: bool) {
        let (prefix, key, _) = of_node(node, Vec::new());
        let pick = goto(&format!("{prefix}pick"));
        let here = compare(Term::SourceType, Relation::Eq, 2u32);
        let masquerade = set_mark(Operand::with_bits);
        let local = [
            Rule::new([self.pods(false), pick.clone()]),
            Rule::new([here, masquerade.clone(), pick.clone()]),
            Rule::new([goto(&format!("{prefix}local-pick"))]),
        ];
        self.chain(format!("{prefix}local"), local);
        let mut service = Vec::new();
        if !node {
            let cluster = [
                Rule::new([self.pods(true), masquerade.clone()]),
                Rule::new([pick.clone()]),
            ];
            self.chain("cluster", cluster);
            let cluster = in_set(&[Term::DestinationAddress], "cluster-ips");
            service.push(Rule::new([cluster, goto("cluster")]));
        }
        let local = in_set(&key, &format!("{prefix}local-frontends"));
        service.push(Rule::new([local, goto(&format!("{prefix}local"))]));
        service.push(Rule::new([masquerade, pick]));
        self.chain(format!("{prefix}service"), service);
    }

    fn filters(&mut self) {
        let (key, node_key, daddr) = (key(), node_key(), [Term::DestinationAddress]);
        let node = in_set(&daddr, "node-addresses");
        let drop = || Statement::Verdict(Verdict::Drop);
        let reject = || Statement::Reject(Reject::port_unreachable(self.family));
        let priority = || Term::Meta(MetaKey::Priority);
        let of_node = |set: &str, then| Rule::new([node.clone(), in_set(&node_key, set), then]);
        let of_all = |set: &str, then| Rule::new([in_set(&key, set), then]);
        let services = [
            of_all("services", goto("service")),
            of_node("node-services", goto("node-service")),
        ];
        let translated = Rule::new([
            compare(priority(), Relation::Ge, 0x8000_0000u32),
            Statement::SetMeta {
                key: MetaKey::Priority,
                to: Operand::Value(0u32.into()),
            },
        ]);
        let mut restricted: Vec<_> = [
            ("tcp", Transport::Tcp),
            ("udp", Transport::Udp),
            ("sctp", Transport::Sctp),
        ]
        .map(|(name, transport)| {
            let port = Term::DestinationPort(transport);
            let key = [Term::DestinationAddress, port, Term::SourceAddress];
            let set = in_set(&key, &format!("allowed-{name}"));
            Rule::new([set, Statement::Verdict(Verdict::Accept)])
        })
        .into();
        restricted.push(Rule::new([drop()]));
        let is_translated = Rule::new([flag(CtKey::Status, 32), goto("translated")]);
        let both = [
            is_translated,
            of_all("dropped-frontends", drop()),
            of_all("rejected-frontends", reject()),
        ];
        let mut away = both.to_vec();
        away.push(Rule::new([in_set(&daddr, "cluster-ips"), reject()]));
        away.push(Rule::new([in_set(&daddr, "service-cidrs"), drop()]));
        let mut check_in = both.to_vec();
        check_in.push(of_node("node-dropped-frontends", drop()));
        check_in.push(of_node("node-rejected-frontends", reject()));
        let firewall = [of_all("restricted-frontends", goto("restricted"))];
        let masquerade = Rule::new([Statement::Masquerade {
            ports: None,
            flags: NatFlags::FULLY_RANDOM,
        }]);
        self.chain("services", services);
        self.chain("translated", [translated]);
        self.chain("restricted", restricted);
        self.chain("firewall", firewall);
        self.chain("check-away", away);
        self.chain("check-in", check_in);
        self.chain("masquerading", [masquerade]);
    }
}

fn of_node(node: bool, types: Vec<DataType>) -> (&'static str, Vec<Term>, Vec<DataType>) {
    if node {
        ("node-", node_key(), types)
    } else {
        ("", key(), types)
    }
}
