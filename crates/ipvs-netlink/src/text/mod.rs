//! Virtual servers and destinations as `ipvsadm --save --numeric` prints them and
//! `ipvsadm --restore` reads them.
//!
//! ```
//! use ipvs_netlink::text::{self, Line};
//!
//! let saved = "\
//! -A -t 10.1.0.20:80 -s rr -p 600
//! -a -t 10.1.0.20:80 -r 10.244.0.10:8080 -m -w 1
//! ";
//! let lines = text::parse(saved).collect::<Result<Vec<_>, _>>()?;
//! assert!(matches!(lines[0], Line::Server { server, .. } if server.timeout == 600));
//! assert_eq!(lines[1].to_string(), "-a -t 10.1.0.20:80 -r 10.244.0.10:8080 -m -w 1");
//!
//! let error = text::parse("-A -t 10.1.0.20:80 -s rr -q").next().unwrap().unwrap_err();
//! assert_eq!(error.to_string(), "line 1: -q: there is no such option of -A");
//! # Ok::<(), text::ParseError>(())
//! ```
//!
//! Two things differ from `ipvsadm` 1.31. It forgets thresholds, which are printed here (`-x`,
//! `-y`) where there are any. And it prints marks from 2^31 on as negative numbers, which are read
//! here but not printed.

mod error;
mod flags;
mod options;
mod parse;
mod print;

pub use error::{ParseError, Problem};
pub use parse::{Lines, parse};

use crate::{Destination, DestinationId, Server, ServerId};

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// `-A`: a virtual server.
    Server {
        /// What identifies it.
        id: ServerId,
        /// What it does.
        server: Server,
    },
    /// `-a`: a destination of a virtual server.
    Destination {
        /// The virtual server.
        server: ServerId,
        /// What identifies it within that.
        id: DestinationId,
        /// What it gets.
        destination: Destination,
    },
}

#[cfg(test)]
mod tests;
