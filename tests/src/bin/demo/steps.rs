//! The steps in which a Service comes and changes.

use crate::screen::{Screen, gap, log, milliseconds, table, text};
use crate::stage::{CLUSTER_IP, FLAGS, Ran, Stage};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol;
use viprule_testkit::agent::Agent;
use viprule_testkit::client::{Load, LoadReport, Spread};
use viprule_testkit::dump::{Dump, Family};
use viprule_testkit::topology::address;

/// How long to wait for what should take milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long what takes milliseconds may take here: a busy machine may be slow to give anybody the
/// CPU.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
/// Connections in each count.
pub(crate) const CONNECTIONS: u32 = 300;
/// How far a count may be from its mean, in standard deviations: a fair choice fails once in
/// 150,000 counts.
const SIGMAS: f64 = 4.5;

/// Title and map.
pub(crate) fn introduce() {
    text(&format!(
        "\
viprule keeps a Kubernetes node's Service rules in the kernel. This demo shows it with real
connections, in network namespaces that vanish with it: nothing outside is touched.

  client            node-0             +--- 10.244.0.5:80, a pod on node-0
  {} -- {} ------+--- 10.244.1.3:80, a pod on node-1
                    runs viprule       +--- 10.244.2.4:80, a pod on node-2

Commands after node-0$ are run on the node as shown. [ok] marks what was checked and is so.",
        address::CLIENT[0],
        address::NODE[0],
    ));
}

/// Manifest, diff, agent.
pub(crate) fn first_sync(screen: &mut Screen, stage: &Stage) -> anyhow::Result<Agent> {
    screen.heading("A Service comes");
    text("The Service that Kubernetes tutorials begin with, in a folder that viprule follows.");
    stage
        .run(screen, "cat manifests/my-nginx.yaml")?
        .succeeded()?;

    text("\nWhat is about to change. Of many lines, those that choose an endpoint:");
    screen.command(&format!("flags=\"{FLAGS}\""));
    let diff = "viprule diff --manifests manifests $flags";
    let shown = stage.run(
        screen,
        &format!("{diff} | grep -e '-> 10' -e to-destination"),
    )?;
    let status = stage.run_quietly(diff)?.status;
    gap();
    let added = shown
        .output
        .lines()
        .filter(|line| line.starts_with('+'))
        .count();
    let written = Dump::take(stage.world.node(), Family::V4)?
        .ours()
        .rule_count();
    screen.claim(
        status == 1 && added == 6 && shown.output.lines().count() == 6 && written == 0,
        "diff tells what is missing, and has written nothing",
    );

    text("\nThe agent puts it into the kernel and goes on running:");
    screen.command("viprule run --manifests manifests $flags &");
    let mut agent = stage.start_agent(&[])?;
    log(&agent.wait_for_line("first sync:", PATIENCE)?);
    let after = stage.run(screen, diff)?;
    gap();
    screen.claim(
        after.is_silent_success(),
        "diff finds nothing more to change",
    );
    Ok(agent)
}

/// Who answers.
pub(crate) fn connections(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    screen.heading("Who answers?");
    text(&format!(
        "The client opens {CONNECTIONS} connections to each address of the Service; its way to both leads\n\
         through the node. Every backend says who it is. Each should get a third, give or take what\n\
         chance does.",
    ));
    let targets = [
        (stage.cluster_ip, format!("clusterIP  http://{CLUSTER_IP}")),
        (
            stage.node_port,
            format!("nodePort   http://{}", stage.node_port),
        ),
    ];
    let mut spreads = Vec::new();
    for (target, title) in targets {
        let spread = spread(stage, target)?;
        table(&title, &spread.backends, &stage.endpoints);
        spreads.push(spread);
    }
    gap();
    let failed: u64 = spreads.iter().map(Spread::failed).sum();
    let all = 2 * CONNECTIONS;
    screen.claim(
        failed == 0,
        &format!(
            "{} of {all} connections were answered",
            u64::from(all) - failed
        ),
    );
    let unfair = spreads
        .iter()
        .find_map(|spread| spread.unfairness(&stage.endpoints, SIGMAS));
    screen.claim(
        unfair.is_none(),
        &unfair.unwrap_or_else(|| "the choice is fair".to_owned()),
    );
    Ok(())
}

/// One endpoint is marked not ready while connections go on.
pub(crate) fn endpoint_leaves(
    screen: &mut Screen,
    stage: &Stage,
    agent: &mut Agent,
) -> anyhow::Result<()> {
    const GONE: usize = 1;
    screen.heading("An endpoint leaves");
    let rate = 200;
    text(&format!(
        "10.244.1.3 becomes not ready. From here on the client opens {rate} connections a second in the\n\
         background: none may fail. First the manifest to come, and what it would change:",
    ));
    let load = Load::new(rate, [stage.cluster_ip, stage.node_port])
        .timeout(PATIENCE)
        .start(stage.world.client())?;
    let edit = "sed '/10.244.1.3/s/ready: true/ready: false/' manifests/my-nginx.yaml > next.yaml";
    stage.run(screen, edit)?.succeeded()?;
    let diff = stage.run(screen, "viprule diff --manifests next.yaml $flags")?;

    text("\nThe manifest is put in place. The agent sees it by itself:");
    let from = agent.lines().len();
    let begin = Instant::now();
    stage
        .run(screen, "mv next.yaml manifests/my-nginx.yaml")?
        .succeeded()?;
    let (_, line) = agent.wait_for_line_after(from, "changed:", PATIENCE)?;
    let took = begin.elapsed();
    log(&line);
    // Connections that were on their way to the endpoint get their answers.
    sleep(Duration::from_millis(500));
    let answered = stage.servers[GONE].answered();
    let spread = spread(stage, stage.cluster_ip)?;
    let title = format!("clusterIP, {CONNECTIONS} connections after the change");
    table(&title, &spread.backends, &stage.endpoints);
    sleep(Duration::from_millis(500));
    let later = stage.servers[GONE].answered() - answered;
    let report = load.stop()?;

    gap();
    let gone = stage.endpoints[GONE];
    screen.claim(
        diff.status == 1 && diff.output.contains("-> 10.244.1.3"),
        "diff foretold the change",
    );
    screen.claim(
        took < LIMIT,
        &format!("{} from mv to the new rules", milliseconds(took)),
    );
    let stranger = spread.backends.contains_key(&gone) || later > 0;
    screen.claim(!stranger, &format!("no connection reaches {gone} any more"));
    let remaining: Vec<_> = stage
        .endpoints
        .iter()
        .copied()
        .filter(|ip| *ip != gone)
        .collect();
    let unfair = spread.unfairness(&remaining, SIGMAS);
    screen.claim(
        unfair.is_none(),
        &unfair.unwrap_or_else(|| "the two others share them fairly".to_owned()),
    );
    claim_none_failed(screen, &report);
    Ok(())
}

/// No connection in the background failed.
pub(crate) fn claim_none_failed(screen: &mut Screen, report: &LoadReport) {
    screen.claim(
        report.failed() == 0 && report.started > 0,
        &format!(
            "{} of {} background connections failed",
            report.failed(),
            report.started
        ),
    );
}

/// Connections to `target`, one after the other.
pub(crate) fn spread(stage: &Stage, target: SocketAddr) -> anyhow::Result<Spread> {
    Ok(stage
        .world
        .outside()
        .timeout(PATIENCE)
        .spread(Protocol::Tcp, target, CONNECTIONS)?)
}

/// What `viprule diff` says of the manifests in force.
pub(crate) fn diff(screen: &Screen, stage: &Stage) -> anyhow::Result<Ran> {
    stage.run(screen, "viprule diff --manifests manifests $flags")
}
