//! The same through `ipset restore`, `ipvsadm -R` and `ip -batch`, as scripts do it.

use std::fmt::Write as _;

use viprule_dataplane::ipvs::{Desired, Section, sections};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, time};

use crate::kernel::Kernel;

/// Measures each program once; the sum of their times.
pub(crate) fn measure(
    desired: &Desired,
    services: u32,
    report: &mut Report,
) -> anyhow::Result<Sample> {
    let mut texts = sections(desired);
    let mut take = |section| texts.remove(&section).unwrap_or_default();
    let mut addresses = String::new();
    for line in take(Section::Addresses).lines() {
        if let Some((_, address)) = line.split_once(' ') {
            writeln!(addresses, "address add {address} dev {IPVS_LINK}")?;
        }
    }
    let kernel = Kernel::new("tools")?;
    kernel.add_link()?;
    let mut sum = 0.0;
    for (name, command, text) in [
        (
            "ipset restore",
            &["ipset", "restore"][..],
            take(Section::Sets),
        ),
        ("ipvsadm -R", &["ipvsadm", "-R"], take(Section::Servers)),
        ("ip -batch", &["ip", "-batch", "-"], addresses),
    ] {
        let program = kernel.namespace.command(command[0]);
        let program = program.args(&command[1..]).input(text);
        let (outcome, sample) = time(|| program.text());
        outcome?;
        let measure = Measure {
            name,
            services,
            runs: 1,
        };
        report.figure(measure, sample.wall, "ms", Limit::None);
        sum += sample.wall;
    }
    Ok(Sample {
        wall: sum,
        cpu: f64::NAN,
    })
}
