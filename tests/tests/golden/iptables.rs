//! iptables mode.

use nfnetlink::Family;
use viprule_dataplane::CommonSettings;
use viprule_dataplane::iptables::{self, Settings};
use viprule_dataplane::netfilter::{Desired, parse_save, print_save};
use viprule_dataplane::ownership::Layout;
use viprule_service::plan::NodeFacts;
use viprule_testkit::dump::Dump;
use viprule_testkit::golden;

use crate::kube_proxy::ours;
use crate::mode::Mode;

/// iptables mode.
pub(crate) struct Iptables;

impl Mode for Iptables {
    type Dataplane = iptables::Iptables;

    const NAME: &'static str = "iptables";
    const DUMPS: &'static [(&'static str, &'static str)] = &[
        ("iptables-save", golden::IPTABLES[0]),
        ("ip6tables-save", golden::IPTABLES[1]),
    ];
    const LEAST: usize = 31;
    const UNORDERED: &'static [(&'static str, &'static str)] =
        &[("nat", "KUBE-SERVICES"), ("nat", "KUBE-NODEPORTS")];

    fn dataplane(common: CommonSettings, facts: &NodeFacts) -> iptables::Iptables {
        let settings = Settings {
            common,
            ..Settings::default()
        };
        iptables::Iptables::new(settings, facts)
    }

    fn texts(state: &Desired) -> Vec<String> {
        let families = Family::ALL.into_iter();
        families.map(|family| print_save(family, state)).collect()
    }

    fn read<T: AsRef<str>>(texts: &[T]) -> Desired {
        let texts = Family::ALL.into_iter().zip(texts);
        let states = texts.map(|(family, text)| -> Desired {
            parse_save(Layout::Iptables, family, text.as_ref()).unwrap()
        });
        states.flatten().collect()
    }
}

/// Where Services come in no order, some rules keep theirs all the same.
#[test]
fn rules_that_must_be_last_are_last() {
    for text in Iptables::texts(&ours::<Iptables>()) {
        let dump = Dump::parse(&text).unwrap();
        let rules = dump.rules("nat", "KUBE-SERVICES");
        assert!(rules.last().unwrap().contains("this must be the last rule"));
        let rules = dump.rules("nat", "KUBE-NODEPORTS");
        let counting: Vec<bool> = rules.iter().map(|rule| rule.contains("nfacct")).collect();
        assert!(counting.is_sorted_by(|a, b| a >= b), "{rules:#?}");
    }
}
