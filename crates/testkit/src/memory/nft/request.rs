//! Questions: the generation, single objects, and listings.

use netlink_batch::Errno;

use super::NfTables;
use super::dump::{Dump, Listed};
use super::uapi::{chain, element, op, rule, set, table};
use super::write::{self, Head};
use crate::memory::Sender;
use crate::memory::answer::{Answered, Delivery, Refused};
use crate::memory::fields::{Fields, Request};
use crate::memory::port::{Dumping, Ports};

impl NfTables {
    /// Answers a message that is no part of a batch.
    pub(in crate::memory) fn request(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        ports: &mut Ports,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        let fields = request.fields()?;
        let asks = matches!(
            request.kind,
            op::GET_TABLE | op::GET_CHAIN | op::GET_RULE | op::GET_SET | op::GET_ELEMENT
        );
        if request.is_dump() && asks {
            return self.start_dump(sender, request, &fields, ports, deliveries);
        }
        let mut datagram = Vec::new();
        let head = Head {
            port: sender.port,
            seq: request.seq,
            kind: 0,
            flags: 0,
            generation: self.ruleset.generation,
        };
        let at = |kind| Head { kind, ..head };
        match request.kind {
            op::GET_GEN => write::generation(&mut datagram, at(op::NEW_GEN), &sender.identity),
            op::GET_TABLE => {
                let found = self.find_table(request.family(), fields.need(table::NAME)?)?;
                if let Some(table) = self.ruleset.tables.get(&found) {
                    write::table(&mut datagram, at(op::NEW_TABLE), table);
                }
            }
            op::GET_CHAIN => {
                let found = self.find_table(request.family(), fields.need(chain::TABLE)?)?;
                let name = self.find_chain(found, fields.need(chain::NAME)?)?;
                if let Some(table) = self.ruleset.tables.get(&found)
                    && let Some(chain) = table.chains.get(&name)
                {
                    write::chain(&mut datagram, at(op::NEW_CHAIN), table, chain);
                }
            }
            op::GET_RULE => self.one_rule(request, &fields, at(op::NEW_RULE), &mut datagram)?,
            op::GET_SET => {
                let found = self.find_table(request.family(), fields.need(set::TABLE)?)?;
                let name = self.find_set(found, fields.need(set::NAME)?)?;
                if let Some(table) = self.ruleset.tables.get(&found)
                    && let Some(set) = table.sets.get(&name)
                {
                    write::set(&mut datagram, at(op::NEW_SET), table, set);
                }
            }
            op::GET_ELEMENT => {
                let head = at(op::NEW_ELEMENT);
                return self.some_elements(sender, request, &fields, head, deliveries);
            }
            // Changes come in batches only.
            _ => return Err(Refused::errno(Errno::INVAL)),
        }
        deliveries.push(Delivery::answer(sender.port, datagram));
        Ok(Answered::Done)
    }

    fn one_rule(
        &self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        head: Head,
        datagram: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let found = self.find_table(request.family(), fields.need(rule::TABLE)?)?;
        let name = self.find_chain(found, fields.need(rule::CHAIN)?)?;
        let named = fields.need(rule::HANDLE)?;
        let handle = named.u64_be()?;
        if let Some(table) = self.ruleset.tables.get(&found)
            && let Some(chain) = table.chains.get(&name)
        {
            let mut rules = chain.rules();
            let rule = rules.find(|rule| rule.handle == handle);
            let rule = rule.ok_or_else(|| named.refuse(Errno::NOENT))?;
            write::rule(datagram, head, (table, chain), rule, 0);
        }
        Ok(())
    }

    /// Answers each element with a message of its own, until one is not there.
    fn some_elements(
        &self,
        sender: &Sender,
        request: &Request<'_>,
        fields: &Fields<'_>,
        head: Head,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        let found = self.find_table(request.family(), fields.need(element::TABLE)?)?;
        let named = self.find_set(found, fields.need(element::SET)?)?;
        let wanted = fields.need(element::ELEMENTS)?.fields()?;
        let table = self.ruleset.tables.get(&found);
        let at = table.and_then(|table| Some((&**table, &**table.sets.get(&named)?)));
        let Some(at) = at else {
            return Ok(Answered::Done);
        };
        for one in wanted.iter() {
            let element = at.1.find(&one.fields()?)?;
            let element = element.ok_or_else(|| one.refuse(Errno::NOENT))?;
            let mut datagram = Vec::new();
            write::elements(&mut datagram, head, at, [&*element]);
            deliveries.push(Delivery::answer(sender.port, datagram));
        }
        Ok(Answered::Done)
    }

    fn start_dump(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        fields: &Fields<'_>,
        ports: &mut Ports,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        if ports.is_dumping(sender.port) {
            return Err(Refused::errno(Errno::BUSY));
        }
        let text = |kind| {
            let field = fields.get(kind);
            field
                .map(|field| field.text().map(str::to_owned))
                .transpose()
        };
        let what = match request.kind {
            op::GET_TABLE => Listed::Tables,
            op::GET_CHAIN => Listed::Chains,
            op::GET_SET => {
                let named = fields.get(set::TABLE);
                named
                    .map(|named| self.find_table(request.family(), named))
                    .transpose()?;
                Listed::Sets {
                    table: text(set::TABLE)?,
                }
            }
            op::GET_ELEMENT => {
                let table = self.find_table(request.family(), fields.need(element::TABLE)?)?;
                let set = self.find_set(table, fields.need(element::SET)?)?;
                let grows = self.growing.remove(&(table, set));
                Listed::Elements { table, set, grows }
            }
            _ => Listed::Rules {
                table: text(rule::TABLE)?,
                chain: text(rule::CHAIN)?,
            },
        };
        let mut dump = Dump::new(request.seq, request.family(), what);
        let (datagram, more) = self.dump(sender.port, &mut dump);
        deliveries.push(Delivery::answer(sender.port, datagram));
        if more {
            ports.start_dump(sender.port, Dumping::Rules(dump));
        }
        Ok(Answered::Dumping)
    }
}
