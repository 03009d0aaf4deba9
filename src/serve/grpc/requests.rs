//! Requests out of the body of a call: gRPC's framing, and a bound on what unfinished ones hold.
//!
//! Comes in: the bytes of one call as they come. Goes out: requests, or the status with which the call ends. A
//! message that came in one piece is read where it lies, and nothing is kept between messages: an idle stream holds
//! no buffer. A request may be large, and a client may send most of it and stop: keeps the invariant that what
//! is held of unfinished requests is counted, over all streams, exactly as long as it is.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use tonic::{Code, Status};

use super::super::wire::{Request, Variant};

/// Largest request taken, in bytes: a reconnect with a million names and versions fits.
pub const MAX_REQUEST: usize = 128 * 1024 * 1024;

/// What all unfinished requests may hold together: four of the largest, or all those of some thousand Envoys that
/// come back at once with a hundred kilobytes each.
const MAX_UNFINISHED: usize = 4 * MAX_REQUEST;

/// Length of what stands before each gRPC message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// What all unfinished requests may hold.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    most: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { held: AtomicUsize::new(0), most: MAX_UNFINISHED }
    }
}

/// The requests of one call.
pub(super) struct Requests {
    body: tonic::body::Body,
    variant: Variant,
    messages: Messages,
}

impl Requests {
    /// Reads a body; what is unfinished counts in this budget.
    pub fn new<B>(body: B, variant: Variant, budget: Arc<Budget>) -> Requests
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Requests { body: tonic::body::Body::new(body), variant, messages: Messages::new(budget) }
    }

    /// The next request; none at the end of the call.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Request, Status>>> {
        loop {
            if let Some(message) = self.messages.next()? {
                let request = Request::read(self.variant, &message);
                let request = request.map_err(|error| Status::invalid_argument(error.to_string()));
                return Poll::Ready(Some(request));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                // Trailers of a request say nothing.
                Some(Ok(frame)) => self.messages.arrived = frame.into_data().unwrap_or_default(),
                // The client has given up, which is its way to end a call.
                Some(Err(status)) if status.code() == Code::Cancelled => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None if self.messages.begun.is_empty() => return Poll::Ready(None),
                None => {
                    let status = Status::invalid_argument("the call ends within a message");
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }
}

/// Messages, put together from the pieces in which they come.
#[derive(Debug)]
struct Messages {
    /// What came and was not looked at yet.
    arrived: Bytes,
    /// The message that is on its way, with its header, if it did not come in one piece.
    begun: Vec<u8>,
    budget: Arc<Budget>,
}

impl Messages {
    fn new(budget: Arc<Budget>) -> Messages {
        Messages { arrived: Bytes::new(), begun: Vec::new(), budget }
    }

    /// The next message that is whole. Without one, all that arrived was taken.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.begun.is_empty()
            && let Some(header) = self.arrived.first_chunk()
        {
            let len = length(header)?;
            if self.arrived.len() >= HEADER + len {
                self.arrived.advance(HEADER);
                return Ok(Some(self.arrived.split_to(len)));
            }
        }
        self.gather(HEADER)?;
        let Some(header) = self.begun.first_chunk() else { return Ok(None) };
        let whole = HEADER + length(header)?;
        self.gather(whole)?;
        if self.begun.len() < whole {
            return Ok(None);
        }
        let mut message = Bytes::from(self.take_begun());
        message.advance(HEADER);
        Ok(Some(message))
    }

    /// Takes of what arrived, until so much is there of the message that is on its way.
    fn gather(&mut self, len: usize) -> Result<(), Status> {
        let missing = len.saturating_sub(self.begun.len()).min(self.arrived.len());
        let part = self.arrived.split_to(missing);
        self.begun.extend_from_slice(&part);
        let all = self.budget.held.fetch_add(missing, Ordering::Relaxed) + missing;
        if all > self.budget.most {
            return Err(Status::resource_exhausted(
                "too many large requests are on their way to xds-bridge at once; try again",
            ));
        }
        Ok(())
    }

    fn take_begun(&mut self) -> Vec<u8> {
        self.budget.held.fetch_sub(self.begun.len(), Ordering::Relaxed);
        std::mem::take(&mut self.begun)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.take_begun();
    }
}

/// The length of the message behind a header.
fn length([compressed, length @ ..]: &[u8; HEADER]) -> Result<usize, Status> {
    if *compressed != 0 {
        return Err(Status::unimplemented("the request is compressed, not taken here"));
    }
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_REQUEST {
        return Err(Status::resource_exhausted(format!(
            "a request of {length} bytes is larger than the {MAX_REQUEST} that are taken"
        )));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(most: usize) -> Arc<Budget> {
        Arc::new(Budget { held: AtomicUsize::new(0), most })
    }

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(HEADER + length as usize, 7);
        bytes
    }

    /// The lengths of the messages that are whole with this piece.
    fn take(messages: &mut Messages, piece: &[u8]) -> Result<Vec<usize>, Status> {
        messages.arrived = Bytes::copy_from_slice(piece);
        let mut lengths = Vec::new();
        while let Some(message) = messages.next()? {
            assert!(message.iter().all(|byte| *byte == 7));
            lengths.push(message.len());
        }
        assert!(messages.arrived.is_empty());
        Ok(lengths)
    }

    #[test]
    fn only_what_is_unfinished_counts_however_it_is_cut() {
        let budget = budget(100);
        let held = || budget.held.load(Ordering::Relaxed);
        for size in [1, 3, 7, 1000] {
            let mut messages = Messages::new(budget.clone());
            let all = [message(90), message(0), message(60)].concat();
            let mut lengths = Vec::new();
            for piece in all.chunks(size) {
                lengths.extend(take(&mut messages, piece).expect("one at a time they fit"));
            }
            assert_eq!(lengths, [90, 0, 60]);
            assert_eq!((held(), messages.begun.capacity()), (0, 0), "all are whole, nothing is kept");
            assert_eq!(take(&mut messages, &message(50)[..HEADER + 49]).expect("it fits"), [0; 0]);
            assert_eq!(held(), HEADER + 49);
        }
        assert_eq!(held(), 0, "what a stream held is given back with it");
    }

    #[test]
    fn what_comes_in_one_piece_is_not_copied() {
        let mut messages = Messages::new(budget(0));
        messages.arrived = [message(9), message(8)].concat().into();
        let first = messages.arrived.as_ptr();
        for (at, len) in [(HEADER, 9), (2 * HEADER + 9, 8)] {
            let message = messages.next().expect("nothing is held").expect("it is whole");
            assert_eq!((message.as_ptr(), message.len()), (first.wrapping_add(at), len));
        }
    }

    #[test]
    fn many_unfinished_requests_together_hold_no_more_than_there_is() {
        let budget = budget(100);
        let part = &message(1000)[..60];
        let mut one = Messages::new(budget.clone());
        take(&mut one, part).expect("the first fits");
        let mut other = Messages::new(budget.clone());
        let status = take(&mut other, part).expect_err("both do not");
        assert_eq!(status.code(), Code::ResourceExhausted);
        drop(other);
        let mut third = Messages::new(budget.clone());
        take(&mut third, &part[..40]).expect("there is room again");
    }
}
