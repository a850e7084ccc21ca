//! A program in the pod's network namespace. Its files are this machine's: pods here have no
//! images.

use super::ProbeResult;
use crate::netns::Namespace;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs it to the end, which must be exit status 0; kills it and its children at `timeout`.
pub(super) async fn run(
    namespace: &Arc<Namespace>,
    command: &[String],
    timeout: Duration,
) -> ProbeResult {
    let Some((program, args)) = command.split_first() else {
        return Err("no program is named".to_owned());
    };
    let (namespace, program, args) = (Arc::clone(namespace), program.clone(), args.to_vec());
    let started = tokio::task::spawn_blocking(move || {
        let command = namespace.command(&program).args(args);
        command.quiet().group_leader().spawn()
    });
    let mut child = match started.await {
        Ok(Ok(child)) => Running(child),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(error) => return Err(format!("the thread that starts programs failed: {error}")),
    };
    let start = Instant::now();
    loop {
        match child.0.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if start.elapsed() >= timeout => {
                return Err(format!("it still ran after {timeout:?}"));
            }
            Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// A program that must not outlive its probe.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Ok(group) = i32::try_from(self.0.id()) {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = self.0.wait();
        }
    }
}
