//! IP sets and their elements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::ipset::{self, Changes, Entry, Error, Spec};
use viprule_dataplane::ipvs::{Key, Object, Observation, Piece};
use viprule_dataplane::ownership::{Set, SetName};

use super::outcome::Outcome;
use super::stage::Tagged;
use crate::clock;
use crate::error::chain;
use crate::{ApplyError, Tag, WriteError};

/// What is missing where there are no IP sets.
const PART: &str = "IP sets (CONFIG_IP_SET; modprobe ip_set)";
/// How long the kernel may take to free removed rules, which use sets; usually 8 to 16 ms.
const FREED_WITHIN: Duration = Duration::from_millis(500);
/// The name of a set for the moment in which another one grows.
const TWIN: &str = "viprule-twin";

/// The sets of some families.
#[derive(Debug)]
pub(super) struct Sets {
    socket: Socket,
    families: Vec<Family>,
}

impl Sets {
    pub(super) fn open(families: &[Family]) -> Result<Self, WriteError> {
        let socket = Socket::open(NETFILTER)
            .map_err(|error| WriteError::of("opening a netlink socket", error, PART))?;
        Ok(Self {
            socket,
            families: families.to_vec(),
        })
    }

    /// Reads our sets with their elements.
    pub(super) fn observe<V: From<(Key, Object)>>(
        &mut self,
        observation: &mut Observation<V>,
    ) -> Result<(), WriteError> {
        for (set, header) in self.headers()? {
            // One that does not serve is not ours yet: whoever wants it makes it anew.
            let Some(spec) = usable(set, &header) else {
                continue;
            };
            observation.set(set, spec);
            // Most of them: one request less for each.
            if header.elements == Some(0) {
                continue;
            }
            let name = set.to_string();
            let listing = ipset::list(&mut self.socket, &name)
                .map_err(|error| failed(&format!("reading IP set {name}"), error))?;
            let mut entries = listing.map(|it| it.entries).unwrap_or_default();
            // Cheaper here than as keys.
            entries.sort_unstable();
            for entry in entries {
                observation.entry(set, entry);
            }
        }
        Ok(())
    }

    /// Our sets that are there, by their names.
    pub(super) fn names(&mut self) -> Result<Vec<Set>, WriteError> {
        Ok(self.headers()?.into_keys().collect())
    }

    /// Our sets that are there, without their elements.
    fn headers(&mut self) -> Result<BTreeMap<Set, ipset::Header>, WriteError> {
        let mut headers = BTreeMap::new();
        let families = &self.families;
        let result = ipset::sets(&mut self.socket, |it| {
            if let Some(set) = Set::named(it.name)
                && families.contains(&set.family)
            {
                headers.insert(set, it.header);
            }
        });
        match result {
            Ok(()) | Err(Error::NotSupported) => Ok(headers),
            Err(error) => Err(failed("listing IP sets", error)),
        }
    }

    /// Makes sets.
    pub(super) fn create(
        &mut self,
        sets: &[Tagged<(Set, Spec)>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        if sets.is_empty() {
            return Ok(());
        }
        let there = self.headers()?;
        for Tagged { tag, what, .. } in sets {
            let (set, spec) = what;
            let name = set.to_string();
            // The kernel takes a set of another family for the same.
            let unusable = |header| usable(*set, header).is_none();
            if there.get(set).is_some_and(unusable) {
                if let Err(reason) = self.adapt(*set, *spec) {
                    outcome.refuse(*tag, || reason);
                }
                continue;
            }
            match ipset::create(&mut self.socket, &name, spec) {
                Ok(()) => {}
                Err(Error::Differs { .. }) => {
                    if let Err(reason) = self.adapt(*set, *spec) {
                        outcome.refuse(*tag, || reason);
                    }
                }
                Err(error) => refuse(*tag, error, outcome)?,
            }
        }
        Ok(())
    }

    /// Lets a set that is there and made with something else do, if it can; else makes it anew, if
    /// nothing uses it.
    fn adapt(&mut self, set: Set, wanted: Spec) -> Result<(), String> {
        let name = set.to_string();
        let listing = ipset::list(&mut self.socket, &name).map_err(|error| chain(&error))?;
        let Some(listing) = listing else {
            return Err(format!("IP set {name}: somebody removed it just now"));
        };
        match (usable(set, &listing.header), wanted) {
            (Some(it), wanted) if it == wanted => return Ok(()),
            (Some(_), Spec::Hash { max_elements, .. }) => {
                let grown = ipset::grow(&mut self.socket, &name, TWIN, max_elements);
                return grown.map_err(|error| chain(&error));
            }
            _ => {}
        }
        let is = listing.kind;
        let others = match listing.header.references {
            0 => match ipset::destroy(&mut self.socket, &name) {
                Ok(_) => {
                    let made = ipset::create(&mut self.socket, &name, &wanted);
                    tracing::warn!(set = name, was = is, "was made otherwise; made anew");
                    return made.map_err(|error| chain(&error));
                }
                // Used since it was listed.
                Err(Error::Busy { .. }) => "something".to_owned(),
                Err(error) => return Err(chain(&error)),
            },
            1 => "1 rule or set".to_owned(),
            references => format!("{references} rules or sets"),
        };
        Err(format!(
            "IP set {name} is there, a {is} that is made otherwise than it has to be ({wanted}), and \
             {others} use it: remove those, which iptables-save, nft list ruleset and ipset list \
             name, and it is made anew"
        ))
    }

    /// Adds elements. A set that is full grows.
    pub(super) fn add(
        &mut self,
        entries: &[Tagged<(Set, Entry)>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let changes = changes(entries, Changes::add);
        let mut again = Changes::new();
        let mut full = BTreeMap::<String, u32>::new();
        for refused in self.send(&changes, outcome)? {
            if matches!(refused.error, Error::Full { .. }) {
                *full.entry(refused.set.clone()).or_default() += 1;
                again.add(&refused.set, refused.entry, refused.tag);
            } else {
                outcome.refuse(refused.tag, || refused.to_string());
            }
        }
        for (name, more) in full {
            if let Err(error) = self.enlarge(&name, more) {
                // What does not fit is refused below.
                tracing::warn!(set = name, %error, "can't grow");
            }
        }
        for refused in self.send(&again, outcome)? {
            outcome.refuse(refused.tag, || refused.to_string());
        }
        Ok(())
    }

    /// Makes room for so many more elements, and then some.
    fn enlarge(&mut self, name: &str, more: u32) -> Result<(), Error> {
        let listing = ipset::list(&mut self.socket, name)?;
        let Some(Spec::Hash { max_elements, .. }) = listing.and_then(|it| it.header.spec) else {
            return Ok(());
        };
        let enough = max_elements.saturating_add(more);
        let enough = enough.checked_next_power_of_two().unwrap_or(u32::MAX);
        ipset::grow(&mut self.socket, name, TWIN, enough)
    }

    /// Removes elements.
    pub(super) fn delete(
        &mut self,
        entries: &[Tagged<(Set, Entry)>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let changes = changes(entries, Changes::remove);
        for refused in self.send(&changes, outcome)? {
            if !matches!(refused.error, Error::Missing { .. }) {
                outcome.refuse(refused.tag, || refused.to_string());
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        changes: &Changes<Tag>,
        outcome: &mut Outcome,
    ) -> Result<Vec<ipset::Refused<Tag>>, ApplyError<Piece>> {
        outcome.written.transactions += usize::from(!changes.is_empty());
        changes.send(&mut self.socket).map_err(unknown)
    }

    /// Destroys sets. One that is still used at the end is left without elements and told; the
    /// others go.
    pub(super) fn destroy(
        &mut self,
        sets: &[Tagged<Set>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        if sets.is_empty() {
            return Ok(());
        }
        // It is there only where growing was cut short.
        let _ = ipset::destroy(&mut self.socket, TWIN);
        let deadline = clock::now() + FREED_WITHIN;
        let mut left: Vec<(Tag, String)> = sets
            .iter()
            .map(|it| (it.tag, it.what.to_string()))
            .collect();
        while !left.is_empty() {
            let is_over = clock::now() >= deadline;
            let mut busy = Vec::new();
            for (tag, name) in left {
                match ipset::destroy(&mut self.socket, &name) {
                    Ok(_) => {}
                    // The kernel frees removed rules, and what they use, a moment after it told so.
                    Err(Error::Busy { .. }) if !is_over => busy.push((tag, name)),
                    Err(error) => {
                        if matches!(error, Error::Busy { .. }) {
                            ipset::flush(&mut self.socket, &name).map_err(unknown)?;
                        }
                        refuse(tag, error, outcome)?;
                    }
                }
            }
            left = busy;
            if !left.is_empty() {
                clock::sleep(FREED_WITHIN / 100);
            }
        }
        Ok(())
    }
}

/// The same change of each element, set by set: neighbours share messages.
fn changes(
    entries: &[Tagged<(Set, Entry)>],
    change: fn(&mut Changes<Tag>, &str, Entry, Tag),
) -> Changes<Tag> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|it| it.what.0);
    let mut changes = Changes::new();
    for of_set in sorted.chunk_by(|a, b| a.what.0 == b.what.0) {
        let name = of_set[0].what.0.to_string();
        for it in of_set {
            change(&mut changes, &name, it.what.1, it.tag);
        }
    }
    changes
}

/// What a set of ours is made with, where it serves as it is or once it has grown. One that has
/// grown serves as well as one that has not.
fn usable(set: Set, header: &ipset::Header) -> Option<Spec> {
    let wanted = set.spec();
    let is = header.spec.filter(|_| header.plain)?;
    if (is.kind(), is.family()) != (wanted.kind(), wanted.family()) {
        return None;
    }
    match (is, wanted) {
        (
            Spec::Hash { max_elements, .. },
            Spec::Hash {
                max_elements: enough,
                ..
            },
        ) if max_elements < enough => Some(is),
        (Spec::Hash { .. }, _) => Some(wanted),
        (is, wanted) => (is == wanted).then_some(is),
    }
}

/// Looks whether this kernel has the types of sets that are needed.
pub(super) fn probe(socket: &mut Socket) -> Result<(), WriteError> {
    let operation = "looking for what IPVS mode needs";
    let kinds: BTreeSet<_> = SetName::ALL.into_iter().map(SetName::kind).collect();
    for kind in kinds {
        let family = (kind != ipset::Kind::BitmapPort).then_some(Family::Ipv4);
        match ipset::revision(socket, kind, family) {
            Ok(_) => {}
            Err(error @ Error::NoKind { .. }) => {
                return Err(WriteError::Missing {
                    operation: operation.to_owned(),
                    part: format!("IP sets of type {kind}: {error}"),
                });
            }
            Err(error) => return Err(failed(operation, error)),
        }
    }
    Ok(())
}

fn refuse(tag: Tag, error: Error, outcome: &mut Outcome) -> Result<(), ApplyError<Piece>> {
    match error {
        Error::Netlink(error) if error.errno().is_none() || error.is_stale() => {
            Err(unknown(Error::Netlink(error)))
        }
        error => {
            outcome.refuse(tag, || chain(&error));
            Ok(())
        }
    }
}

/// It is not known what was written.
fn unknown(error: Error) -> ApplyError<Piece> {
    match error {
        Error::Netlink(error) if error.is_stale() => {
            ApplyError::Unknown(format!("writing IP sets: {error}"))
        }
        error => failed("writing IP sets", error).into(),
    }
}

pub(super) fn failed(operation: &str, error: Error) -> WriteError {
    match error {
        Error::NotSupported => WriteError::Missing {
            operation: operation.to_owned(),
            part: PART.to_owned(),
        },
        Error::Netlink(error) => WriteError::of(operation, error, PART),
        error => WriteError::failed(operation, error),
    }
}
