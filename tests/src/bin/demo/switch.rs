//! The step in which the node goes to another mode, and back.

use crate::screen::{Screen, gap, log, text};
use crate::stage::{CLUSTER_IP, Stage};
use crate::steps::{PATIENCE, claim_none_failed, diff};
use std::thread::sleep;
use std::time::Duration;
use viprule_testkit::agent::Agent;
use viprule_testkit::client::Load;

/// Connections a second, so that a gap of some milliseconds is seen.
const RATE: u32 = 250;

/// Returns the agent that runs afterwards.
pub(crate) fn step(screen: &mut Screen, stage: &Stage, agent: Agent) -> anyhow::Result<Agent> {
    screen.heading("Another mode, and back");
    text(&format!(
        "In nftables mode a Service is elements of sets and nothing else. The agent ends and another one\n\
         starts in that mode, while the client opens {RATE} connections a second. What is there serves until\n\
         the new tables are complete, and then goes.",
    ));
    let load = Load::new(RATE, [stage.cluster_ip, stage.node_port])
        .timeout(PATIENCE)
        .start(stage.world.client())?;
    sleep(Duration::from_millis(300));
    let agent = restart(screen, stage, agent, &["--proxy-mode", "nftables"])?;
    let services = stage.run(screen, "nft list set ip viprule services")?;
    let chains = stage.run(screen, "iptables-nft-save | grep my-nginx")?;
    let same = stage.run(
        screen,
        "viprule diff --proxy-mode nftables --manifests manifests $flags",
    )?;
    gap();
    let (address, port) = CLUSTER_IP.split_once(':').unwrap_or_default();
    let element = format!("{address} . tcp . {port}");
    screen.claim(
        services.output.contains(&element) && services.output.contains("default/my-nginx"),
        "the set has the Service's address with its name and its number of connections",
    );
    screen.claim(
        chains.output.is_empty(),
        "no chain of the Service is left in iptables",
    );
    screen.claim(same.is_silent_success(), "nothing to change");

    text("\nAnd back:");
    let agent = restart(screen, stage, agent, &[])?;
    let tables = stage.run(screen, "nft list tables | grep viprule")?;
    let same = diff(screen, stage)?;
    sleep(Duration::from_millis(300));
    let report = load.stop()?;
    gap();
    screen.claim(tables.output.is_empty(), "the tables are gone");
    screen.claim(same.is_silent_success(), "nothing to change");
    claim_none_failed(screen, &report);
    Ok(agent)
}

/// Ends the agent and starts one with other flags, until that has removed what the first one wrote.
fn restart(
    screen: &Screen,
    stage: &Stage,
    mut before: Agent,
    flags: &[&str],
) -> anyhow::Result<Agent> {
    screen.command("kill %1");
    before.terminate(PATIENCE)?;
    let all = [
        &["viprule", "run", "--manifests", "manifests"],
        flags,
        &["$flags", "&"],
    ];
    screen.command(&all.concat().join(" "));
    let mut agent = stage.start_agent(flags)?;
    log(&agent.wait_for_line("first sync:", PATIENCE)?);
    log(&agent.wait_for_line("removed what an earlier proxy left", PATIENCE)?);
    Ok(agent)
}
