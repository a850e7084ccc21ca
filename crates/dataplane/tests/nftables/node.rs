//! What follows from facts of the node and from settings.

use nfnetlink::Family;
use viprule_dataplane::nftables::{Element, Key, Nftables, Settings};
use viprule_dataplane::{CommonSettings, Dataplane as _, NodeEffect};
use viprule_service::plan::{NodeFacts, NodePortAddresses};

use crate::world::{facts, ip, plan, service, settings, texts};

fn addresses(settings: Settings, facts: &NodeFacts) -> Vec<String> {
    let state = Nftables::new(settings, facts).base();
    let own = state.iter().filter_map(|(key, _)| match key {
        Key::Element(Element::NodeAddress(address)) => Some(address.to_string()),
        _ => None,
    });
    own.collect()
}

fn with(node_port_addresses: NodePortAddresses) -> Settings {
    Settings {
        common: CommonSettings {
            node_port_addresses,
            ..CommonSettings::default()
        },
    }
}

#[test]
fn node_ports_answer_on_the_addresses_of_the_setting_but_for_loopback() {
    let all = ["192.0.2.1", "192.0.2.9", "2001:db8::1", "fe80::1"];
    assert_eq!(addresses(with(NodePortAddresses::All), &facts()), all);
    let primary = addresses(with(NodePortAddresses::Primary), &facts());
    assert_eq!(primary, ["192.0.2.1", "2001:db8::1"]);
    let networks = |texts: &[&str]| {
        let networks = texts.iter().map(|text| text.parse().unwrap());
        with(NodePortAddresses::Networks(networks.collect()))
    };
    // The other family is not restricted.
    let some = addresses(networks(&["127.0.0.0/8", "192.0.2.8/29"]), &facts());
    assert_eq!(some, ["192.0.2.9", "2001:db8::1", "fe80::1"]);
    let none = addresses(networks(&["198.51.100.0/24", "fd00::/8"]), &facts());
    assert!(none.is_empty(), "{none:?}");
    let unknown = addresses(with(NodePortAddresses::All), &NodeFacts::default());
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn services_are_rendered_again_for_other_families_only() {
    let mut dataplane = Nftables::new(settings(), &facts());
    let mut web = service();
    web.ports[0].node_port = 30_080;
    let before = texts(&dataplane.service(&plan(&web)));
    assert_eq!(dataplane.set_node(&facts()), NodeEffect::Nothing);

    let mut moved = facts();
    moved.local_addresses = vec![ip("192.0.2.77")];
    assert_eq!(dataplane.set_node(&moved), NodeEffect::Base);
    let masquerading = Settings {
        common: CommonSettings {
            masquerade_all: true,
            masquerade_bit: 3,
            ..settings().common
        },
    };
    assert_eq!(dataplane.configure(masquerading, &moved), NodeEffect::Base);
    assert_eq!(texts(&dataplane.service(&plan(&web))), before);

    let ipv6 = Settings {
        common: CommonSettings {
            families: vec![Family::Ipv6],
            ..settings().common
        },
    };
    assert_eq!(dataplane.configure(ipv6, &moved), NodeEffect::Everything);
    assert!(dataplane.service(&plan(&web)).is_empty());
}
