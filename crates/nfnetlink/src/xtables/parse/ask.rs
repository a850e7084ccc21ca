//! Options of `-m set`, `-m physdev` and `-m ipvs`.

use super::{Draft, ParseError, Parser, names, once, plain, values};
use crate::ipset::NAME_MAX;
use crate::xtables::{Directions, Forwarding, Ipvs, Match, NotOr, Physdev};

const SET: &str = "-m set";
const PHYSDEV: &str = "-m physdev";
const IPVS: &str = "-m ipvs";
const MATCH_SET: &str = "--match-set";

/// An extension without its options; `None` for other names.
pub(super) fn load(name: &str) -> Option<Draft<Match>> {
    Some(match name {
        "set" => {
            let set = Match::Set {
                not: false,
                name: String::new(),
                dirs: Directions::DST,
            };
            Draft::needing(SET, MATCH_SET, set)
        }
        "physdev" => Draft::needing(
            PHYSDEV,
            "an option such as --physdev-is-in",
            Match::Physdev(Physdev::default()),
        ),
        "ipvs" => Draft::needing(
            IPVS,
            "an option such as --vaddr",
            Match::Ipvs(Ipvs::default()),
        ),
        _ => return None,
    })
}

impl Parser<'_> {
    /// Reads an option of these matches; false where it is none.
    pub(super) fn ask_option(&mut self, option: &str, not: bool) -> Result<bool, ParseError> {
        match option {
            MATCH_SET => {
                let name = self.value(option, |word| values::plain(word, NAME_MAX))?;
                let dirs = self.value(option, values::directions)?;
                self.draft(SET, option)?
                    .give(option, Match::Set { not, name, dirs })?;
            }
            "--physdev-in" | "--physdev-out" => {
                let value = self.value(option, |word| match values::interface(word) {
                    // The kernel's field holds the `+` as well.
                    Ok(port) if port.wildcard && port.name.len() > 14 => {
                        Err("the name is too long")
                    }
                    other => other,
                })?;
                let physdev = self.physdev(option)?;
                let slot = if option == "--physdev-in" {
                    &mut physdev.input
                } else {
                    &mut physdev.output
                };
                once(option, slot, Box::new(NotOr { not, value }))?;
            }
            "--physdev-is-in" => once(option, &mut self.physdev(option)?.is_in, !not)?,
            "--physdev-is-out" => once(option, &mut self.physdev(option)?.is_out, !not)?,
            "--physdev-is-bridged" => once(option, &mut self.physdev(option)?.is_bridged, !not)?,
            "--ipvs" => {
                let ipvs = self.ipvs(option)?;
                ipvs.foreign = not;
            }
            "--vproto" => {
                let value = self.value(option, |word| {
                    names::protocol_number(word)
                        .ok_or("expected tcp, udp, sctp or a number of 0 to 255")
                })?;
                once(
                    option,
                    &mut self.ipvs(option)?.protocol,
                    NotOr { not, value },
                )?;
            }
            "--vaddr" => {
                let family = self.rule.family;
                let value = self.value(option, |word| values::network(family, word))?;
                once(
                    option,
                    &mut self.ipvs(option)?.address,
                    NotOr { not, value },
                )?;
            }
            "--vport" | "--vportctl" => {
                let value = self.value(option, values::port)?;
                let ipvs = self.ipvs(option)?;
                let slot = if option == "--vport" {
                    &mut ipvs.port
                } else {
                    &mut ipvs.control_port
                };
                once(option, slot, NotOr { not, value })?;
            }
            "--vdir" => {
                plain(option, not)?;
                let reply = self.value(option, |word| match word {
                    _ if word.eq_ignore_ascii_case("REPLY") => Ok(true),
                    _ if word.eq_ignore_ascii_case("ORIGINAL") => Ok(false),
                    _ => Err("expected ORIGINAL or REPLY"),
                })?;
                once(option, &mut self.ipvs(option)?.reply, reply)?;
            }
            "--vmethod" => {
                let value = self.value(option, |word| {
                    Forwarding::ALL
                        .into_iter()
                        .find(|method| method.name().eq_ignore_ascii_case(word))
                        .ok_or("expected GATE, IPIP or MASQ")
                })?;
                let slot = &mut self.ipvs(option)?.forwarding;
                once(option, slot, NotOr { not, value })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn physdev(&mut self, option: &str) -> Result<&mut Physdev, ParseError> {
        let mut drafts = self.drafts.iter_mut().rev();
        let found = drafts.find_map(|draft| match &mut draft.value {
            Match::Physdev(physdev) => {
                draft.missing = [None; 2];
                Some(physdev)
            }
            _ => None,
        });
        found.ok_or_else(|| not_loaded(option, PHYSDEV))
    }

    fn ipvs(&mut self, option: &str) -> Result<&mut Ipvs, ParseError> {
        let mut drafts = self.drafts.iter_mut().rev();
        let found = drafts.find_map(|draft| match &mut draft.value {
            Match::Ipvs(ipvs) => {
                draft.missing = [None; 2];
                Some(ipvs)
            }
            _ => None,
        });
        found.ok_or_else(|| not_loaded(option, IPVS))
    }
}

fn not_loaded(option: &str, extension: &'static str) -> ParseError {
    ParseError::NotLoaded {
        option: option.to_owned(),
        extension,
    }
}
