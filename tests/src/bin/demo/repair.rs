//! The step in which somebody else changes viprule's rules.

use crate::screen::{Screen, gap, log, milliseconds, text};
use crate::stage::Stage;
use crate::steps::{LIMIT, PATIENCE, diff};
use anyhow::Context as _;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use viprule_testkit::agent::Agent;
use viprule_testkit::client::{Load, LoadReport};
use viprule_testkit::dump::{Dump, Family};

/// Connections a second, so that a gap of some milliseconds is seen.
const RATE: u32 = 250;

pub(crate) fn step(screen: &mut Screen, stage: &Stage, agent: &mut Agent) -> anyhow::Result<()> {
    screen.heading("Somebody else deletes rules");
    text(&format!(
        "Other programs write to the same tables. Here iptables-nft takes away what viprule wrote, while\n\
         the client opens {RATE} connections a second. Those that fall between deletion and repair fail;\n\
         look at how soon it is over. Before, everything is in place (diff has nothing to say):",
    ));
    let before = diff(screen, stage)?;
    gap();
    screen.claim(before.is_silent_success(), "nothing to change");

    let chain = service_chain(stage)?;
    text("\nThe Service's chain is emptied:");
    sabotage(
        screen,
        stage,
        agent,
        &format!("iptables-nft -t nat -F {chain}"),
    )?;
    text("\nThe jump to all Services is deleted:");
    let jump = "iptables-nft -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' \
                -j KUBE-SERVICES";
    sabotage(screen, stage, agent, jump)?;

    text("\nAnd after it, again nothing to say:");
    let after = diff(screen, stage)?;
    gap();
    screen.claim(after.is_silent_success(), "nothing to change");
    Ok(())
}

/// The name of the Service's chain, taken from the jump to it.
fn service_chain(stage: &Stage) -> anyhow::Result<String> {
    let dump = Dump::take(stage.world.node(), Family::V4)?;
    let rules = dump.rules("nat", "KUBE-SERVICES");
    let jump = rules
        .iter()
        .find(|rule| rule.contains("default/my-nginx cluster IP"));
    let chain = jump.and_then(|rule| rule.rsplit_once("-j "));
    chain
        .map(|(_, chain)| chain.to_owned())
        .context("the Service has no jump in KUBE-SERVICES")
}

fn sabotage(
    screen: &mut Screen,
    stage: &Stage,
    agent: &mut Agent,
    command: &str,
) -> anyhow::Result<()> {
    let before = Dump::take(stage.world.node(), Family::V4)?;
    let load = Load::new(RATE, [stage.cluster_ip, stage.node_port])
        .timeout(Duration::from_secs(1))
        .start(stage.world.client())?;
    sleep(Duration::from_millis(300));

    screen.command(command);
    let from = agent.lines().len();
    let began = Instant::now();
    let (ran, by, repair, repaired) = thread::scope(|scope| -> anyhow::Result<_> {
        // The repair may be done before the command has ended.
        let running = scope.spawn(|| stage.run_quietly(command).map(|ran| (ran, began.elapsed())));
        let (_, repair) = agent.wait_for_line_after(from, "repair:", PATIENCE)?;
        let repaired = began.elapsed();
        // Told before or after.
        let (_, by) = agent.wait_for_line_after(from, "another program", PATIENCE)?;
        let ran = running
            .join()
            .map_err(|_| anyhow::anyhow!("running {command} panicked"))??;
        Ok((ran, by, repair, repaired))
    })?;
    let (ran, command_took) = ran;
    ran.succeeded()?;
    log(&repair);
    log(&by);
    sleep(Duration::from_millis(500));
    let report = load.stop()?;
    let load_began = Instant::now().checked_sub(report.elapsed).unwrap_or(began);
    let after = Dump::take(stage.world.node(), Family::V4)?;

    gap();
    screen.claim(
        by.contains("iptables-nft"),
        "the agent's log names the program and its process",
    );
    let differences = before.differences(&after);
    let changed = differences
        .iter()
        .fold(String::new(), |all, one| format!("{all}\n{one}"));
    screen.claim(
        changed.is_empty() && repaired < LIMIT,
        &format!(
            "rules: whole again {} after iptables-nft was started, which took {} itself{changed}",
            milliseconds(repaired),
            milliseconds(command_took),
        ),
    );
    claim_traffic(screen, &report, load_began, began);
    Ok(())
}

/// Connections fail only if they were begun between the deletion and the repair. `load_began` is
/// rather too late than too early.
fn claim_traffic(
    screen: &mut Screen,
    report: &LoadReport,
    load_began: Instant,
    command_began: Instant,
) {
    let failed: Vec<Instant> = report
        .examples
        .iter()
        .map(|sample| load_began + sample.at)
        .collect();
    let (Some(first), Some(last)) = (failed.iter().min(), failed.iter().max()) else {
        let claim = format!(
            "traffic: 0 of {} connections fell into the gap",
            report.started
        );
        screen.claim(report.failed() == 0 && report.started > 0, &claim);
        return;
    };
    let all_known = u64::try_from(failed.len()) == Ok(report.failed());
    let back = last.saturating_duration_since(command_began);
    screen.claim(
        all_known && *first >= command_began && back < LIMIT,
        &format!(
            "traffic: whole again {} after iptables-nft was started; {} of {} connections fell into the gap",
            milliseconds(back),
            report.failed(),
            report.started,
        ),
    );
}
