//! Adds IPv4 addresses to the loopback interface with one system call and tells the kernel's verdict
//! on each. Run it in a network namespace of its own:
//!
//! ```sh
//! unshare --map-root-user --net \
//!     cargo run --example addresses -- 192.0.2.1/32 192.0.2.1/32 192.0.2.2/33
//! ```

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::error::Error;
use std::net::Ipv4Addr;

use netlink_batch::message::flags::{ACK, CREATE, EXCL};
use netlink_batch::{Batch, Socket, socket};

const RTM_NEWADDR: u16 = 20;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;
/// The interface index of loopback.
const LO: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    for text in std::env::args().skip(1) {
        let (address, prefix) = text.split_once('/').ok_or("wants ADDRESS/PREFIX")?;
        let address: Ipv4Addr = address.parse()?;
        // `struct ifaddrmsg`: family, prefix length, flags, scope, interface.
        let mut header = [AF_INET, prefix.parse()?, 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&LO.to_ne_bytes());
        batch.tag(text);
        batch.message(RTM_NEWADDR, CREATE | EXCL | ACK, &header, |attrs| {
            attrs.bytes(IFA_LOCAL, &address.octets());
        });
    }
    let mut socket = Socket::open(socket::ROUTE)?;
    let answers = socket.send(&batch, |_, _| {})?;
    for refusal in &answers.refusals {
        println!("{}: {refusal}", refusal.tag.as_deref().unwrap_or("?"));
    }
    println!("{} added", answers.acknowledged);
    Ok(())
}
