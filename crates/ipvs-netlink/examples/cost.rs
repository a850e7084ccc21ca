//! What things cost: makes virtual servers with 5 destinations each, reads them back in every way,
//! and deletes them. Run it in a network namespace of its own whose loopback is up.
//!
//! ```sh
//! cargo run --release --example cost -- [SERVERS]
//! ```

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Instant;

use ipvs_netlink::{
    Destination, DestinationId, Family, Ipvs, Protocol, Requests, Scheduler, Server, ServerId, proc,
};

/// Destinations of each server.
const DESTINATIONS: u32 = 5;
/// How often what is done for one object is done.
const TIMES: u32 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 5000,
    };
    let mut ipvs = Ipvs::open()?;
    let servers: Vec<ServerId> = (0..count).map(server).collect();

    let start = Instant::now();
    let mut requests: Requests<u32> = ipvs.requests();
    for (number, id) in (0..).zip(&servers) {
        requests.tag(number);
        requests.new_server(id, &Server::new(Scheduler::RR, Family::Ipv4))?;
        for at in 0..DESTINATIONS {
            let id_of = destination(number * DESTINATIONS + at);
            requests.new_destination(id, &id_of, &Destination::masqueraded(1))?;
        }
        if requests.is_full() {
            flush(&mut ipvs, &mut requests)?;
        }
    }
    flush(&mut ipvs, &mut requests)?;
    report("create", start);

    let start = Instant::now();
    let mut seen = 0;
    ipvs.servers(|_| seen += 1)?;
    report("list servers", start);
    expect(seen, count)?;

    let start = Instant::now();
    seen = 0;
    for id in &servers {
        ipvs.destinations(id, |_| seen += 1)?;
    }
    report("list destinations, server by server", start);
    expect(seen, count * DESTINATIONS)?;

    let start = Instant::now();
    seen = 0;
    proc::read(|_| seen += 1)?;
    report("read /proc/net/ip_vs", start);
    expect(seen, count * (DESTINATIONS + 1))?;

    let one = &servers[servers.len() / 2];
    let start = Instant::now();
    for at in 0..TIMES {
        let id = destination(0x0010_0000 + at);
        requests.new_destination(one, &id, &Destination::masqueraded(1))?;
        flush(&mut ipvs, &mut requests)?;
    }
    println!("{:>10.1} µs  add one destination", each(start, TIMES));

    let start = Instant::now();
    for _ in 0..TIMES {
        ipvs.server(one)?.ok_or("a server is missing")?;
    }
    println!("{:>10.1} µs  read one server", each(start, TIMES));

    let start = Instant::now();
    for id in &servers {
        requests.delete_server(id);
        if requests.is_full() {
            flush(&mut ipvs, &mut requests)?;
        }
    }
    flush(&mut ipvs, &mut requests)?;
    report("delete", start);
    Ok(())
}

fn server(number: u32) -> ServerId {
    ServerId::Address {
        address: Ipv4Addr::from_bits(0x0a60_0000 + number).into(),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

fn destination(number: u32) -> DestinationId {
    DestinationId {
        address: Ipv4Addr::from_bits(0x0af0_0000 + number).into(),
        port: 8080,
    }
}

fn flush(ipvs: &mut Ipvs, requests: &mut Requests<u32>) -> Result<(), Box<dyn Error>> {
    let answers = ipvs.send(requests)?;
    if let Some(refusal) = answers.refusals.first() {
        let reason = requests.reason(refusal);
        return Err(format!("server {:?}: {reason}", refusal.tag).into());
    }
    if answers.lost {
        return Err("the kernel's answers were lost".into());
    }
    requests.clear();
    Ok(())
}

fn expect(seen: u32, expected: u32) -> Result<(), Box<dyn Error>> {
    if seen == expected {
        Ok(())
    } else {
        Err(format!("{seen} in place of {expected}: is this namespace used by others?").into())
    }
}

fn report(what: &str, start: Instant) {
    println!("{:>10.1} ms  {what}", start.elapsed().as_secs_f64() * 1e3);
}

fn each(start: Instant, times: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}
