//! Processes in namespaces, tried with a shell.

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use viprule_testkit::agent::{Agent, Memory, viprule_binary};
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{LIMIT, Namespace};

fn shell(script: &str) -> (Namespace, Agent) {
    require_privileges().unwrap();
    let namespace = Namespace::new("agent").unwrap();
    let agent = Agent::start_program(&namespace, Path::new("/bin/sh"), ["-c", script]).unwrap();
    (namespace, agent)
}

#[test]
fn lines_are_waited_for_and_kept() {
    let (namespace, mut agent) =
        shell("readlink /proc/self/ns/net; echo started >&2; sleep 0.2; echo synced 1; read x");
    let (number, line) = agent.wait_for_line_after(0, "synced", LIMIT).unwrap();
    assert_eq!(line, "synced 1");
    assert!(
        agent
            .wait_for_line_after(number + 1, "synced", Duration::ZERO)
            .is_err()
    );
    let inside = namespace
        .run(|| std::fs::read_link("/proc/thread-self/ns/net"))
        .unwrap();
    assert!(
        agent
            .lines()
            .contains(&inside.unwrap().display().to_string())
    );
    assert_eq!(agent.wait_for_line("started", LIMIT).unwrap(), "started");
}

#[test]
fn a_program_that_ends_is_told_at_once() {
    let (_namespace, mut agent) = shell("echo bad configuration >&2; exit 3");
    let start = Instant::now();
    let error = agent.wait_for_line("ready", LIMIT).unwrap_err().to_string();
    assert!(
        error.contains("bad configuration") && error.contains("exit status: 3"),
        "{error}"
    );
    assert!(start.elapsed() < LIMIT, "nobody waits for it");
    assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(3));
    let error = agent
        .wait_until("a miracle", LIMIT, || false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a miracle"), "{error}");
}

#[test]
fn terminate_is_gentle_and_kill_is_not() {
    let script = "trap 'echo draining; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let (_namespace, mut agent) = shell(script);
    agent.wait_for_line("ready", LIMIT).unwrap();
    assert_eq!(agent.terminate(LIMIT).unwrap().code(), Some(7));
    assert_eq!(agent.lines().last().unwrap(), "draining");

    let (_namespace, mut agent) = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    agent.wait_for_line("ready", LIMIT).unwrap();
    let error = agent
        .terminate(Duration::from_millis(200))
        .unwrap_err()
        .to_string();
    assert!(error.contains("still runs"), "{error}");
    assert_eq!(agent.kill().unwrap().signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn dropped_programs_are_gone() {
    let (_namespace, mut agent) = shell("echo ready; exec sleep 1000");
    agent.wait_for_line("ready", LIMIT).unwrap();
    let pid = agent.pid();
    assert!(Memory::of(pid).unwrap().resident_kib > 0);
    drop(agent);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(Memory::of(pid).is_err());
}

#[test]
fn memory_peak_is_at_least_what_is_resident() {
    let (_namespace, mut agent) = shell(
        "x=$(head -c 4000000 /dev/zero | tr '\\0' x); echo ready; while :; do sleep 0.05; done",
    );
    agent.wait_for_line("ready", LIMIT).unwrap();
    let memory = agent.memory().unwrap();
    assert!(memory.peak_kib >= memory.resident_kib, "{memory:?}");
    assert!(memory.peak_kib > 4_000, "{memory:?}");
}

#[test]
fn the_binary_is_found_or_its_absence_told() {
    match viprule_binary() {
        Ok(path) => assert!(path.is_file() && path.ends_with("viprule"), "{path:?}"),
        Err(error) => assert!(
            error.to_string().contains("cargo build -p viprule"),
            "{error}"
        ),
    }
}
