//! A set of addresses and ports, a rule that looks into it, and what `nft list table` would print.
//!
//! ```sh
//! unshare -rn cargo run --example nft_set    # as root: unshare -n
//! ```

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::error::Error;
use std::net::Ipv4Addr;

use nfnetlink::Family;
use nfnetlink::netlink_batch::{Socket, retry_stale, socket};
use nfnetlink::nftables::native::{
    Base, ChainKind, Counters, DataType, Element, Listing, MetaKey, Rule, Set, Statement, TableId,
    Term, Transport, Value, Verdict,
};
use nfnetlink::nftables::{Hook, Position, Transaction};

const TABLE: TableId<'_> = TableId {
    family: Family::Ipv4,
    name: "office",
};

/// `ip daddr . meta l4proto . th dport`.
fn key(address: [u8; 4], protocol: u8, port: u16) -> Value {
    let address = Ipv4Addr::from(address).octets();
    Value::concat([&address[..], &[protocol], &port.to_be_bytes()])
}

fn main() -> Result<(), Box<dyn Error>> {
    // Nothing of this machine is changed by mistake.
    let mut socket = Socket::open(socket::NETFILTER)?;
    if Listing::read(&mut socket, TABLE)?.is_some() {
        return Err("there is a table ip office already; run this in a network namespace".into());
    }

    let types = [
        DataType::Ipv4Addr,
        DataType::InetProto,
        DataType::InetService,
    ];
    let closed = Set::of_types("closed", types).counting();
    let elements = [
        Element::new(key([192, 0, 2, 1], 6, 25)).with_comment("no mail"),
        Element::new(key([192, 0, 2, 1], 17, 53)),
    ];
    let looks = Rule::new([
        Statement::InSet {
            key: vec![
                Term::DestinationAddress,
                Term::Meta(MetaKey::L4Proto),
                Term::DestinationPort(Transport::Any),
            ],
            set: "closed".into(),
            not: false,
        },
        Statement::Counter(Counters::default()),
        Statement::Verdict(Verdict::Drop),
    ]);
    let output = TABLE.chain("going-out");
    let base = Base::accepting(ChainKind::Filter, Hook::Output, 0);

    // As a whole or not at all.
    let mut transaction = Transaction::new();
    transaction.tag("the table");
    transaction.new_table(TABLE.family, TABLE.name);
    transaction.new_set(TABLE, &closed);
    transaction.new_base_chain(output, base.to_chain());
    transaction.tag("what is closed");
    transaction.add_elements(TABLE, &closed, &elements);
    transaction.new_rule(output, Position::End, false, |attrs| {
        looks.encode(TABLE.family, attrs);
    });
    transaction.commit(&mut socket)?;

    // Opens one again.
    transaction.delete_elements(TABLE, &closed, &elements[1..]);
    transaction.commit(&mut socket)?;

    let listing = retry_stale(10, || Listing::read(&mut socket, TABLE))?;
    let listing = listing.ok_or("the table is gone")?;
    print!("{listing}");
    // It is data again, from the kernel as from text.
    assert_eq!(Listing::parse(&listing.to_string())?, listing);
    assert_eq!(listing.chains[0].rules, [looks]);
    Ok(())
}
