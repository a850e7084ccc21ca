//! Saved dumps, as `viprule diff --against` reads them.

use nfnetlink::Family;
use viprule_dataplane::ipvs::{self, Saves};
use viprule_dataplane::netfilter::{Key, Object, parse_save, print_save};
use viprule_dataplane::ownership::Layout;

use crate::plans::{differs_from_all_but_itself, same};

/// The text of `iptables-save`: what is ours of it reads back as it prints.
pub(crate) fn iptables(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for family in Family::ALL {
        let _ = parse_save::<Object>(Layout::Ipvs, family, &text);
        match parse_save::<Object>(Layout::Iptables, family, &text) {
            Ok(state) => {
                differs_from_all_but_itself(&state);
                // Where a rule stands that must be last is not printed.
                if state.iter().any(|(key, _)| is_misplaced(key)) {
                    continue;
                }
                let printed = print_save(family, &state);
                let again = parse_save(Layout::Iptables, family, &printed)
                    .expect("what is printed can be read");
                same(&again, &state, &printed);
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

/// Texts of IPVS mode in one: what is ours of them reads back as it prints.
pub(crate) fn ipvs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for family in [None, Some(Family::Ipv4), Some(Family::Ipv6)] {
        let mut saves = Saves::new();
        match saves.read(&text, family) {
            Ok(()) => {
                let state = saves.finish().state;
                differs_from_all_but_itself(&state);
                let printed = ipvs::print_save(&state);
                let mut again = Saves::new();
                let read = again.read(&printed, family);
                read.expect("what is printed can be read");
                same(&again.finish().state, &state, &printed);
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

const fn is_misplaced(key: &Key) -> bool {
    matches!(key, Key::Rule { copy, .. } if *copy >= Key::MISPLACED)
}
