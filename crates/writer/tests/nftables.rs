//! nftables mode's tables in the kernel, each test in a network namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;

use nfnetlink::Family;
use viprule_dataplane::nftables::{
    Desired, Element, FrontendSet, Key, Nftables, Object, Piece, Set, SetName, Settings,
};
use viprule_dataplane::{Dataplane as _, Fingerprint, Scope, State, diff};
use viprule_service::model::{self, Service};
use viprule_service::plan::{Budgets, NodeFacts, PlanConfig, ServicePlan, plan_service};
use viprule_testkit::Namespace;
use viprule_testkit::netns::require_privileges;
use viprule_testkit::objects::{self, READY, endpoint, ip, slice};
use viprule_writer::nftables::NftablesWriter;
use viprule_writer::{ApplyError, Tag, Writer as _};

const BOTH: [Family; 2] = Family::ALL;

fn dataplane() -> Nftables {
    Nftables::new(Settings::default(), &NodeFacts::default())
}

fn plan(service: &Service, endpoints: &[&str]) -> ServicePlan {
    let of_family = |family| {
        let own = endpoints.iter().map(|address| ip(address));
        let own = own.filter(|address| model::Family::of(address) == family);
        let all = own.map(|address| endpoint(address, Some("here"), READY));
        slice(&service.id, family, all.collect())
    };
    let config = PlanConfig {
        node_name: "here".to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    };
    let slices = model::Family::ALL.map(of_family);
    plan_service(service, &slices, &config, &NodeFacts::default())
}

fn web() -> Service {
    let mut web = objects::service("web", &[ip("10.1.0.1"), ip("fd00:1::1")]);
    web.ports[0].node_port = 30_080;
    web
}

fn sticky() -> Service {
    let mut sticky = objects::service("sticky", &[ip("10.1.0.2")]);
    sticky.affinity_seconds = Some(60);
    sticky
}

fn desired(plans: &[ServicePlan]) -> Desired {
    let dataplane = dataplane();
    dataplane.desired(plans.iter().map(|plan| dataplane.service(plan)))
}

fn open(name: &str) -> (Namespace, NftablesWriter) {
    require_privileges().unwrap();
    let namespace = Namespace::new(name).unwrap();
    let writer = namespace.run(|| NftablesWriter::open(&BOTH));
    (namespace, writer.unwrap().unwrap())
}

fn everything(writer: &mut NftablesWriter) -> Desired {
    writer.observe(&Scope::Everything).unwrap()
}

/// One commit from what is known to what is wanted.
fn write(
    writer: &mut NftablesWriter,
    known: &State<Key, Fingerprint>,
    wanted: &Desired,
) -> Result<usize, ApplyError<Piece>> {
    writer.stage(Tag(1), &diff(known, wanted))?;
    Ok(writer.commit()?.transactions)
}

/// From what is there to what is wanted, which is there then.
fn make(writer: &mut NftablesWriter, wanted: &Desired) -> usize {
    let known = writer.observe(&Scope::Everything).unwrap();
    let transactions = write(writer, &known, wanted).unwrap();
    assert_same(&everything(writer), wanted);
    transactions
}

#[track_caller]
fn assert_same(seen: &Desired, wanted: &Desired) {
    let diff = diff(seen, wanted);
    let writes = diff.writes.iter().map(|write| write.key.to_string());
    let deletes = diff.deletes.iter().map(|(key, _)| format!("not {key}"));
    assert_eq!(
        writes.chain(deletes).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

fn nft(namespace: &Namespace, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    namespace.command("nft").args(words).text().unwrap()
}

#[test]
fn what_is_written_is_there_and_nothing_else_changes() {
    let (namespace, mut writer) = open("nft");
    nft(&namespace, "add table ip other");
    let endpoints = ["10.2.0.1", "10.2.0.2", "10.2.0.3", "fd00:2::1"];
    let one = desired(&[plan(&web(), &endpoints), plan(&sticky(), &endpoints)]);
    make(&mut writer, &one);
    let before = nft(&namespace, "list ruleset");
    assert_eq!(make(&mut writer, &one), 0, "nothing differs");
    assert!(nft(&namespace, "list ruleset") == before);
    // A row crosses a power of two both ways, slots get other endpoints, a family loses all of them.
    for endpoints in [
        &["10.2.0.1", "10.2.0.3"][..],
        &["10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.5", "10.2.0.6"],
        &["fd00:2::1", "fd00:2::2"],
        &[],
        &endpoints,
    ] {
        let wanted = desired(&[plan(&web(), endpoints), plan(&sticky(), endpoints)]);
        assert_eq!(make(&mut writer, &wanted), 1, "{endpoints:?}");
    }
    // The last one with its timeout goes, with all that this needs.
    make(&mut writer, &desired(&[plan(&web(), &endpoints)]));
    assert!(!nft(&namespace, "list ruleset").contains("sticky-60"));
    make(&mut writer, &Desired::default());
    assert_eq!(nft(&namespace, "list ruleset"), "table ip other {\n}\n");
}

#[test]
fn a_first_load_in_parts_is_the_same() {
    let (_namespace, writer) = open("parts");
    let mut writer = writer.with_parts_of(4 << 10);
    let plans: Vec<ServicePlan> = (1..=50)
        .map(|number| {
            let address = format!("10.1.1.{number}");
            let service = objects::service(&format!("s{number}"), &[ip(&address)]);
            plan(&service, &["10.2.0.1", "10.2.0.2"])
        })
        .collect();
    assert!(make(&mut writer, &desired(&plans)) > 5);
}

#[test]
fn what_others_change_is_told_and_put_right() {
    let (namespace, mut writer) = open("others");
    let wanted = desired(&[plan(&web(), &["10.2.0.1", "10.2.0.2"])]);
    make(&mut writer, &wanted);
    assert!(writer.foreign_changes().unwrap().scope.is_empty());
    let set = |name| {
        Piece::Set(Set {
            family: Family::Ipv4,
            name,
        })
    };
    let frontends = |of| {
        set(SetName::Frontends {
            lookup: viprule_dataplane::nftables::Lookup::Address,
            of,
        })
    };
    let chain = |name: &str| {
        Piece::Chain(
            Family::Ipv4,
            viprule_dataplane::nftables::Chain::parse(name).unwrap(),
        )
    };
    for (words, pieces) in [
        (
            "delete element ip viprule services { 10.1.0.1 . tcp . 80 }",
            &[frontends(FrontendSet::Services)][..],
        ),
        (
            "add element ip viprule cluster-ips { 10.9.9.9 }",
            &[set(SetName::ClusterIps)],
        ),
        ("flush chain ip viprule pick-2", &[chain("pick-2")]),
        ("add rule ip viprule services drop", &[chain("services")]),
        (
            "add rule ip viprule sticky ip daddr 10.1.0.1 drop",
            &[chain("sticky")],
        ),
    ] {
        nft(&namespace, words);
        let told = writer.foreign_changes().unwrap();
        let pieces: BTreeSet<Piece> = pieces.iter().copied().collect();
        assert_eq!(told.scope, Scope::Pieces(pieces), "{words}");
        assert!(
            told.by.iter().any(|by| by.starts_with("nft (")),
            "{:?}",
            told.by
        );
        let seen: Desired = writer.observe(&told.scope).unwrap();
        let there = wanted.clone().filter(|key| {
            !told
                .scope
                .contains(&viprule_dataplane::ObjectKey::piece(key))
        });
        let known = there.merged(seen);
        assert!(!diff(&known, &wanted).is_empty(), "{words}");
        write(&mut writer, &known.fingerprints(), &wanted).unwrap();
        assert_same(&everything(&mut writer), &wanted);
        assert!(writer.foreign_changes().unwrap().scope.is_empty());
    }
    nft(&namespace, "flush ruleset");
    assert_eq!(writer.foreign_changes().unwrap().scope, Scope::Everything);
    make(&mut writer, &wanted);
}

#[test]
fn what_is_not_as_known_is_looked_at_before_it_is_refused() {
    let (namespace, mut writer) = open("lied");
    let wanted = desired(&[plan(&web(), &["10.2.0.1", "10.2.0.2"])]);
    make(&mut writer, &wanted);
    // As if a list had left one out that has another value, and had one that is not there.
    let endpoints = |key: &Key| matches!(key, Key::Element(Element::Endpoint { .. }));
    let other = desired(&[plan(&web(), &["10.2.0.8", "10.2.0.9"])]);
    let known = wanted.fingerprints().filter(|key| !endpoints(key));
    for _ in 0..2 {
        let Err(ApplyError::Unknown(reason)) = write(&mut writer, &known, &other) else {
            panic!("it is there with another value");
        };
        assert!(reason.contains("File exists"), "{reason}");
        // The same again: a look changes nothing about it.
        let Err(ApplyError::Refused { .. }) = write(&mut writer, &known, &other) else {
            panic!("looked at already");
        };
        let known = everything(&mut writer).fingerprints();
        write(&mut writer, &known, &other).unwrap();
        write(&mut writer, &other.fingerprints(), &wanted).unwrap();
    }
    nft(
        &namespace,
        "delete element ip viprule cluster-ips { 10.1.0.1 }",
    );
    let none = desired(&[]);
    let known = wanted.fingerprints();
    let Err(ApplyError::Foreign(scope)) = write(&mut writer, &known, &none) else {
        panic!("somebody else was there");
    };
    assert!(!scope.is_empty());
}

#[test]
fn a_table_with_sets_of_another_kind_is_made_anew() {
    let (namespace, mut writer) = open("unusable");
    let wanted = desired(&[plan(&web(), &["10.2.0.1"])]);
    nft(&namespace, "add table ip viprule");
    nft(
        &namespace,
        "add set ip viprule services { type ipv4_addr; }",
    );
    nft(&namespace, "add element ip viprule services { 10.1.0.1 }");
    assert_eq!(make(&mut writer, &wanted), 1, "not in parts");
    // While we run, too; and one whose chains are not called.
    nft(&namespace, "delete table ip viprule");
    nft(&namespace, "add table ip viprule");
    nft(&namespace, "add set ip viprule hairpin { type ipv4_addr; }");
    assert_eq!(writer.foreign_changes().unwrap().scope, Scope::Everything);
    make(&mut writer, &wanted);
    nft(&namespace, "add table ip viprule { flags dormant; }");
    make(&mut writer, &wanted);
    assert!(!nft(&namespace, "list ruleset").contains("dormant"));
}

/// The kernel lets no rule lead to a chain with a hook.
#[test]
fn a_table_with_a_hook_at_a_chain_that_others_lead_to_is_made_anew() {
    let (namespace, mut writer) = open("hooked");
    let wanted = desired(&[plan(&web(), &["10.2.0.1"])]);
    let hooked = |name: &str, rules: &[&str]| {
        let hook = "{ type filter hook input priority 0; }";
        nft(&namespace, &format!("add chain ip viprule {name} {hook}"));
        for rule in rules {
            nft(&namespace, &format!("add rule ip viprule {name} {rule}"));
        }
    };
    nft(&namespace, "add table ip viprule");
    hooked("services", &["counter"]);
    hooked("firewall", &[]);
    make(&mut writer, &wanted);
    // While we run, too, and with the very rule that is ours.
    nft(&namespace, "delete table ip viprule");
    nft(&namespace, "add table ip viprule");
    hooked("masquerading", &["accept"]);
    hooked(
        "translated",
        &["meta priority >= 8000:0 meta priority set 0"],
    );
    assert_eq!(writer.foreign_changes().unwrap().scope, Scope::Everything);
    make(&mut writer, &wanted);
    let chain = nft(&namespace, "list chain ip viprule translated");
    assert!(!chain.contains("hook"), "{chain}");
}

#[test]
fn what_others_have_in_our_table_stays_until_the_table_goes() {
    let (namespace, mut writer) = open("beside");
    let wanted = desired(&[plan(&sticky(), &["10.2.0.1"])]);
    make(&mut writer, &wanted);
    nft(&namespace, "add chain ip viprule theirs");
    nft(
        &namespace,
        "add set ip viprule their-set { type ipv4_addr; }",
    );
    make(&mut writer, &desired(&[]));
    let ruleset = nft(&namespace, "list ruleset");
    assert!(ruleset.contains("theirs") && ruleset.contains("their-set"));
    make(&mut writer, &Desired::default());
    assert_eq!(nft(&namespace, "list ruleset"), "");
}

#[test]
fn many_elements_are_read_as_they_were_written() {
    let (_namespace, mut writer) = open("many");
    let addresses: Vec<String> = (0..2_000)
        .map(|number: u16| {
            let [high, low] = number.to_be_bytes();
            format!("10.2.{high}.{low}")
        })
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let plans: Vec<ServicePlan> = (1..=4)
        .map(|number| {
            let address = format!("10.1.1.{number}");
            let service = objects::service(&format!("s{number}"), &[ip(&address)]);
            plan(&service, &addresses)
        })
        .collect();
    // Read at once, while the kernel's hash grows.
    make(&mut writer, &desired(&plans));
    let object = |key: &Key| matches!(key, Key::Element(Element::Endpoint { .. }));
    let seen: State<Key, Object> = everything(&mut writer).filter(object);
    assert_eq!(seen.len(), 8_000);
}
