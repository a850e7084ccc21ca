//! Writes what the kernel sends about the IPVS of this network namespace into files, in hex: what
//! the tests' captures are made with.
//!
//! ```sh
//! cargo run --example capture -- FOLDER COMMENT
//! ```

#![allow(clippy::print_stderr, reason = "this is a program")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use ipvs_netlink::{Ipvs, Requests, ServerId};
use netlink_batch::message::HEADER_LEN;
use netlink_batch::{AttrWriter, Message};

const GET_SERVICE: u8 = 4;
const GET_DEST: u8 = 8;
const GET_CONFIG: u8 = 13;
const GET_INFO: u8 = 15;
/// `NLM_F_DUMP`.
const DUMP: u16 = 0x300;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(comment)) = (args.next(), args.next()) else {
        eprintln!("usage: capture FOLDER COMMENT");
        std::process::exit(2);
    };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let heading = format!("# Linux {}; {comment}\n", kernel.trim());

    let mut ipvs = Ipvs::open()?;
    let save = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), format!("{heading}{}", hex(bytes)))
    };
    save("servers.hex", &ask(&mut ipvs, GET_SERVICE, DUMP, &[])?)?;
    save("config.hex", &ask(&mut ipvs, GET_CONFIG, 0, &[])?)?;
    save("info.hex", &ask(&mut ipvs, GET_INFO, 0, &[])?)?;

    let mut ids = Vec::new();
    ipvs.servers(|entry| ids.push(entry.id))?;
    let mut all = Vec::new();
    for id in &ids {
        let attributes = identity(&ipvs, id);
        all.extend(ask(&mut ipvs, GET_DEST, DUMP, &attributes)?);
    }
    save("destinations.hex", &all)?;
    Ok(())
}

/// The attributes that identify a virtual server, as a request to delete it has them.
fn identity(ipvs: &Ipvs, id: &ServerId) -> Vec<u8> {
    let mut requests: Requests<()> = ipvs.requests();
    requests.delete_server(id);
    requests.as_bytes()[HEADER_LEN + 4..].to_vec()
}

/// Asks and returns the answers as they came, the end of a dump and acknowledgements left out.
fn ask(
    ipvs: &mut Ipvs,
    command: u8,
    flags: u16,
    attributes: &[u8],
) -> Result<Vec<u8>, netlink_batch::Error> {
    let family = ipvs.family();
    let mut bytes = Vec::new();
    let header = [command, 1, 0, 0];
    let fill = |attrs: &mut AttrWriter<'_>| {
        for attr in netlink_batch::Attrs::new(attributes).flatten() {
            attrs.bytes(attr.kind, attr.payload);
        }
    };
    let each = |message: Message<'_>| {
        whole(&message, &mut bytes);
        Ok(())
    };
    if flags == DUMP {
        ipvs.socket().dump(family, &header, fill, each)?;
    } else {
        ipvs.socket().request(family, 0, &header, fill, each)?;
    }
    Ok(bytes)
}

fn whole(message: &Message<'_>, bytes: &mut Vec<u8>) {
    let len = u32::try_from(HEADER_LEN + message.payload.len()).unwrap_or(0);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(message.kind.to_ne_bytes());
    bytes.extend(message.flags.to_ne_bytes());
    bytes.extend(message.seq.to_ne_bytes());
    bytes.extend(message.port.to_ne_bytes());
    bytes.extend(message.payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for row in bytes.chunks(16) {
        for (at, byte) in row.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let _ = write!(text, "{space}{byte:02x}");
        }
        text.push('\n');
    }
    text
}
