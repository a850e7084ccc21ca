//! What the tests share.

mod stage;

pub(crate) use stage::{Stage, leads_to, turn};
pub(crate) use viprule_testkit::LIMIT;

use std::env;
use std::net::SocketAddr;
use viprule_testkit::client::LoadReport;

/// A number from the environment, for runs that take longer than a change may.
#[track_caller]
pub(crate) fn setting(variable: &str, otherwise: u32) -> u32 {
    env::var(variable).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

/// An address and port as text.
#[track_caller]
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no address and port"))
}

/// Prints what became of a load and fails if a connection failed.
#[track_caller]
pub(crate) fn flawless(what: &str, report: &LoadReport) {
    let slowest = report.slowest.as_ref();
    eprintln!(
        "{what}: {} connections in {:.1?}, {} failed; median {:.1?}, slowest {:.1?}; generator {:.1?} \
         behind at worst",
        report.started,
        report.elapsed,
        report.failed(),
        report.percentile(0.5),
        slowest.map(|slowest| slowest.elapsed).unwrap_or_default(),
        report.behind,
    );
    assert!(report.answered() > 0, "{what}: {report:?}");
    assert_eq!(report.failed(), 0, "{what}: {report:#?}");
}
