//! `-j` extensions and their options.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Draft, ParseError, Parser, names, plain, values};
use crate::Family;
use crate::xtables::{DnatTo, PortRange, Reject, Target};

const MARK: &str = "--set-xmark";

impl Parser<'_> {
    /// What `-j name` means: a verdict, an extension or a chain.
    pub(super) fn jump(&self, name: String) -> Result<Draft<Target>, ParseError> {
        let family = self.rule.family;
        Ok(match name.as_str() {
            "ACCEPT" => Draft::whole("-j ACCEPT", Target::Accept),
            "DROP" => Draft::whole("-j DROP", Target::Drop),
            "RETURN" => Draft::whole("-j RETURN", Target::Return),
            "DNAT" => {
                let address = match family {
                    Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let to = Target::Dnat(DnatTo {
                    address,
                    port: None,
                });
                Draft::needing("-j DNAT", "--to-destination", to)
            }
            "MARK" => Draft::needing("-j MARK", MARK, Target::Mark { value: 0, mask: 0 }),
            "MASQUERADE" => Draft::whole(
                "-j MASQUERADE",
                Target::Masquerade {
                    ports: None,
                    random_fully: false,
                },
            ),
            "REJECT" => Draft::whole(
                "-j REJECT",
                Target::Reject(Reject::port_unreachable(family)),
            ),
            other if names::OTHER_TARGETS.contains(&other) => {
                return Err(ParseError::Target { name });
            }
            _ => Draft::whole("-j", Target::Jump(name)),
        })
    }

    /// Reads an option of a target; false where it is none.
    pub(super) fn target_option(&mut self, option: &str, not: bool) -> Result<bool, ParseError> {
        match option {
            "--to-destination" => {
                plain(option, not)?;
                let family = self.rule.family;
                let to = self.value(option, |word| values::destination(family, word))?;
                self.target("-j DNAT", option)?
                    .give(option, Target::Dnat(to))?;
            }
            "--set-xmark" | "--set-mark" | "--and-mark" | "--or-mark" | "--xor-mark" => {
                plain(option, not)?;
                let (value, mask) = self.value(option, |word| match option {
                    "--set-xmark" => values::value_mask(word),
                    "--set-mark" => {
                        values::value_mask(word).map(|(bits, mask)| (bits, bits | mask))
                    }
                    "--and-mark" => values::number(word).map(|bits| (0, !bits)),
                    "--or-mark" => values::number(word).map(|bits| (bits, bits)),
                    _ => values::number(word).map(|bits| (bits, 0)),
                })?;
                self.target("-j MARK", option)?
                    .give(MARK, Target::Mark { value, mask })?;
            }
            "--random-fully" => {
                plain(option, not)?;
                *self.masquerade(option)?.1 = true;
            }
            "--to-ports" => {
                plain(option, not)?;
                let range = self.value(option, values::to_ports)?;
                *self.masquerade(option)?.0 = Some(range);
            }
            "--reject-with" => {
                plain(option, not)?;
                let family = self.rule.family;
                let with = self.value(option, |word| {
                    names::reject_number(family, word).ok_or("REJECT of this family has no such")
                })?;
                self.target("-j REJECT", option)?.value = Target::Reject(with);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The ports of a `MASQUERADE` and whether it is fully random.
    fn masquerade(
        &mut self,
        option: &str,
    ) -> Result<(&mut Option<PortRange>, &mut bool), ParseError> {
        let extension = "-j MASQUERADE";
        match &mut self.target(extension, option)?.value {
            Target::Masquerade {
                ports,
                random_fully,
            } => Ok((ports, random_fully)),
            _ => Err(ParseError::NotLoaded {
                option: option.to_owned(),
                extension,
            }),
        }
    }

    /// The target, if it is this extension.
    fn target(
        &mut self,
        extension: &'static str,
        option: &str,
    ) -> Result<&mut Draft<Target>, ParseError> {
        self.target
            .as_mut()
            .filter(|draft| draft.extension == extension)
            .ok_or_else(|| ParseError::NotLoaded {
                option: option.to_owned(),
                extension,
            })
    }
}
