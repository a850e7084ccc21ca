//! The first and the last step: what isn't viprule's stays as it was.

use crate::screen::{Screen, gap, log, text};
use crate::stage::{NODE_PORT, Stage};
use crate::steps::{CONNECTIONS, PATIENCE, spread};
use anyhow::Context as _;
use viprule_testkit::agent::Agent;
use viprule_testkit::client::Failure;
use viprule_testkit::dump::ForeignState;

/// A rule that isn't viprule's, and everything else that isn't.
pub(crate) struct Foreign {
    state: ForeignState,
    handle: String,
}

impl Foreign {
    fn take(stage: &Stage) -> anyhow::Result<Self> {
        let chain = stage
            .run_quietly("nft -a list chain ip nat PREROUTING")?
            .succeeded()?;
        let rule = chain.output.lines().find(|line| line.contains("redirect"));
        let handle = rule.and_then(|rule| rule.rsplit_once("# handle "));
        Ok(Self {
            state: ForeignState::take(stage.world.node())?,
            handle: handle
                .map(|(_, handle)| handle.to_owned())
                .unwrap_or_default(),
        })
    }
}

/// Puts the administrator's rule into PREROUTING.
pub(crate) fn administrators_rule(screen: &mut Screen, stage: &Stage) -> anyhow::Result<Foreign> {
    screen.heading("A node with a rule of its own");
    text("The administrator redirects a port. viprule must leave this rule alone to the end.");
    let rule = "iptables-nft -t nat -A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22";
    stage.run(screen, rule)?.succeeded()?;
    let others = Foreign::take(stage)?;
    anyhow::ensure!(
        !others.handle.is_empty(),
        "the administrator's rule isn't in the kernel"
    );
    Ok(others)
}

/// Removes what viprule wrote.
pub(crate) fn cleanup(
    screen: &mut Screen,
    stage: &Stage,
    mut agent: Agent,
    before: &Foreign,
) -> anyhow::Result<()> {
    screen.heading("Cleaning up");
    text("The agent ends. Its rules stay, so that connections go on until the next one starts.");
    let from = agent.lines().len();
    screen.command("kill %1");
    let status = agent.terminate(PATIENCE)?;
    let (_, line) = agent.wait_for_line_after(from, "SIGTERM", PATIENCE)?;
    log(&line);
    let spread = spread(stage, stage.cluster_ip)?;
    gap();
    screen.claim(
        status.success() && spread.failed() == 0,
        &format!(
            "{} of {CONNECTIONS} connections were answered without the agent",
            spread.answered()
        ),
    );

    text("\nWhat a cleanup would take out of PREROUTING, where the administrator's rule is:");
    let plan = stage.run(screen, "viprule cleanup --dry-run | grep PREROUTING")?;
    let untouched = plan.output.contains("KUBE-SERVICES") && !plan.output.contains("2222");
    text(
        "\nEverything of viprule's is removed. KUBE-FIREWALL stays, because kubelet uses it as well:",
    );
    stage.run(screen, "viprule cleanup")?.succeeded()?;
    let left = stage.run(screen, "iptables-nft-save | grep '^-A'")?;
    let after = Foreign::take(stage)?;

    gap();
    screen.claim(untouched, "the plan leaves the administrator's rule out");
    screen.claim(
        left.output
            .lines()
            .filter(|rule| rule.contains("KUBE-"))
            .all(|rule| rule.contains("KUBE-FIREWALL")),
        "no other rule of viprule's is left",
    );
    let same = before.handle == after.handle;
    let claim = "the administrator's rule is untouched, the same object of the kernel";
    screen.claim(
        same,
        &if same {
            format!("{claim} (handle {})", after.handle)
        } else {
            format!(
                "{claim} (handle {} then, {} now)",
                before.handle, after.handle
            )
        },
    );
    let changes = before.state.changes(&after.state);
    screen.claim(
        changes.is_empty(),
        &format!("and so is everything else that isn't viprule's\n{changes}"),
    );
    let attempt = stage
        .world
        .outside()
        .timeout(PATIENCE)
        .tcp(stage.node_port)
        .context("trying the node port")?;
    screen.claim(
        attempt.failure() == Some(&Failure::Refused),
        &format!("port {NODE_PORT} of the node is closed again"),
    );
    Ok(())
}
