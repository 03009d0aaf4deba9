//! How much of unfinished requests is held in memory, over all streams.
//!
//! A request may be large, and a client may send most of it and stop. Comes in: the bytes of request bodies as
//! they come. Goes out: the same bytes, or an error when all unfinished requests together hold too much. Keeps the
//! invariant that what is held is counted exactly as long as it is.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tonic::Status;

/// Length of what stands before each gRPC message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// What all unfinished requests may hold.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    most: usize,
}

impl Budget {
    /// So many bytes.
    pub fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { held: AtomicUsize::new(0), most })
    }
}

/// A request body whose unfinished message is counted.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: Pin<Box<B>>,
    budget: Arc<Budget>,
    /// The header of the message that is on its way, as far as it came.
    header: Vec<u8>,
    /// Bytes of that message that are still to come.
    missing: usize,
    /// Bytes of it that have come.
    held: usize,
}

impl<B> Counted<B> {
    /// Counts in this budget.
    pub fn new(body: B, budget: Arc<Budget>) -> Counted<B> {
        Counted { body: Box::pin(body), budget, header: Vec::new(), missing: 0, held: 0 }
    }

    fn count(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            if self.missing == 0 {
                let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                self.header.extend_from_slice(part);
                bytes = rest;
                if let [_, length @ ..] = &self.header[..]
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.missing = u32::from_be_bytes(length) as usize;
                    self.header.clear();
                }
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.missing));
            self.missing -= part.len();
            bytes = rest;
            if self.missing == 0 {
                self.release();
            } else {
                self.hold(part.len())?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, more: usize) -> Result<(), Status> {
        self.held += more;
        let all = self.budget.held.fetch_add(more, Ordering::Relaxed) + more;
        if all > self.budget.most {
            return Err(Status::resource_exhausted(
                "too many large requests are on their way to xds-bridge at once; try again",
            ));
        }
        Ok(())
    }

    fn release(&mut self) {
        self.budget.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match self.body.as_mut().poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            other => return other.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        };
        let counted = frame.data_ref().map_or(Ok(()), |bytes| self.count(bytes));
        Poll::Ready(Some(counted.map(|()| frame).map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(HEADER + length as usize, 7);
        bytes
    }

    #[test]
    fn only_what_is_unfinished_counts_however_it_is_cut() {
        let budget = Budget::new(100);
        let held = || budget.held.load(Ordering::Relaxed);
        for size in [1, 3, 7, 1000] {
            let mut body = Counted::new((), budget.clone());
            let all = [message(90), message(0), message(60)].concat();
            for part in all.chunks(size) {
                body.count(part).expect("one at a time they fit");
            }
            assert_eq!(held(), 0, "all are whole");
            body.count(&message(50)[..HEADER + 49]).expect("it fits");
            assert_eq!(held(), 49);
        }
        assert_eq!(held(), 0, "what a stream held is given back with it");
    }

    #[test]
    fn many_unfinished_requests_together_hold_no_more_than_there_is() {
        let budget = Budget::new(100);
        let part = &message(1000)[..HEADER + 60];
        let mut one = Counted::new((), budget.clone());
        one.count(part).expect("the first fits");
        let mut other = Counted::new((), budget.clone());
        let status = other.count(part).expect_err("both do not");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        drop(other);
        let mut third = Counted::new((), budget.clone());
        third.count(&part[..HEADER + 40]).expect("there is room again");
    }
}
