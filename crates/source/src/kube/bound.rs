//! Bounds of answers: a server or a proxy before it may send one that has no end.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use http::{Method, Request, Response};
use http_body_util::{Either, LengthLimitError, Limited};
use tower::Service;

use super::error::{Cause, chain};

/// Largest page of a list, bytes: 2,000 objects of 128 KiB. Where that is too little, 100 objects
/// are asked for, each of which may have more than etcd takes by default (1.5 MiB).
pub(super) const PAGE_BYTES: usize = 256 << 20;
/// Most objects of a list. Kubernetes is tested with up to 10,000 Services and 150,000 pods.
pub(super) const LIST_OBJECTS: u64 = 250_000;
/// Most pages of a list: four times as many as that takes with 100 objects each.
pub(super) const LIST_PAGES: usize = 10_000;
/// Largest answer to everything else, bytes: what an error is, and the Event that was posted.
const OTHER_BYTES: usize = 4 << 20;

/// What a list has too many of, for messages.
pub(super) fn too_many_objects() -> String {
    format!("more than {LIST_OBJECTS} objects in one list")
}

/// What is wrong with an answer of more bytes than this.
pub(super) fn too_many_bytes(bound: usize) -> Cause {
    let size = bound >> 20;
    Cause::TooLarge(format!("more than {size} MiB in one answer"))
}

/// Reads an answer to its end, or to the bound.
pub(super) async fn read(
    mut body: impl AsyncBufRead + Unpin,
    bound: usize,
) -> Result<String, Cause> {
    let mut bytes = Vec::new();
    // Not `read_to_end`, which clears all the room that is left for every piece.
    loop {
        let piece = body.fill_buf().await;
        let piece = piece.map_err(|error| Cause::Connection(chain(&error)))?;
        let length = piece.len();
        if length == 0 {
            break;
        }
        if bytes.len() + length > bound {
            return Err(too_many_bytes(bound));
        }
        bytes.extend_from_slice(piece);
        body.consume_unpin(length);
    }
    String::from_utf8(bytes).map_err(|error| Cause::Malformed(error.to_string()))
}

/// What is wrong where an answer went beyond the bound of [`Bounds`].
pub(super) fn exceeded(error: &(dyn Error + 'static)) -> Option<Cause> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            let size = OTHER_BYTES >> 20;
            return Some(Cause::TooLarge(format!(
                "more than {size} MiB in an answer that is no object"
            )));
        }
        cause = error.source();
    }
    None
}

/// Bounds every answer that the client collects by itself. Lists and watches are read piece by
/// piece, and whoever reads them counts.
#[derive(Debug, Clone)]
pub(super) struct Bounds<S>(pub(super) S);

impl<S, A, B> Service<Request<A>> for Bounds<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Either<B, Limited<B>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let reads = request.method() == Method::GET;
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let is_content = reads && answer.status().is_success();
            Ok(answer.map(|body| {
                if is_content {
                    Either::Left(body)
                } else {
                    Either::Right(Limited::new(body, OTHER_BYTES))
                }
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_of_the_bound_is_read_and_one_without_end_is_not() {
        let bound = 1 << 20;
        let text = "x".repeat(1 << 20);
        assert_eq!(read(text.as_bytes(), bound).await, Ok(text));
        let endless = futures_util::io::BufReader::new(futures_util::io::repeat(b'x'));
        let error = read(endless, bound).await.unwrap_err();
        let told = "the answer is too large: more than 1 MiB in one answer; check";
        assert!(error.to_string().starts_with(told), "{error}");
    }
}
