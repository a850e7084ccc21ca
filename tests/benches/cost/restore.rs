//! `iptables-nft-restore`, fed as kube-proxy feeds it (contract 2.4 to 2.8).

use std::fmt::Write as _;
use std::thread;

use viprule_dataplane::ownership::ChainHash;

use crate::world::{PAUSE, Scratch, World};
use viprule_tests::figures::cluster::{
    Cluster, ENDPOINTS, POD_NETWORK, PORT, PORT_NAME, TARGET_PORT,
};
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{Sample, medians, time};

/// Above this many endpoints kube-proxy leaves comments out (contract 2.7).
const LARGE_CLUSTER: u32 = 1_000;
/// The size that the limits are for.
const LIMITED: u32 = 5_000;
const CHANGES: u32 = 15;
/// Revisions from here on are this measure's own.
const FIRST_REVISION: u32 = 600;

/// What kube-proxy makes sure of before its first restore.
const LINKS: &str = "\
*filter\n:KUBE-SERVICES - [0:0]\n:KUBE-EXTERNAL-SERVICES - [0:0]\n:KUBE-FORWARD - [0:0]\n\
:KUBE-NODEPORTS - [0:0]\n:KUBE-PROXY-FIREWALL - [0:0]\n\
-I INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL\n-I INPUT -j KUBE-NODEPORTS\n\
-I INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES\n\
-I FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL\n-I FORWARD -j KUBE-FORWARD\n\
-I FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES\n\
-I OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES\nCOMMIT\n\
*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-POSTROUTING - [0:0]\n-I PREROUTING -j KUBE-SERVICES\n\
-I OUTPUT -j KUBE-SERVICES\n-I POSTROUTING -j KUBE-POSTROUTING\nCOMMIT\n";

const FILTER: &str = "\
*filter\n:KUBE-SERVICES - [0:0]\n:KUBE-EXTERNAL-SERVICES - [0:0]\n:KUBE-FORWARD - [0:0]\n\
:KUBE-NODEPORTS - [0:0]\n:KUBE-PROXY-FIREWALL - [0:0]\n:KUBE-FIREWALL - [0:0]\n\
-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 \
! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n\
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n\
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark \
0x00004000/0x00004000 -j ACCEPT\n\
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack \
--ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";

const NAT_CHAINS: &str = "\
*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-POSTROUTING - [0:0]\n\
:KUBE-MARK-MASQ - [0:0]\n";

const NAT_RULES: &str = "\
-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN\n\
-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000\n\
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" \
-j MASQUERADE --random-fully\n-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000\n";

const NAT_END: &str = "\
-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last \
rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n";

/// Measures first load and one change, next to viprule's time for the same.
pub(crate) fn measure(
    cluster: &Cluster,
    world: &mut World,
    first_sync: Sample,
    report: &mut Report,
) -> anyhow::Result<()> {
    let measure = |name, runs| Measure {
        name,
        services: cluster.services(),
        runs,
    };
    let limit = |times| {
        if cluster.services() == LIMITED {
            Limit::AtLeast(times)
        } else {
            Limit::None
        }
    };
    let scratch = Scratch::new("restore")?;
    restore(&scratch, LINKS.to_owned())?;
    let everything = payload(cluster, |_| Some(0));
    let first = world.unheard(|_| restore(&scratch, everything))?;
    report.gain(
        measure("first sync, next to restore", 1),
        first_sync,
        first,
        limit(60.0),
    );
    let (mut real, mut restored) = (Vec::new(), Vec::new());
    for round in 0..CHANGES {
        let (changed, revision) = (cluster.victim(round), FIRST_REVISION + round);
        let text = payload(cluster, |service| (service == changed).then_some(revision));
        thread::sleep(PAUSE);
        restored.push(world.unheard(|_| restore(&scratch, text))?);
        let event = cluster.slice(changed, revision)?;
        thread::sleep(PAUSE);
        let (outcome, sample) = time(|| {
            world.viprule.apply(event);
            world.viprule.sync()
        });
        outcome?;
        real.push(sample);
    }
    report.gain(
        measure("one change, next to restore", CHANGES),
        medians(&real),
        medians(&restored),
        limit(5.0),
    );
    Ok(())
}

/// Runs it; the time is that of the process from its start to its end.
fn restore(scratch: &Scratch, text: String) -> anyhow::Result<Sample> {
    let command = scratch.0.command("iptables-nft-restore");
    let command = command
        .args(["-w", "5", "--noflush", "--counters"])
        .input(text);
    let (outcome, sample) = time(|| command.text());
    outcome?;
    Ok(sample)
}

/// One restore input: `revision` says which Services' own chains are in it, and which endpoints
/// they have.
fn payload(cluster: &Cluster, revision: impl Fn(u32) -> Option<u32>) -> String {
    let (mut chains, mut rules) = (String::new(), String::new());
    for service in 0..cluster.services() {
        let service = Service::new(cluster, service, revision(service));
        // A String takes everything.
        let _ = service.write(cluster, &mut chains, &mut rules);
    }
    [FILTER, NAT_CHAINS, &chains, NAT_RULES, &rules, NAT_END].concat()
}

struct Service {
    number: u32,
    name: String,
    chain: String,
    revision: Option<u32>,
}

impl Service {
    fn new(cluster: &Cluster, number: u32, revision: Option<u32>) -> Self {
        let name = format!("{}:{PORT_NAME}", cluster.bulk().name(number));
        let chain = format!("KUBE-SVC-{}", ChainHash::of(&[&name, "tcp"]));
        Self {
            number,
            name,
            chain,
            revision,
        }
    }

    fn write(
        &self,
        cluster: &Cluster,
        chains: &mut String,
        rules: &mut String,
    ) -> std::fmt::Result {
        let Self {
            number,
            name,
            chain,
            ..
        } = self;
        let ip = cluster.bulk().cluster_ip(*number);
        let to = format!(
            "-m comment --comment \"{name} cluster IP\" -m tcp -p tcp -d {ip} --dport {PORT}"
        );
        writeln!(rules, "-A KUBE-SERVICES {to} -j {chain}")?;
        let Some(revision) = self.revision else {
            return Ok(());
        };
        writeln!(chains, ":{chain} - [0:0]")?;
        writeln!(
            rules,
            "-A {chain} {to} ! -s {POD_NETWORK} -j KUBE-MARK-MASQ"
        )?;
        let large = cluster.services() * ENDPOINTS > LARGE_CLUSTER;
        let comment = |text: String| {
            if large {
                String::new()
            } else {
                format!("-m comment --comment \"{text}\" ")
            }
        };
        let endpoints: Vec<_> = (0..ENDPOINTS)
            .map(|index| cluster.bulk().endpoint(*number, index, revision))
            .collect();
        let own: Vec<String> = endpoints
            .iter()
            .map(|ip| ChainHash::of(&[name, "tcp", &format!("{ip}:{TARGET_PORT}")]))
            .map(|hash| format!("KUBE-SEP-{hash}"))
            .collect();
        for (index, (ip, own)) in endpoints.iter().zip(&own).enumerate() {
            let comment = comment(format!("{name} -> {ip}:{TARGET_PORT}"));
            let odds = match endpoints.len() - index {
                1 => String::new(),
                left => format!(
                    "-m statistic --mode random --probability {:.10} ",
                    1.0 / left as f64
                ),
            };
            writeln!(rules, "-A {chain} {comment}{odds}-j {own}")?;
        }
        for (ip, own) in endpoints.iter().zip(&own) {
            let comment = comment(name.clone());
            writeln!(chains, ":{own} - [0:0]")?;
            writeln!(rules, "-A {own} {comment}-s {ip} -j KUBE-MARK-MASQ")?;
            let to = format!("--to-destination {ip}:{TARGET_PORT}");
            writeln!(rules, "-A {own} {comment}-m tcp -p tcp -j DNAT {to}")?;
        }
        Ok(())
    }
}
