//! States in the syntax of the tools: `ipvsadm`, `ipset`, `ip`, `iptables`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use ipvs_netlink::text::{self, Line};
use nfnetlink::{Family, ipset};

use super::observe::{Netfilter, Observation, Observed};
use super::{Desired, Key, Object};
use crate::netfilter::{self, parse_save};
use crate::ownership::{Layout, Set, leftovers::IPVS_LINK};

/// What a text tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `ipset save`.
    Sets,
    /// `ipvsadm -Sn`.
    Servers,
    /// The addresses on the link, as `ip address show dev kube-ipvs0` has them.
    Addresses,
    /// `iptables-save` or `ip6tables-save`.
    Rules(Family),
}

impl Section {
    /// All, in the order in which [`print_save`] has them.
    pub const ALL: [Self; 5] = [
        Self::Sets,
        Self::Servers,
        Self::Addresses,
        Self::Rules(Family::Ipv4),
        Self::Rules(Family::Ipv6),
    ];

    /// The line that says so in a text of several.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Sets => "# ipset save",
            Self::Servers => "# ipvsadm -Sn",
            Self::Addresses => "# ip address show dev kube-ipvs0",
            Self::Rules(Family::Ipv4) => "# iptables-save",
            Self::Rules(Family::Ipv6) => "# ip6tables-save",
        }
    }

    /// What a comment says that comes next: one of our headings, or iptables' own.
    fn headed(comment: &str) -> Option<Self> {
        if comment.starts_with("# Completed") {
            return None;
        }
        // The longer name first: it contains the shorter one.
        Self::ALL
            .into_iter()
            .rev()
            .find(|section| comment.contains(section.heading().trim_start_matches("# ")))
    }

    /// What a line is a part of, as far as the line alone tells.
    fn of_line(line: &str) -> Option<Self> {
        let first = line.split_ascii_whitespace().next()?;
        match first {
            "create" | "add" => Some(Self::Sets),
            "-a" => Some(Self::Servers),
            "inet" | "inet6" => Some(Self::Addresses),
            // The link's own line comes before those of its addresses.
            _ if line.contains(&format!(": {IPVS_LINK}: ")) => Some(Self::Addresses),
            "-A" => line
                .split_ascii_whitespace()
                .nth(1)
                .is_some_and(|word| word.starts_with('-'))
                .then_some(Self::Servers),
            _ => None,
        }
    }
}

/// Why a text can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A line of `ipvsadm`.
    #[error(transparent)]
    Servers(#[from] text::ParseError),
    /// A line of `ipset`.
    #[error(transparent)]
    Sets(#[from] ipset::SaveError),
    /// A line of `iptables-save`.
    #[error(transparent)]
    Rules(#[from] netfilter::SaveError),
    /// An address that is none.
    #[error("line {line}: `{text}` is not an address behind inet or inet6")]
    Address {
        /// 1-based.
        line: usize,
        /// What is there.
        text: String,
    },
    /// A line that no tool prints.
    #[error(
        "line {line}: `{text}` is of none of ipvsadm -Sn, ipset save, ip address show and \
         iptables-save"
    )]
    Unknown {
        /// 1-based.
        line: usize,
        /// The line.
        text: String,
    },
    /// Rules without a word about their family.
    #[error("line {line}: does not say whether these rules are of IPv4 or IPv6")]
    Family {
        /// 1-based.
        line: usize,
    },
}

/// Collects what saved texts tell, each of which may hold several sections.
#[derive(Debug, Default)]
pub struct Saves {
    observation: Observation<Object>,
    sections: BTreeSet<Section>,
}

impl Saves {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a text. `family` is that of rules whose text does not say it.
    pub fn read(&mut self, text: &str, family: Option<Family>) -> Result<(), SaveError> {
        for (section, text) in split(text, family)? {
            self.sections.insert(section);
            self.read_section(section, &text)?;
        }
        Ok(())
    }

    fn read_section(&mut self, section: Section, text: &str) -> Result<(), SaveError> {
        let observation = &mut self.observation;
        match section {
            Section::Servers => {
                for line in text::parse(text) {
                    match line? {
                        Line::Server { id, server } => observation.server(id, server),
                        Line::Destination {
                            server,
                            id,
                            destination,
                        } => observation.destination(server, id, destination),
                    }
                }
            }
            Section::Sets => {
                for saved in ipset::parse_save(text)? {
                    let kind = saved.spec.kind().name();
                    if let Some(set) = Set::parse(&saved.name, kind) {
                        observation.set(set, saved.spec);
                        for entry in saved.entries {
                            observation.entry(set, entry);
                        }
                    }
                }
            }
            Section::Addresses => {
                observation.link();
                for (index, line) in text.lines().enumerate() {
                    if let Some(address) = bound_address(index + 1, line)? {
                        observation.address(address);
                    }
                }
            }
            Section::Rules(family) => {
                let state = parse_save::<Netfilter<Object>>(Layout::Ipvs, family, text)?;
                observation.netfilter(state);
            }
        }
        Ok(())
    }

    /// The sections that were there.
    pub const fn sections(&self) -> &BTreeSet<Section> {
        &self.sections
    }

    /// What is ours of all that was read. Virtual servers are ours by sets and addresses, so there
    /// are none where those were not among the texts.
    pub fn finish(self) -> Observed<Object> {
        self.observation.finish()
    }
}

/// The sections of a text, each with the text's other lines left empty: lines keep their numbers.
fn split(text: &str, family: Option<Family>) -> Result<BTreeMap<Section, String>, SaveError> {
    // With the number of lines so far.
    let mut sections: BTreeMap<Section, (String, usize)> = BTreeMap::new();
    let (mut rules, mut current) = (family.map(Section::Rules), None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') {
            if let Some(section) = Section::headed(line) {
                current = Some(section);
                if let Section::Rules(_) = section {
                    rules = current;
                }
                sections.entry(section).or_default();
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        if line.starts_with('*') {
            current = Some(rules.ok_or(SaveError::Family { line: number })?);
        } else if let Some(section) = Section::of_line(line) {
            current = Some(section);
        }
        let section = current.ok_or_else(|| SaveError::Unknown {
            line: number,
            text: line.to_owned(),
        })?;
        let (part, lines) = sections.entry(section).or_default();
        part.extend(std::iter::repeat_n('\n', index - *lines));
        let _ = writeln!(part, "{line}");
        *lines = number;
    }
    Ok(sections
        .into_iter()
        .map(|(section, (part, _))| (section, part))
        .collect())
}

/// The address of a line that has one. Lines about the link itself have none.
fn bound_address(line: usize, text: &str) -> Result<Option<IpAddr>, SaveError> {
    let mut words = text.split_ascii_whitespace();
    if !words.any(|word| matches!(word, "inet" | "inet6")) {
        return Ok(None);
    }
    let word = words.next().unwrap_or_default();
    let address = word.split('/').next().unwrap_or_default().parse();
    match address {
        Ok(address) if word.parse::<IpNet>().is_ok() || !word.contains('/') => Ok(Some(address)),
        _ => Err(SaveError::Address {
            line,
            text: word.to_owned(),
        }),
    }
}

/// An object other than a chain or a rule as the tools print it; one line, as each has only one.
/// `None` for chains and rules.
pub fn line(key: &Key, object: &Object) -> Option<String> {
    match (key, object) {
        (Key::Set(set), Object::Set(spec)) => Some(format!("create {set} {spec}")),
        (Key::Entry { set, entry }, _) => Some(format!("add {set} {entry}")),
        (Key::Server(id), Object::Server(server)) => {
            let (id, server) = (*id, *server);
            Some(Line::Server { id, server }.to_string())
        }
        (
            Key::Destination {
                server,
                destination: id,
            },
            Object::Destination(destination),
        ) => {
            let (server, id, destination) = (*server, *id, *destination);
            let line = Line::Destination {
                server,
                id,
                destination,
            };
            Some(line.to_string())
        }
        (Key::Address(address), _) => {
            let word = if address.is_ipv4() { "inet" } else { "inet6" };
            Some(format!("{word} {}", IpNet::from(*address)))
        }
        (Key::Link, _) => Some(format!("link {IPVS_LINK}")),
        _ => None,
    }
}

/// The section that an object belongs to.
pub fn section(key: &Key) -> Section {
    match key {
        Key::Set(_) | Key::Entry { .. } => Section::Sets,
        Key::Server(_) | Key::Destination { .. } => Section::Servers,
        Key::Link | Key::Address(_) => Section::Addresses,
        Key::Netfilter(key) => Section::Rules(key.table().family),
    }
}

/// Prints a state, each section behind its heading; sections without objects are left out.
pub fn print_save(state: &Desired) -> String {
    let sections = sections(state);
    let mut text = String::new();
    for section in Section::ALL {
        if let Some(part) = sections.get(&section) {
            let _ = write!(text, "{}\n{part}", section.heading());
        }
    }
    text
}

/// The same section by section, without headings.
pub fn sections(state: &Desired) -> BTreeMap<Section, String> {
    let mut sections: BTreeMap<Section, String> = BTreeMap::new();
    let mut servers: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut rules = Vec::new();
    for (key, object) in state {
        let part = sections.entry(section(key)).or_default();
        match (key, object) {
            (Key::Netfilter(key), Object::Netfilter(object)) => rules.push((*key, object.clone())),
            // A destination is printed behind its server.
            (Key::Server(id) | Key::Destination { server: id, .. }, _) => {
                servers.entry(*id).or_default().extend(line(key, object));
            }
            (Key::Link, _) => {}
            _ => {
                let _ = writeln!(part, "{}", line(key, object).unwrap_or_default());
            }
        }
    }
    for lines in servers.into_values() {
        let part = sections.entry(Section::Servers).or_default();
        let _ = writeln!(part, "{}", lines.join("\n"));
    }
    let rules = rules.into_iter().collect();
    for family in Family::ALL {
        if let Some(part) = sections.get_mut(&Section::Rules(family)) {
            *part = netfilter::print_save(family, &rules);
        }
    }
    sections
}
