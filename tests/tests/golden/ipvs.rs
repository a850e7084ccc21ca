//! IPVS mode.

use viprule_dataplane::CommonSettings;
use viprule_dataplane::ipvs::{self, Desired, Saves, Section, Settings, print_save, sections};
use viprule_service::plan::NodeFacts;
use viprule_testkit::golden;

use crate::kube_proxy::ours;
use crate::mode::Mode;

/// IPVS mode.
pub(crate) struct Ipvs;

impl Mode for Ipvs {
    type Dataplane = ipvs::Ipvs;

    const NAME: &'static str = "ipvs";
    const DUMPS: &'static [(&'static str, &'static str)] = &[
        ("ipset save", golden::IPSET),
        ("ipvsadm -Sn", golden::IPVSADM),
        ("ip address", golden::ADDRESSES),
        ("iptables-save", golden::IPVS_IPTABLES[0]),
        ("ip6tables-save", golden::IPVS_IPTABLES[1]),
    ];
    const LEAST: usize = 10;

    fn dataplane(common: CommonSettings, facts: &NodeFacts) -> ipvs::Ipvs {
        let settings = Settings {
            common,
            ..Settings::default()
        };
        ipvs::Ipvs::new(settings, facts)
    }

    fn texts(state: &Desired) -> Vec<String> {
        let sections = sections(state);
        let text = |section: Section| format!("{}\n{}", section.heading(), sections[&section]);
        Section::ALL.map(text).into()
    }

    fn read<T: AsRef<str>>(texts: &[T]) -> Desired {
        let mut saves = Saves::new();
        for text in texts {
            saves.read(text.as_ref(), None).unwrap();
        }
        assert_eq!(saves.sections().len(), Section::ALL.len());
        let observed = saves.finish();
        assert_eq!(observed.draining, []);
        observed.state
    }
}

/// One text has all sections.
#[test]
fn what_is_printed_as_one_reads_back_as_it_was() {
    let ours = ours::<Ipvs>();
    let text = print_save(&ours);
    assert!(
        Ipvs::read(&[&text]) == ours,
        "reads back otherwise:\n{text}"
    );
}
