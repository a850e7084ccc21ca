//! What is there whatever the Services are, as nft prints it: `golden/FAMILY.nft`.
//! `UPDATE_GOLDEN=1` writes it anew.

use std::fs;
use std::path::Path;

use nfnetlink::Family;
use nfnetlink::nftables::native::Listing;
use viprule_dataplane::netfilter::SourcePorts;
use viprule_dataplane::nftables::{Element, FrontendSet, Key, Nftables, Settings, TABLE, listing};
use viprule_dataplane::{CommonSettings, Dataplane as _, DetectLocal};

use crate::world::{dataplane, facts, plan, service, settings, with_plans};

fn base_of(settings: Settings, family: Family) -> Listing {
    let state = with_plans(&Nftables::new(settings, &facts()), &[]);
    listing(family, &state).unwrap()
}

/// A chain's rules, as nft prints them.
fn rules(listing: &Listing, chain: &str) -> Vec<String> {
    let chain = listing.chains.iter().find(|one| &*one.name == chain);
    let rules = chain.unwrap().rules.iter();
    rules
        .map(|rule| rule.text(listing.family).to_string())
        .collect()
}

#[test]
fn the_tables_are_those_that_were_looked_through() {
    for family in Family::ALL {
        let text = base_of(settings(), family).to_string();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nftables/golden");
        let path = path.join(format!("{family}.nft"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap();
        let lines = golden.lines().zip(text.lines()).enumerate();
        let differing = lines.filter(|(_, (old, new))| old != new);
        let differing: Vec<_> = differing.take(10).collect();
        assert!(golden == text, "{}: {differing:#?}", path.display());
    }
}

#[test]
fn the_mark_is_the_bit_of_the_setting() {
    let with = |masquerade_bit| Settings {
        common: CommonSettings {
            masquerade_bit,
            ..settings().common
        },
    };
    for (bit, mark) in [(0, "0x00000001"), (31, "0x80000000")] {
        let listing = base_of(with(bit), Family::Ipv4);
        let masked = format!("meta mark & {mark} != 0x00000000");
        let text = listing.to_string();
        assert!(text.contains(&masked), "{masked}: {text}");
        assert!(rules(&listing, "cluster")[0].contains(&format!("meta mark | {mark}")));
        assert!(!text.contains("0x00004000"));
    }
}

#[test]
fn source_ports_are_no_node_ports() {
    let of = |source_ports| {
        let common = CommonSettings {
            source_ports,
            ..CommonSettings::default()
        };
        rules(&base_of(Settings { common }, Family::Ipv6), "masquerading")
    };
    let any = "masquerade fully-random";
    assert_eq!(of(None), [any]);
    let outside = |first, last| of(SourcePorts::outside(&(first..=last)));
    let of_each = |rules: &[(&str, &str)]| {
        let protocols = ["tcp", "udp", "sctp"].into_iter();
        let of_one = |protocol: &str| -> Vec<String> {
            let rule = |(from, to): &(&str, &str)| {
                format!(
                    "{} masquerade to :{to} fully-random",
                    from.replace('*', protocol)
                )
            };
            rules.iter().map(rule).collect()
        };
        let rules = protocols.flat_map(of_one);
        rules.chain([any.to_owned()]).collect::<Vec<_>>()
    };
    let both = [
        (
            "* sport >= 1024 numgen random mod 61744 < 28976",
            "1024-29999",
        ),
        ("* sport >= 1024", "32768-65535"),
    ];
    assert_eq!(outside(30_000, 32_767), of_each(&both));
    assert_eq!(
        outside(80, 32_767),
        of_each(&[("meta l4proto *", "32768-65535")])
    );
    assert_eq!(
        outside(1025, 65_535),
        of_each(&[("* sport >= 1024", "1024")])
    );
}

#[test]
fn packets_of_pods_are_told_in_every_way() {
    let with = |detect_local, masquerade_all| Settings {
        common: CommonSettings {
            detect_local,
            masquerade_all,
            ..CommonSettings::default()
        },
    };
    let of = |detect_local, all| {
        let listing = base_of(with(detect_local, all), Family::Ipv4);
        (rules(&listing, "cluster"), rules(&listing, "local"))
    };
    let mark = "meta mark set meta mark | 0x00004000";
    let here = format!("fib saddr type local {mark} goto pick");
    let others = "goto local-pick".to_owned();
    let is_told = |detect_local: DetectLocal, pods: &str, not_pods: &str| {
        let (cluster, local) = of(detect_local.clone(), false);
        assert_eq!(
            cluster,
            [format!("{not_pods} {mark}"), "goto pick".to_owned()]
        );
        let pods = format!("{pods} goto pick");
        assert_eq!(local, [pods.clone(), here.clone(), others.clone()]);
        let (cluster, local) = of(detect_local, true);
        assert_eq!(cluster, [mark, "goto pick"]);
        assert_eq!(local, [pods, here.clone(), others.clone()]);
    };
    let cidr = |text: &str| DetectLocal::ClusterCidr(vec![text.parse().unwrap()]);
    is_told(
        cidr("10.9.8.7/16"),
        "ip saddr 10.9.0.0/16",
        "ip saddr != 10.9.0.0/16",
    );
    is_told(
        DetectLocal::NodeCidr,
        "ip saddr 10.2.0.0/24",
        "ip saddr != 10.2.0.0/24",
    );
    is_told(
        DetectLocal::BridgeInterface("cni0".to_owned()),
        "iifname \"cni0\"",
        "iifname != \"cni0\"",
    );
    // Bytes for us; what nft says is for the kernel's test.
    is_told(
        DetectLocal::InterfaceNamePrefix("veth".to_owned()),
        "iifname 0x76657468",
        "iifname != 0x76657468",
    );
    // Of the other family: none here.
    let (cluster, local) = of(cidr("fd00::/56"), false);
    assert_eq!(cluster, ["goto pick"]);
    assert_eq!(local, [here, others]);
}

#[test]
fn nothing_is_called_before_all_else_is_there() {
    let state = dataplane().base();
    for family in Family::ALL {
        let listing = listing(family, &state).unwrap();
        assert_eq!(&*listing.name, TABLE);
        assert!(listing.chains.iter().all(|chain| chain.base.is_none()));
    }
    let whole = with_plans(&dataplane(), &[]);
    let listing = listing(Family::Ipv4, &whole).unwrap();
    let base = listing.chains.iter().filter(|chain| chain.base.is_some());
    assert_eq!(base.count(), 8);
}

/// A first load in parts goes by the order of keys.
#[test]
fn rows_come_before_their_frontends_and_those_before_what_is_called() {
    let state = with_plans(&dataplane(), &[plan(&service())]);
    let at = |is_it: fn(&Key) -> bool| {
        let places = state.iter().enumerate();
        let places = places.filter(|(_, (key, _))| is_it(key)).map(|(at, _)| at);
        let places: Vec<usize> = places.collect();
        (places[0], places[places.len() - 1])
    };
    let rows = at(|key| matches!(key, Key::Element(Element::Endpoint { .. })));
    let frontends = at(|key| {
        let set = FrontendSet::Services;
        matches!(key, Key::Element(Element::Frontend { set: of, .. }) if *of == set)
    });
    let cluster_ips = at(|key| matches!(key, Key::Element(Element::ClusterIp(_))));
    let called = at(|key| matches!(key, Key::BaseChain { .. }));
    assert!(rows.1 < frontends.0);
    assert!(frontends.1 < cluster_ips.0);
    assert!(cluster_ips.1 < called.0);
    assert_eq!(called.1, state.len() - 1);
}
