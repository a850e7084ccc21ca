//! The agent does its work whatever becomes of its log.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{LIMIT, Place};

/// An agent whose log goes elsewhere; killed on drop.
struct Logging(Child);

impl Logging {
    fn start(place: &Place, log: impl Into<Stdio>) -> Self {
        Self(place.start_logging_to(log))
    }

    /// How it ends when it is told to.
    fn end(mut self) -> ExitStatus {
        let pid = i32::try_from(self.0.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Changes come in, the log's lines are counted, and an end is an end.
fn works_without_a_log(place: &Place, agent: Logging) {
    place.wait_for_sync();
    place.write("a", 1, &["10.244.0.6"]);
    place.wait_for_sync();
    let curl = place.namespace.command("curl");
    let metrics = curl.args(["-s", "http://127.0.0.1:10249/metrics"]);
    let metrics = metrics.text().unwrap();
    let name = "viprule_lost_log_lines_total ";
    let lost = metrics.lines().find_map(|line| line.strip_prefix(name));
    assert!(lost.is_some(), "{metrics}");
    assert!(agent.end().success());
}

#[test]
fn a_log_whose_reader_is_gone_costs_lines_only() {
    let place = Place::small();
    let (reader, log) = io::pipe().unwrap();
    let agent = Logging::start(&place, log);
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.any(|line| line.unwrap().contains("first sync")));
    drop(lines);
    works_without_a_log(&place, agent);
}

#[test]
fn a_log_on_a_full_disk_costs_lines_only() {
    let place = Place::small();
    let log = File::options().write(true).open("/dev/full").unwrap();
    let agent = Logging::start(&place, log);
    works_without_a_log(&place, agent);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::small();
    let (reader, mut log) = io::pipe().unwrap();
    // Filled to the last byte, so that whoever writes waits for ever.
    fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while log.write(&[b'.'; 4096]).is_ok_and(|written| written > 0) {}
    while log.write(b".").is_ok_and(|written| written > 0) {}
    fcntl(&log, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let agent = Logging::start(&place, OwnedFd::from(log));
    works_without_a_log(&place, agent);
    drop(reader);
}
