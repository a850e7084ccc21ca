//! Adds the virtual servers and destinations that `ipvsadm -Sn` printed, from standard input, to
//! the IPVS of this network namespace, as `ipvsadm -R` does, but with one system call per 256 KiB.
//!
//! ```sh
//! ipvsadm -Sn > saved
//! cargo run --example restore < saved
//! ```

#![allow(clippy::print_stderr, reason = "this is a program")]

use std::error::Error;
use std::io::Read as _;
use std::process::ExitCode;

use ipvs_netlink::text::{self, Line};
use ipvs_netlink::{Ipvs, Requests};

fn main() -> ExitCode {
    match restore() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("restore: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many lines the kernel refused.
fn restore() -> Result<usize, Box<dyn Error>> {
    let mut saved = String::new();
    std::io::stdin().read_to_string(&mut saved)?;
    // All is read before anything is written.
    let lines = text::parse(&saved).collect::<Result<Vec<_>, _>>()?;
    let mut ipvs = Ipvs::open()?;
    let mut requests = ipvs.requests();
    let mut refused = 0;
    for line in lines {
        requests.tag(line);
        match &line {
            Line::Server { id, server } => requests.new_server(id, server)?,
            Line::Destination {
                server,
                id,
                destination,
            } => requests.new_destination(server, id, destination)?,
        }
        if requests.is_full() {
            refused += send(&mut ipvs, &mut requests)?;
        }
    }
    refused += send(&mut ipvs, &mut requests)?;
    Ok(refused)
}

fn send(ipvs: &mut Ipvs, requests: &mut Requests<Line>) -> Result<usize, Box<dyn Error>> {
    let answers = ipvs.send(requests)?;
    for refusal in &answers.refusals {
        let reason = requests.reason(refusal);
        match refusal.tag {
            Some(line) => eprintln!("{line}: {reason}"),
            None => eprintln!("{refusal}"),
        }
    }
    if answers.lost {
        return Err("the kernel's answers were lost".into());
    }
    requests.clear();
    Ok(answers.refusals.len())
}
