//! Running a program that may hang, crash, or say more than anybody wants to hear.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// Bytes of standard output that are kept: more than the largest tables have.
const OUT_LIMIT: usize = 256 << 20;
/// Bytes of standard error that are kept: enough for a message.
const ERR_LIMIT: usize = 64 << 10;
/// How long a program that has ended may keep its output open, by one that it started.
const REST: Duration = Duration::from_secs(1);

/// What became of a program.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// It took too long and was killed.
    pub(super) too_slow: bool,
    /// Whether it took its input.
    pub(super) fed: io::Result<()>,
    pub(super) out: Output,
    pub(super) err: Output,
}

/// What it wrote.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// There was more.
    pub(super) cut: bool,
}

/// Nobody knows how a program ended.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not started, or killed before it was fed.
    Start(io::Error),
    /// It can't be waited for.
    Wait(io::Error),
}

/// Runs a program in a process group of its own, which is killed after this time.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    write: impl FnOnce(ChildStdin) -> io::Result<()>,
) -> Result<Ended, Failure> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let command = command.stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(Failure::Start)?;
    // The kernel has no others.
    let pid = Pid::from_raw(child.id().cast_signed());
    let out = child.stdout.take().map(|pipe| collect(pipe, OUT_LIMIT));
    let err = child.stderr.take().map(|pipe| collect(pipe, ERR_LIMIT));
    let stdin = child.stdin.take();
    let (ended, end) = channel::<()>();
    let watch = move || {
        let too_slow = end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if too_slow {
            // One that has just ended is still waited for.
            let _ = killpg(pid, Signal::SIGKILL);
        }
        too_slow
    };
    let watchdog = thread::Builder::new().name("viprule-limit".to_owned());
    let watchdog = match watchdog.spawn(watch) {
        Ok(watchdog) => watchdog,
        Err(error) => {
            // Has not got anything to do yet.
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = child.wait();
            return Err(Failure::Start(error));
        }
    };
    let fed = stdin.map_or(Ok(()), write);
    // Without taking its number away, which the watchdog may be about to use.
    let waited = wait_for_end(pid);
    drop(ended);
    let too_slow = watchdog.join().unwrap_or_default();
    waited.map_err(Failure::Wait)?;
    Ok(Ended {
        status: child.wait().map_err(Failure::Wait)?,
        too_slow,
        fed,
        out: rest(out),
        err: rest(err),
    })
}

fn wait_for_end(pid: Pid) -> io::Result<()> {
    loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome.map(drop)?),
        }
    }
}

/// Reads to the end and keeps so many bytes. Not waited for where the end does not come.
fn collect(mut pipe: impl Read + Send + 'static, limit: usize) -> Receiver<Output> {
    let (tell, told) = channel();
    let read = move || {
        let mut output = Output::default();
        // What can't be read any more has ended.
        let _ = (&mut pipe)
            .take(limit as u64)
            .read_to_end(&mut output.bytes);
        let more = io::copy(&mut pipe, &mut io::sink());
        output.cut = more.is_ok_and(|more| more > 0);
        let _ = tell.send(output);
    };
    // Without a thread nothing is told, and the program's status says enough.
    drop(
        thread::Builder::new()
            .name("viprule-read".to_owned())
            .spawn(read),
    );
    told
}

fn rest(output: Option<Receiver<Output>>) -> Output {
    let output = output.and_then(|output| output.recv_timeout(REST).ok());
    output.unwrap_or_else(|| Output {
        bytes: Vec::new(),
        cut: true,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(120);
    const SHORT: Duration = Duration::from_millis(50);

    fn shell(script: &str, limit: Duration, input: &[u8]) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(&mut command, limit, |mut pipe| pipe.write_all(input)).unwrap()
    }

    #[test]
    fn what_it_wrote_and_how_it_ended_is_told() {
        let ended = shell("cat; echo problem >&2; exit 3", LONG, b"text");
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(ended.out.bytes, b"text");
        assert_eq!(ended.err.bytes, b"problem\n");
        assert!(!ended.too_slow && !ended.out.cut && !ended.err.cut);
        ended.fed.unwrap();
        let ended = shell("kill -SEGV $$", LONG, b"");
        assert_eq!(ended.status.signal(), Some(11));
        assert!(!ended.too_slow);
    }

    #[test]
    fn one_that_hangs_is_killed_with_all_that_it_started() {
        // More than a pipe holds, so that whoever feeds it waits, too.
        let input = vec![b'x'; 1 << 20];
        let ended = shell("sleep 1000; sleep 1000", SHORT, &input);
        assert!(ended.too_slow);
        assert_eq!(ended.status.signal(), Some(9));
        assert!(ended.fed.is_err());
    }

    #[test]
    fn its_message_has_a_bound() {
        let ended = shell("head -c 1000000 /dev/zero >&2; cat", LONG, b"text");
        assert_eq!((ended.err.bytes.len(), ended.err.cut), (ERR_LIMIT, true));
        assert_eq!((&*ended.out.bytes, ended.out.cut), (&b"text"[..], false));
    }
}
