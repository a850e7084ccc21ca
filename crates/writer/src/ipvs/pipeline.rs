//! Many messages in flight: all of a part go with one send, and only the last one is acknowledged.
//! Errors come back all the same, each with the number of its message.

use netlink_batch::message::flags;
use netlink_batch::{Answers, Batch, Error, Refusal, Socket};

/// Messages in one part: some 64 KiB, and no more refusals than a socket has room for.
pub(super) const PART: usize = 1024;

/// Why it is not known what became of messages.
#[derive(Debug)]
pub(super) enum Failure {
    /// Answers were lost.
    Lost,
    /// Nothing of this part was sent; parts before it may have been.
    Netlink(Error),
}

/// Sends messages, each with the number of its item as its tag. `write` adds one for an item, with
/// the flags that it is given. What is refused goes to `refused`. Returns the bytes sent.
pub(super) fn pipeline<T>(
    socket: &mut Socket,
    items: &[T],
    write: impl Fn(&mut Batch<usize>, &T, u16),
    mut refused: impl FnMut(&T, &Refusal<usize>),
) -> Result<usize, Failure> {
    let mut batch = Batch::new();
    let mut bytes = 0;
    for part in items.chunks(PART) {
        batch.clear();
        for (at, item) in part.iter().enumerate() {
            let is_last = at + 1 == part.len();
            batch.tag(at);
            write(&mut batch, item, if is_last { flags::ACK } else { 0 });
        }
        let mut answers = socket.send(&batch, |_, _| {}).map_err(Failure::Netlink)?;
        bytes += batch.len();
        let last = part.len() - 1;
        let judged = |refusal: &Refusal<usize>| refusal.tag == Some(last);
        answers.lost |= answers.acknowledged == 0 && !answers.refusals.iter().any(judged);
        judge(part, &answers, &mut refused)?;
    }
    Ok(bytes)
}

/// Hands each refusal to `refused`, with its item.
pub(super) fn judge<T>(
    items: &[T],
    answers: &Answers<usize>,
    mut refused: impl FnMut(&T, &Refusal<usize>),
) -> Result<(), Failure> {
    for refusal in &answers.refusals {
        match refusal.tag.and_then(|at| items.get(at)) {
            Some(item) => refused(item, refusal),
            None => return Err(Failure::Lost),
        }
    }
    if answers.lost {
        return Err(Failure::Lost);
    }
    Ok(())
}

/// What the kernel said, without the message's number, which means nothing to anybody.
pub(super) fn reason<T>(refusal: &Refusal<T>) -> String {
    match &refusal.text {
        Some(text) => format!("{} ({text})", refusal.errno),
        None => refusal.errno.to_string(),
    }
}
