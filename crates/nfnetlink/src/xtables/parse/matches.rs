//! `-m` extensions and their options.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Draft, ParseError, Parser, once, plain, values};
use crate::Family;
use crate::xtables::{CtStates, Match, NotOr, Recent, RecentMode, Rule, protocol};

const ADDR_TYPE: &str = "--src-type or --dst-type";
const RECENT_MODE: &str = "--set, --rcheck, --update or --remove";

impl Parser<'_> {
    /// Loads an extension: `-m name`.
    pub(super) fn load(&mut self, name: &str) -> Result<(), ParseError> {
        let ports = |protocol| Match::Ports {
            protocol,
            src: None,
            dst: None,
        };
        let draft = match name {
            "comment" => Draft::needing("-m comment", "--comment", Match::Comment(String::new())),
            "tcp" => Draft::whole("-m tcp", ports(protocol::TCP)),
            "udp" => Draft::whole("-m udp", ports(protocol::UDP)),
            "sctp" => Draft::whole("-m sctp", ports(protocol::SCTP)),
            "mark" => {
                let mark = Match::Mark {
                    not: false,
                    value: 0,
                    mask: 0,
                };
                Draft::needing("-m mark", "--mark", mark)
            }
            "conntrack" => {
                let states = Match::Conntrack(NotOr::is(CtStates(0)));
                Draft::needing("-m conntrack", "--ctstate", states)
            }
            "addrtype" => {
                let types = Match::AddrType {
                    src: None,
                    dst: None,
                };
                Draft::needing("-m addrtype", ADDR_TYPE, types)
            }
            "statistic" => Draft {
                missing: [Some("--mode"), Some("--probability")],
                ..Draft::whole(
                    "-m statistic",
                    Match::Random {
                        not: false,
                        probability: 0,
                    },
                )
            },
            "recent" => {
                let recent = Match::Recent(Recent {
                    name: "DEFAULT".to_owned(),
                    mode: RecentMode::Set,
                    not: false,
                    seconds: 0,
                    hits: 0,
                    reap: false,
                });
                Draft::needing("-m recent", RECENT_MODE, recent)
            }
            "nfacct" => Draft::needing("-m nfacct", "--nfacct-name", Match::Nfacct(String::new())),
            name => super::ask::load(name).ok_or_else(|| ParseError::Match {
                name: name.to_owned(),
            })?,
        };
        self.drafts.push(draft);
        Ok(())
    }

    /// Reads an option of a match; false where it is none.
    pub(super) fn match_option(&mut self, option: &str, not: bool) -> Result<bool, ParseError> {
        match option {
            "--comment" => {
                plain(option, not)?;
                let text = self.value(option, |word| values::text(word, 255))?;
                self.draft("-m comment", option)?
                    .give(option, Match::Comment(text))?;
            }
            "--sport" | "--source-port" => self.ports(option, not, false)?,
            "--dport" | "--destination-port" => self.ports(option, not, true)?,
            "--mark" => {
                let (value, mask) = self.value(option, values::value_mask)?;
                let condition = Match::Mark { not, value, mask };
                self.draft("-m mark", option)?.give(option, condition)?;
            }
            "--ctstate" => {
                let value = self.value(option, values::ct_states)?;
                let states = Match::Conntrack(NotOr { not, value });
                self.draft("-m conntrack", option)?.give(option, states)?;
            }
            "--src-type" => self.addr_type(option, not, false)?,
            "--dst-type" => self.addr_type(option, not, true)?,
            "--mode" => {
                plain(option, not)?;
                self.value(option, |word| match word {
                    "random" => Ok(()),
                    _ => Err("only `random` is supported"),
                })?;
                let draft = self.draft("-m statistic", option)?;
                let unchanged = draft.value.clone();
                draft.give(option, unchanged)?;
            }
            "--probability" => {
                let probability = self.value(option, values::probability)?;
                let random = Match::Random { not, probability };
                self.draft("-m statistic", option)?.give(option, random)?;
            }
            "--nfacct-name" => {
                plain(option, not)?;
                let name = self.value(option, |word| values::text(word, 31))?;
                self.draft("-m nfacct", option)?
                    .give(option, Match::Nfacct(name))?;
            }
            "--set" => self.recent_mode(option, not, RecentMode::Set)?,
            "--rcheck" => self.recent_mode(option, not, RecentMode::Rcheck)?,
            "--update" => self.recent_mode(option, not, RecentMode::Update)?,
            "--remove" => self.recent_mode(option, not, RecentMode::Remove)?,
            "--name" | "--seconds" | "--hitcount" | "--reap" | "--rsource" | "--mask" => {
                plain(option, not)?;
                self.recent_option(option)?;
            }
            _ => return self.ask_option(option, not),
        }
        Ok(true)
    }

    /// The extension loaded last under this name.
    pub(super) fn draft(
        &mut self,
        extension: &'static str,
        option: &str,
    ) -> Result<&mut Draft<Match>, ParseError> {
        let mut drafts = self.drafts.iter_mut().rev();
        drafts
            .find(|draft| draft.extension == extension)
            .ok_or_else(|| ParseError::NotLoaded {
                option: option.to_owned(),
                extension,
            })
    }

    fn ports(&mut self, option: &str, not: bool, destination: bool) -> Result<(), ParseError> {
        let ports = NotOr {
            not,
            value: self.value(option, values::ports)?,
        };
        let is_ports = |draft: &Draft<Match>| matches!(draft.value, Match::Ports { .. });
        if !self.drafts.iter().any(is_ports) {
            // `-p tcp --dport` loads the extension of the protocol.
            match self.rule.protocol {
                Some(NotOr {
                    not: false,
                    value: protocol::TCP,
                }) => self.load("tcp")?,
                Some(NotOr {
                    not: false,
                    value: protocol::UDP,
                }) => self.load("udp")?,
                Some(NotOr {
                    not: false,
                    value: protocol::SCTP,
                }) => self.load("sctp")?,
                _ => {}
            }
        }
        let loaded = self
            .drafts
            .iter_mut()
            .rev()
            .find_map(|draft| match &mut draft.value {
                Match::Ports { src, dst, .. } => Some(if destination { dst } else { src }),
                _ => None,
            });
        let Some(slot) = loaded else {
            let extension = "-p tcp, udp or sctp";
            return Err(ParseError::NotLoaded {
                option: option.to_owned(),
                extension,
            });
        };
        once(option, slot, ports)
    }

    fn addr_type(&mut self, option: &str, not: bool, dst_type: bool) -> Result<(), ParseError> {
        let types = NotOr {
            not,
            value: self.value(option, values::addr_types)?,
        };
        let draft = self.draft("-m addrtype", option)?;
        draft.missing = [None; 2];
        match &mut draft.value {
            Match::AddrType { dst, .. } if dst_type => once(option, dst, types),
            Match::AddrType { src, .. } => once(option, src, types),
            _ => Ok(()),
        }
    }

    fn recent(&mut self, option: &str) -> Result<&mut Recent, ParseError> {
        let mut drafts = self.drafts.iter_mut().rev();
        let recent = drafts.find_map(|draft| match &mut draft.value {
            Match::Recent(recent) => Some(recent),
            _ => None,
        });
        let extension = "-m recent";
        recent.ok_or_else(|| ParseError::NotLoaded {
            option: option.to_owned(),
            extension,
        })
    }

    fn recent_mode(&mut self, option: &str, not: bool, mode: RecentMode) -> Result<(), ParseError> {
        let recent = self.recent(option)?;
        recent.mode = mode;
        recent.not = not;
        let draft = self.draft("-m recent", option)?;
        if draft.missing == [None; 2] {
            return Err(ParseError::Repeated {
                option: option.to_owned(),
            });
        }
        draft.missing = [None; 2];
        Ok(())
    }

    fn recent_option(&mut self, option: &str) -> Result<(), ParseError> {
        match option {
            "--name" => {
                let name = self.value(option, |word| values::plain(word, 199))?;
                self.recent(option)?.name = name;
            }
            "--seconds" => self.recent(option)?.seconds = self.value(option, values::number)?,
            "--hitcount" => self.recent(option)?.hits = self.value(option, values::number)?,
            "--reap" => self.recent(option)?.reap = true,
            "--mask" => {
                let whole: IpAddr = match self.rule.family {
                    Family::Ipv4 => Ipv4Addr::BROADCAST.into(),
                    Family::Ipv6 => Ipv6Addr::from([0xff; 16]).into(),
                };
                self.value(option, |word| match word.parse::<IpAddr>() {
                    Ok(mask) if mask == whole => Ok(()),
                    _ => Err("only the mask of a whole address is supported"),
                })?;
                self.recent(option)?;
            }
            // --rsource is what happens anyway.
            _ => {
                self.recent(option)?;
            }
        }
        Ok(())
    }
}

/// Checks what needs the whole rule.
pub(super) fn check(rule: &Rule) -> Result<(), ParseError> {
    for one in &rule.matches {
        match one {
            Match::Ports {
                protocol: number, ..
            } if rule.protocol != Some(NotOr::is(*number)) => {
                let (extension, option) = match *number {
                    protocol::TCP => ("-m tcp", "-p tcp"),
                    protocol::SCTP => ("-m sctp", "-p sctp"),
                    _ => ("-m udp", "-p udp"),
                };
                return Err(ParseError::Incomplete { extension, option });
            }
            Match::Ipvs(ipvs) if ipvs.foreign && ipvs.has_properties() => {
                return Err(ParseError::Inverted {
                    option: "--ipvs".to_owned(),
                });
            }
            Match::Recent(recent) if recent.reap && recent.seconds == 0 => {
                return Err(ParseError::Incomplete {
                    extension: "--reap",
                    option: "--seconds",
                });
            }
            _ => {}
        }
    }
    Ok(())
}
