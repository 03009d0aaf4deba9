//! Responses as the body of an HTTP answer: gRPC's framing, and its status at the end.
//!
//! Done here and not by a codec, so that the resources of a large response can be bytes that other
//! streams send as well: they are handed on, not copied.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio_stream::Stream;
use tonic::Status;

use super::super::common::Common;
use super::super::wire::Response;

/// A flag that says uncompressed, and the length of the message.
const PREFIX: usize = 5;

/// The body of one stream.
pub(super) struct Answer<S> {
    responses: S,
    common: Arc<Common>,
    ready: VecDeque<Bytes>,
    has_ended: bool,
}

impl<S> Answer<S> {
    pub fn new(responses: S, common: Arc<Common>) -> Answer<S> {
        Answer { responses, common, ready: VecDeque::new(), has_ended: false }
    }
}

impl<S: Stream<Item = Result<Response, Status>> + Unpin> Body for Answer<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(bytes) = this.ready.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if this.has_ended {
            return Poll::Ready(None);
        }
        let status = match ready!(Pin::new(&mut this.responses).poll_next(context)) {
            Some(Ok(response)) => {
                let first = write(response, &this.common, &mut this.ready);
                return Poll::Ready(Some(Ok(Frame::data(first))));
            }
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        this.has_ended = true;
        let mut trailers = http::HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// The message in its frame; what comes behind the first part goes to `more`.
fn write(mut response: Response, common: &Common, more: &mut VecDeque<Bytes>) -> Bytes {
    let items = common.encode(response.variant, &mut response.items);
    let own = response.encoded_len();
    let len = own + items.as_ref().map_or(0, Bytes::len);
    let mut out = BytesMut::with_capacity(PREFIX + own);
    out.put_u8(0);
    // A response is bounded far below 4 GiB (`Rules`); a full state of that size is refused by its client.
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    response.encode(&mut out);
    more.extend(items);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Kind, Resource};
    use crate::serve::wire::{Item, Variant};

    fn response(variant: Variant, count: usize) -> Response {
        let items = (0..count).map(|number| {
            let name = format!("cluster-{number:05}");
            let resource = Arc::new(Resource::new(Kind::Cluster, name.as_str(), name.as_bytes()));
            let (name, version) = (resource.name().clone(), resource.digest());
            Item { name, version, resource: Some(resource), ttl: None }
        });
        Response {
            variant,
            type_url: Kind::Cluster.type_url().into(),
            version: Default::default(),
            nonce: "7".into(),
            items: items.collect::<Vec<_>>().into(),
            removed: vec!["gone".into()],
            server: "here".into(),
        }
    }

    /// The fields of a message in the order of their numbers.
    fn fields(mut message: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let (number, _) = prost::encoding::decode_key(&mut message).expect("a key");
            let len = prost::encoding::decode_varint(&mut message).expect("a length");
            let (field, rest) = message.split_at(usize::try_from(len).expect("a small field"));
            fields.push((number, field.to_vec()));
            message = rest;
        }
        fields.sort_by_key(|(number, _)| *number);
        fields
    }

    #[test]
    fn a_response_of_shared_parts_says_what_it_says_in_one_piece() {
        let common = Common::default();
        for variant in [Variant::Delta, Variant::Sotw] {
            for count in [0, 1, 1000] {
                let mut whole = Vec::new();
                response(variant, count).encode(&mut whole);
                let mut more = VecDeque::new();
                let first = write(response(variant, count), &common, &mut more);
                let mut message = first[PREFIX..].to_vec();
                more.iter().for_each(|part| message.extend_from_slice(part));
                assert_eq!(first[1..PREFIX], u32::try_from(message.len()).expect("small").to_be_bytes());
                assert_eq!(fields(&message), fields(&whole));
            }
        }
    }

    #[test]
    fn large_responses_with_the_same_resources_share_their_bytes() {
        let common = Common::default();
        let large = response(Variant::Delta, 1000);
        let (mut one, mut other) = (VecDeque::new(), VecDeque::new());
        let first = write(Response { nonce: "1".into(), ..large.clone() }, &common, &mut one);
        let second = write(Response { nonce: "2".into(), ..large }, &common, &mut other);
        assert_ne!(first, second);
        assert_eq!(one[0].as_ptr(), other[0].as_ptr());
        let mut changed = VecDeque::new();
        write(response(Variant::Delta, 999), &common, &mut changed);
        assert_ne!(changed[0].as_ptr(), one[0].as_ptr());
    }
}
