//! Rules that match on IP sets, through both writers.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use nfnetlink::Family;
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{Key, Kind, Object, Piece, Table};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::{Scope, State, diff};
use viprule_testkit::Namespace;
use viprule_testkit::netns::require_privileges;
use viprule_writer::netfilter::LegacyWriter;
use viprule_writer::netfilter::NftWriter;
use viprule_writer::{ApplyError, Refusal, Tag, Writer};

type Objects = State<Key, Object>;

const TABLE: Table = Table {
    family: Family::Ipv4,
    kind: Kind::Nat,
};
const KEY: Key = Key::Chain {
    table: TABLE,
    chain: Chain::Postrouting,
};

fn namespace() -> Namespace {
    require_privileges().unwrap();
    Namespace::new("sets").unwrap()
}

fn run(namespace: &Namespace, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let command = namespace.command(words[0]);
    command.args(&words[1..]).text().unwrap()
}

fn writer(namespace: &Namespace) -> NftWriter {
    let opened = namespace.run(|| NftWriter::open(&[Family::Ipv4]));
    opened.unwrap().unwrap()
}

fn chain(rules: &[&str]) -> Objects {
    let rules = rules
        .iter()
        .map(|text| Rule::parse(Family::Ipv4, text).unwrap());
    [(KEY, Object::Rules(rules.collect()))]
        .into_iter()
        .collect()
}

/// Makes the kernel hold `wanted` where it held `seen`.
fn apply(
    writer: &mut impl Writer<Key = Key, Object = Object>,
    seen: &Objects,
    wanted: &Objects,
) -> Result<(), ApplyError<Piece>> {
    writer.stage(Tag(7), &diff(seen, wanted))?;
    writer.commit().map(|_| ())
}

fn observe(writer: &mut impl Writer<Key = Key, Object = Object>) -> Objects {
    writer.observe(&Scope::Everything).unwrap()
}

fn shown(namespace: &Namespace) -> Vec<String> {
    let save = run(namespace, "iptables-nft-save -t nat");
    let rules = save
        .lines()
        .filter_map(|line| line.strip_prefix("-A KUBE-POSTROUTING "));
    rules.map(str::to_owned).collect()
}

const HAIRPIN: &str = "-m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE";
const OTHER: &str = "-m set ! --match-set OTHER src -j RETURN";

fn make_sets(namespace: &Namespace) {
    run(namespace, "ipset create KUBE-LOOP-BACK hash:ip,port,ip");
    run(namespace, "ipset create OTHER hash:ip");
}

#[test]
fn rules_on_sets_are_written_and_read_back() {
    let namespace = namespace();
    make_sets(&namespace);
    let mut one = writer(&namespace);
    let wanted = chain(&[HAIRPIN, OTHER]);
    apply(&mut one, &Objects::default(), &wanted).unwrap();
    assert_eq!(shown(&namespace), [HAIRPIN, OTHER]);
    assert_eq!(observe(&mut one), wanted);
    assert_eq!(observe(&mut writer(&namespace)), wanted);

    // Rewritten as a whole, and by somebody else.
    let changed = chain(&[OTHER]);
    apply(&mut one, &wanted, &changed).unwrap();
    assert_eq!(shown(&namespace), [OTHER]);
    run(&namespace, "ipset create LATE hash:net");
    run(
        &namespace,
        "iptables-nft -t nat -A KUBE-POSTROUTING -m set --match-set LATE dst -j ACCEPT",
    );
    let late = chain(&[OTHER, "-m set --match-set LATE dst -j ACCEPT"]);
    assert_eq!(observe(&mut one), late);
}

#[test]
fn a_missing_set_is_told_with_what_to_do() {
    let namespace = namespace();
    let mut one = writer(&namespace);
    let wanted = chain(&["-j RETURN", HAIRPIN]);
    let error = apply(&mut one, &Objects::default(), &wanted).unwrap_err();
    let ApplyError::Refused { refusals, partly } = error else {
        panic!("{error}");
    };
    let reason = "there is no IP set KUBE-LOOP-BACK, which a rule matches on; create the set first";
    assert!(!partly);
    assert_eq!(
        refusals,
        [Refusal {
            tag: Some(Tag(7)),
            reason: reason.to_owned()
        }]
    );
    assert_eq!(shown(&namespace), [""; 0]);

    // Nothing of it stays staged, and nothing is remembered of the set that was not there.
    make_sets(&namespace);
    apply(&mut one, &Objects::default(), &wanted).unwrap();
    assert_eq!(shown(&namespace), ["-j RETURN", HAIRPIN]);
}

#[test]
fn a_set_made_anew_with_another_number_is_the_one_that_rules_match_on() {
    let namespace = namespace();
    make_sets(&namespace);
    let mut one = writer(&namespace);
    let wanted = chain(&[HAIRPIN]);
    apply(&mut one, &Objects::default(), &wanted).unwrap();
    assert_eq!(observe(&mut one), wanted);
    apply(&mut one, &wanted, &chain(&[])).unwrap();

    // The numbers change hands. The kernel lets the old rule's sets go a moment later.
    let deadline = std::time::Instant::now() + viprule_testkit::LIMIT;
    while namespace
        .command("ipset")
        .args(["destroy", "KUBE-LOOP-BACK"])
        .text()
        .is_err()
    {
        assert!(std::time::Instant::now() < deadline);
    }
    run(&namespace, "ipset create TAKES-ITS-PLACE hash:ip");
    run(&namespace, "ipset create KUBE-LOOP-BACK hash:ip,port,ip");
    apply(&mut one, &chain(&[]), &wanted).unwrap();
    assert_eq!(shown(&namespace), [HAIRPIN]);
    assert_eq!(observe(&mut one), wanted);

    // What was swapped has the name and the number that it had.
    run(&namespace, "ipset create TWIN hash:ip,port,ip maxelem 100");
    run(&namespace, "ipset swap KUBE-LOOP-BACK TWIN");
    assert_eq!(observe(&mut one), wanted);
}

/// There the program asks for the numbers.
#[test]
fn the_legacy_writer_hands_names_over() {
    let namespace = namespace();
    make_sets(&namespace);
    let opened = namespace.run(|| LegacyWriter::open(&[Family::Ipv4]));
    let mut legacy = opened.unwrap().unwrap();
    let physdev = "-m physdev ! --physdev-is-in -j RETURN";
    let wanted = chain(&[HAIRPIN, OTHER, physdev]);
    namespace
        .run(|| {
            apply(&mut legacy, &Objects::default(), &wanted).unwrap();
            assert_eq!(observe(&mut legacy), wanted);
        })
        .unwrap();
    let save = run(&namespace, "iptables-legacy-save -t nat");
    for rule in [HAIRPIN, OTHER, physdev] {
        let line = format!("-A KUBE-POSTROUTING {rule}");
        assert!(save.lines().any(|shown| shown == line), "{save}");
    }
}
