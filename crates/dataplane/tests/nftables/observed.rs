//! What others left in our table.

use std::time::Duration;

use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{
    Base, ChainKind, DataType, Element as Native, Listing, Rule, Set as Spec, TableFlags, Value,
};
use viprule_dataplane::Content as _;
use viprule_dataplane::nftables::{
    BaseChain, Chain, Condition, Desired, Element, ElementContent, Key, Object, Row, TABLE,
    listing, observed,
};

use crate::world::{READY, dataplane, plan_with, service, with_plans};

/// One Service with affinity, and the same as IPv4's table.
fn told() -> (Desired, Listing) {
    let mut web = service();
    web.affinity_seconds = Some(60);
    let plans = [plan_with(&web, &[("10.2.0.5", "here", READY)])];
    let state = with_plans(&dataplane(), &plans).filter(|key| key.family() == Ipv4);
    let listing = listing(Ipv4, &state).unwrap();
    (state, listing)
}

fn differing(state: &Desired, listing: &Listing) -> Vec<String> {
    let seen = observed(listing);
    let changed = state.iter().filter(|(key, object)| {
        seen.get(key).map(viprule_dataplane::Content::fingerprint) != Some(object.fingerprint())
    });
    let more = seen.iter().filter(|(key, _)| state.get(key).is_none());
    changed
        .chain(more)
        .map(|(key, _)| key.to_string())
        .collect()
}

fn set<'l>(
    listing: &'l mut Listing,
    name: &str,
) -> &'l mut nfnetlink::nftables::native::SetListing {
    let mut sets = listing.sets.iter_mut();
    sets.find(|listed| &*listed.set.name == name).unwrap()
}

#[test]
fn another_table_is_not_ours() {
    let (_, mut listing) = told();
    listing.name = "other".into();
    assert!(observed(&listing).is_empty());
    assert_eq!(TABLE, "viprule");
}

#[test]
fn what_others_add_beside_ours_is_left_out() {
    let (state, mut listing) = told();
    listing.sets.push(nfnetlink::nftables::native::SetListing {
        set: Spec::of_types("theirs", [DataType::Ipv4Addr]),
        elements: Vec::new(),
    });
    listing
        .chains
        .push(nfnetlink::nftables::native::ChainListing {
            name: "theirs".into(),
            base: None,
            comment: None,
            rules: vec![Rule::parse(Ipv4, "drop").unwrap()],
        });
    // No slot, and no protocol of Services.
    let mut key = Value::concat([&[10, 1, 0, 1][..], &[6], &80_u16.to_be_bytes()]);
    key.push(&70_000_u32.to_ne_bytes());
    let value = Value::concat([&[10, 2, 0, 5][..], &80_u16.to_be_bytes()]);
    let endpoints = set(&mut listing, "endpoints");
    endpoints.elements.push(Native::new(key).with(value).into());
    let key = Value::concat([&[10, 1, 0, 1][..], &[58], &80_u16.to_be_bytes()]);
    set(&mut listing, "services")
        .elements
        .push(Native::new(key).into());
    assert_eq!(differing(&state, &listing), Vec::<String>::new());
}

#[test]
fn an_element_that_ends_by_itself_is_another_one() {
    let (state, mut listing) = told();
    let element = &mut set(&mut listing, "cluster-ips").elements[0].element;
    element.timeout = Some(Duration::from_secs(60));
    let differing = differing(&state, &listing);
    assert_eq!(differing, ["set ip viprule cluster-ips: 10.1.0.1"]);
    let (_, object) = observed(&listing)
        .into_iter()
        .find(|(key, _)| matches!(key, Key::Element(Element::ClusterIp(_))))
        .unwrap();
    assert_eq!(object, Object::Element(ElementContent::Foreign));
}

#[test]
fn a_rule_among_those_of_timeouts_makes_the_chain_another_one() {
    let (state, listing) = told();
    let row = Row::all().next().unwrap();
    let seconds = 60;
    let sticky = Chain::Sticky(row).to_string();
    for more in [
        "drop",
        "goto sticky-60",
        "ip daddr . meta l4proto . th dport @sticky-60 goto sticky-60",
    ] {
        let mut listing = listing.clone();
        let mut chains = listing.chains.iter_mut();
        let chain = chains.find(|chain| *chain.name == *sticky).unwrap();
        chain.rules.push(Rule::parse(Ipv4, more).unwrap());
        let family = Ipv4;
        let chain = Key::Chain {
            family,
            chain: Chain::Sticky(row),
        };
        let rule = Key::StickyRule {
            family,
            row,
            seconds,
        };
        let expected = [chain, rule].map(|key| key.to_string());
        assert_eq!(differing(&state, &listing), expected, "{more}");
    }
}

#[test]
fn a_table_that_can_hold_nothing_of_ours_is_all_that_is_seen() {
    let (_, listing) = told();
    let only = |condition| -> Desired {
        let table = (Key::Table(Ipv4), Object::Table(condition));
        std::iter::once(table).collect()
    };
    let mut other = listing.clone();
    set(&mut other, "services").set.kind = Spec::of_types("x", [DataType::Ipv4Addr]).kind;
    assert_eq!(observed(&other), only(Condition::Unusable));
    let mut hooked = listing.clone();
    let mut chains = hooked.chains.iter_mut();
    let chain = chains.find(|chain| &*chain.name == "services").unwrap();
    chain.base = Some(Base::accepting(ChainKind::Nat, Hook::Prerouting, 5));
    assert_eq!(observed(&hooked), only(Condition::Unusable));
}

#[test]
fn where_the_kernel_calls_chains_is_seen() {
    let (state, mut listing) = told();
    listing.flags = TableFlags::DORMANT;
    let mut chains = listing.chains.iter_mut();
    let chain = chains.find(|chain| &*chain.name == "nat-output").unwrap();
    chain.base = Some(Base {
        accept: false,
        ..BaseChain::NatOutput.base()
    });
    assert_eq!(
        differing(&state, &listing),
        ["table ip viprule", "chain ip viprule nat-output"]
    );
    // Who owns it is its writer's business.
    listing.flags = TableFlags::OWNER.with(TableFlags::PERSIST);
    assert_eq!(differing(&state, &listing), ["chain ip viprule nat-output"]);
}
