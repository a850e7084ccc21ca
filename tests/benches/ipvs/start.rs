//! The agent starts on a kernel that has it all.

use anyhow::ensure;
use ipvs_netlink::proc;
use netlink_batch::Socket;
use viprule_dataplane::ipvs::Piece;
use viprule_dataplane::{Fingerprint, Scope};
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, medians, time};
use viprule_writer::Writer as _;

use crate::first_sync::World;
use crate::kernel::Kernel;
use crate::world::syncer;

/// `NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST` (`linux/netfilter/ipset/ip_set.h`).
const LIST_SETS: u16 = 0x0607;
/// `RTM_GETADDR`.
const GET_ADDRESS: u16 = 22;
/// `IPVS_CMD_GET_SERVICE`, version 1 (`linux/ip_vs.h`).
const GET_SERVICE: [u8; 4] = [4, 1, 0, 0];

/// Measures looking at everything and writing nothing.
pub(crate) fn measure(cluster: &Cluster, world: World, report: &mut Report) -> anyhow::Result<()> {
    let World {
        mut viprule,
        mut viprule_side,
        bare_side,
    } = world;
    // The kernel's table of virtual servers as text is incomplete where several namespaces have
    // some.
    drop(bare_side);
    let runs = 11;
    viprule_side.namespace.enter_thread()?;
    let (mut floor, mut chains, mut real, mut whole) = (
        <[Vec<Sample>; 3]>::default(),
        Vec::new(),
        <[Vec<Sample>; 3]>::default(),
        Vec::new(),
    );
    let mut transactions = 0;
    // The first look takes memory and counts for nothing.
    viprule.writer().observe::<Fingerprint>(&scopes()[2])?;
    for _ in 0..runs {
        for (times, time) in floor.iter_mut().zip(bare(&mut viprule_side)?) {
            times.push(time);
        }
        chains.push(bare_chains(&viprule_side)?);
        for (times, scope) in real.iter_mut().zip(scopes()) {
            let writer = viprule.writer();
            let (outcome, sample) = time(|| writer.observe::<Fingerprint>(&scope));
            ensure!(!outcome?.is_empty(), "viprule saw nothing");
            times.push(sample);
        }
        let mut syncer = syncer(&viprule_side.namespace, cluster)?;
        let (outcome, sample) = time(|| syncer.reconcile(Scope::Everything));
        whole.push(sample);
        transactions = transactions.max(outcome?.transactions);
    }
    let measure = |name| Measure {
        name,
        services: cluster.services(),
        runs,
    };
    let [addresses, sets, all] = real.map(|times| medians(&times));
    let [bare_addresses, bare_sets, bare_servers] = floor.map(|times| medians(&times));
    let bare_all = sum(&[bare_addresses, bare_sets, bare_servers]);
    let limit = Limit::AtMost(1.3);
    report.ratio(
        measure("reading back, but for chains"),
        all,
        bare_all,
        limit,
    );
    report.ratio(
        measure("of it addresses"),
        addresses,
        bare_addresses,
        Limit::None,
    );
    report.ratio(measure("of it sets"), sets, bare_sets, Limit::None);
    report.ratio(
        measure("start, nothing changed"),
        medians(&whole),
        sum(&[bare_all, medians(&chains)]),
        Limit::None,
    );
    let limit = Limit::AtMost(0.0);
    report.count(
        measure("start, nothing changed"),
        transactions,
        "transactions",
        limit,
    );
    Ok(())
}

/// What viprule looks at: the link with its addresses, the sets, and everything but chains. It
/// needs the former two to tell whose a virtual server is.
fn scopes() -> [Scope<Piece>; 3] {
    [
        &[Piece::Link][..],
        &[Piece::Sets],
        &[Piece::Link, Piece::Sets, Piece::Servers],
    ]
    .map(|parts| Scope::Pieces(parts.iter().copied().collect()))
}

fn sum(samples: &[Sample]) -> Sample {
    Sample {
        wall: samples.iter().map(|sample| sample.wall).sum(),
        cpu: samples.iter().map(|sample| sample.cpu).sum(),
    }
}

/// The cheapest way to read addresses, sets, and virtual servers with their destinations: nothing
/// is kept, and only destinations, which come as text, are parsed.
fn bare(kernel: &mut Kernel) -> anyhow::Result<[Sample; 3]> {
    let (addresses, first) = time(|| dump(&mut kernel.routes, GET_ADDRESS, &[0; 8]));
    let (sets, second) = time(|| dump(&mut kernel.sets, LIST_SETS, &[2, 0, 0, 0]));
    let (servers, third) = time(|| -> anyhow::Result<usize> {
        let family = kernel.ipvs.family();
        let mut read = dump(kernel.ipvs.socket(), family, &GET_SERVICE)?;
        proc::read(|_| read += 1)?;
        Ok(read)
    });
    for read in [addresses?, sets?, servers?] {
        ensure!(read > 0, "the kernel has nothing");
    }
    Ok([first, second, third])
}

fn dump(socket: &mut Socket, kind: u16, header: &[u8]) -> anyhow::Result<usize> {
    let mut bytes = 0;
    let fill = |attrs: &mut netlink_batch::AttrWriter<'_>| {
        if kind == LIST_SETS {
            // `IPSET_ATTR_PROTOCOL`.
            attrs.u8(1, 6);
        }
    };
    socket.dump(kind, header, fill, |message| {
        bytes += message.payload.len();
        Ok(())
    })?;
    Ok(bytes)
}

/// Legacy xtables are read with their own program.
fn bare_chains(kernel: &Kernel) -> anyhow::Result<Sample> {
    let (outcome, sample) = time(|| {
        ["iptables-legacy-save", "ip6tables-legacy-save"]
            .into_iter()
            .try_for_each(|program| kernel.namespace.command(program).text().map(drop))
    });
    outcome?;
    Ok(sample)
}
