//! What rules look at: terms of packets, and what sets have for them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;

use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{CtKey, Hash, MetaKey, Rule, SetFlags, Term, Transport, Value};

use super::contents::Found;
use super::flight::{InFlight, Written};
use super::traverse::Traversal;
use crate::walker::{Origin, WalkError};

/// `IP_CT_NEW` as `ct state` has it.
const NEW: u32 = 8;
/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
const SOURCE_TRANSLATED: u32 = 16;
const DESTINATION_TRANSLATED: u32 = 32;
/// `RTN_UNICAST` and `RTN_LOCAL`.
const UNICAST: u32 = 1;
const LOCAL: u32 = 2;
/// `IFNAMSIZ`.
const NAME_LEN: usize = 16;

impl Traversal<'_> {
    /// Every value that terms can have in a row, each as likely as every other; none where the
    /// packet has none of these.
    pub(super) fn keys(
        &self,
        rule: &Rule,
        terms: &[Term],
        packet: &InFlight,
    ) -> Result<Vec<Value>, WalkError> {
        let mut keys = vec![Value::default()];
        for term in terms {
            let fields = self.values(rule, term, packet)?;
            let sole = terms.len() == 1;
            keys = keys
                .into_iter()
                .flat_map(|key| {
                    fields.iter().map(move |field| {
                        if sole {
                            return field.clone();
                        }
                        let mut key = key.clone();
                        key.push(field.as_bytes());
                        key
                    })
                })
                .collect();
        }
        Ok(keys)
    }

    /// The only value that a term has; `None` where the packet has none of these.
    pub(super) fn value(
        &self,
        rule: &Rule,
        term: &Term,
        packet: &InFlight,
    ) -> Result<Option<Value>, WalkError> {
        let mut values = self.values(rule, term, packet)?.into_iter();
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(self.unmodelled(rule, "a drawn number by itself")),
        }
    }

    fn values(&self, rule: &Rule, term: &Term, packet: &InFlight) -> Result<Vec<Value>, WalkError> {
        let source = || {
            let unknown = || self.unmodelled(rule, "the source after masquerading");
            packet.source.ok_or_else(unknown)
        };
        let port = |transport: &Transport, of: SocketAddr| {
            let is_meant = transport
                .protocol()
                .is_none_or(|number| number == self.packet.protocol.number());
            is_meant.then(|| Value::from(of.port()))
        };
        let one = match term {
            Term::SourceAddress => Some(source()?.ip().into()),
            Term::DestinationAddress => Some(packet.destination.ip().into()),
            Term::SourcePort(transport) => port(transport, source()?),
            Term::DestinationPort(transport) => port(transport, packet.destination),
            Term::Meta(MetaKey::L4Proto) => Some(self.packet.protocol.number().into()),
            Term::Meta(MetaKey::Mark) => Some(packet.mark.into()),
            Term::Meta(MetaKey::Priority) => Some(packet.priority.into()),
            Term::Meta(MetaKey::InterfaceIn) => Some(self.interface(rule)?),
            Term::Ct(CtKey::State) => Some(NEW.into()),
            Term::Ct(CtKey::Status) => {
                let source = if packet.source.is_none() {
                    SOURCE_TRANSLATED
                } else {
                    0
                };
                let destination = if packet.is_translated {
                    DESTINATION_TRANSLATED
                } else {
                    0
                };
                Some((source | destination).into())
            }
            Term::SourceType => {
                let is_local = self.host.is_local(&source()?.ip());
                Some(if is_local { LOCAL } else { UNICAST }.into())
            }
            Term::DestinationType => {
                let is_local = self.host.is_local(&packet.destination.ip());
                Some(if is_local { LOCAL } else { UNICAST }.into())
            }
            Term::Numgen(numgen) if numgen.random => {
                let numbers = (0..numgen.modulus).map(|number| number + numgen.offset);
                return Ok(numbers.map(Value::from).collect());
            }
            Term::Hash(hash) => self.hash(rule, hash, packet)?,
            _ => return Err(self.unmodelled(rule, "what it looks at")),
        };
        Ok(one.into_iter().collect())
    }

    /// The name of the interface that the packet came by, as the kernel fills it up.
    fn interface(&self, rule: &Rule) -> Result<Value, WalkError> {
        let name = match (self.chain.base.hook, &self.packet.origin) {
            (Hook::Postrouting, _) => {
                return Err(self.unmodelled(rule, "the interface behind routing"));
            }
            (Hook::Output, _) => "",
            (_, Origin::Interface(name)) => name,
            (_, Origin::Node) => "lo",
        };
        let mut bytes: Vec<u8> = name.bytes().collect();
        bytes.resize(NAME_LEN, 0);
        Ok(Value::new(&bytes))
    }

    /// Some number that follows from the bytes: which one it is in the kernel only packets learn,
    /// see [`Traversal::find`].
    fn hash(
        &self,
        rule: &Rule,
        hash: &Hash,
        packet: &InFlight,
    ) -> Result<Option<Value>, WalkError> {
        let Some(seed) = hash.seed else {
            return Err(self.unmodelled(rule, "a hash that begins anyhow"));
        };
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        for term in &hash.of {
            let Some(value) = self.value(rule, term, packet)? else {
                return Ok(None);
            };
            value.hash(&mut hasher);
        }
        let number = hasher.finish() % u64::from(hash.modulus);
        let number = u32::try_from(number).unwrap_or_default() + hash.offset;
        Ok(Some(number.into()))
    }

    /// All that a set may have for a key: what the packet left there itself, or what each state
    /// has, without telling equals apart.
    pub(super) fn find(
        &self,
        rule: &Rule,
        set: &str,
        terms: &[Term],
        (key, packet): (&Value, &InFlight),
    ) -> Result<Vec<Found>, WalkError> {
        let place = (set.into(), key.clone());
        if let Some(written) = packet.written.get(&place) {
            let element = |it: &Written| Found::element(it.data.as_ref());
            return Ok(vec![written.as_ref().map_or(Found::Nothing, element)]);
        }
        if let Some(written) = self.memory.get(&place) {
            return Ok(vec![Found::element(written.data.as_ref())]);
        }
        let mut found: Vec<Found> = Vec::new();
        for table in self.states.iter().filter_map(|it| it.table(self.family)) {
            let Some(set) = table.set(set) else {
                continue;
            };
            if set.key_len() != key.len() {
                return Err(self.unmodelled(rule, "a key of another length"));
            }
            let hashed = terms.iter().any(|term| matches!(term, Term::Hash(_)));
            if hashed && !set.spec.flags.has(SetFlags::DYNAMIC) {
                return Err(self.unmodelled(rule, "a hash of which others know the number"));
            }
            let one = set.find(key);
            if !found.contains(&one) {
                found.push(one);
            }
        }
        Ok(found)
    }
}
