//! Files in pieces, both ways: bounded before they are kept (known failures F8 and G14). Whoever may not send one is refused before
//! it is taken.

use tonic::{Status, Streaming};

use crate::domain::policy::CapabilityName;
use crate::domain::value::ids::{Digest, RequestId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;

/// A piece is shorter than this.
const PIECE_BYTES: usize = 32 * 1024;

/// One message of a stream that brings a file: the header first, then the file.
pub(crate) enum Piece<H> {
    Header(H),
    Chunk(Vec<u8>),
    Nothing,
}

/// A file, as its pieces come.
pub(crate) struct File {
    bytes: Vec<u8>,
    most: usize,
}

impl File {
    /// Of so many bytes at most.
    pub(crate) fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(crate) fn add(&mut self, chunk: &[u8]) -> Result<(), InvalidMessage> {
        if chunk.len() >= PIECE_BYTES {
            let wanted = format!("{} bytes; a piece is shorter than {PIECE_BYTES}", chunk.len());
            return Err(InvalidMessage::one("chunk", wanted));
        }
        if self.bytes.len().saturating_add(chunk.len()) > self.most {
            return Err(InvalidMessage::one("chunk", format!("a file of at most {} bytes is wanted", self.most)));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, or the mistake that it is none.
    pub(crate) fn into_text(self) -> Result<String, pb::Mistake> {
        let text = String::from_utf8(self.bytes);
        text.map_err(|error| not_text(error.as_bytes(), error.utf8_error().valid_up_to()))
    }
}

/// Takes the header, has `admit` check it, then takes the file, up to a number of bytes.
pub(crate) async fn receive<M: Into<Piece<H>>, H, T>(
    mut messages: Streaming<M>,
    most: usize,
    admit: impl FnOnce(H) -> Result<T, Status>,
) -> Result<(T, File), Status> {
    let first = messages.message().await?.map(Into::into);
    let Some(Piece::Header(header)) = first else {
        return Err(InvalidMessage::one("header", "the first piece is the header").into());
    };
    let admitted = admit(header)?;
    let mut file = File::of(most);
    while let Some(message) = messages.message().await? {
        match message.into() {
            Piece::Chunk(chunk) => file.add(&chunk)?,
            Piece::Header(_) => return Err(InvalidMessage::one("header", "it came before; it comes once").into()),
            Piece::Nothing => return Err(InvalidMessage::one("piece", "missing; a chunk is wanted").into()),
        }
    }
    Ok((admitted, file))
}

/// Sends a file, in as many messages as it takes.
pub(crate) fn send<M: Send + 'static>(file: &[u8], message: impl FnMut(Vec<u8>) -> M) -> Messages<M> {
    let chunks = file.chunks(PIECE_BYTES.saturating_sub(1)).map(<[u8]>::to_vec);
    let messages: Vec<_> = chunks.map(message).map(Ok).collect();
    Box::pin(tokio_stream::iter(messages))
}

/// Refuses a caller without the capability to send such a file. Who sent one before, under this `request_id`, may send it again to
/// be told what it came to: nothing comes of it.
pub(crate) fn needs(
    broker: &Broker,
    caller: &VerifiedCaller,
    name: CapabilityName,
    request_id: Option<RequestId>,
) -> Result<(), Status> {
    let took_effect = |id| broker.engine.read(|state| state.bound_before(&caller.identity, id).is_some());
    if request_id.is_some_and(took_effect) {
        return Ok(());
    }
    let allowed = broker.read(caller, |state, viewer, now| {
        if request_id.is_some_and(|id| state.bound(&viewer.principal, id).is_some()) {
            return Ok(());
        }
        let held = state.organisation().capability(viewer.account()?, name, now.latest);
        let name = name.as_str();
        let missing = || Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name);
        held.map(|_| ()).ok_or_else(missing)
    });
    allowed.map_err(|refusal| broker.counted(refusal))
}

fn not_text(bytes: &[u8], valid_up_to: usize) -> pb::Mistake {
    let lines = bytes.iter().take(valid_up_to).filter(|byte| **byte == b'\n').count();
    pb::Mistake {
        line: u32::try_from(lines.saturating_add(1)).unwrap_or_default(),
        text: format!("byte {} is not UTF-8", valid_up_to.saturating_add(1)),
        wanted: "UTF-8 text".to_owned(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_bounded_in_its_pieces_and_as_a_whole() {
        let mut policy = File::of(256 * 1024);
        assert!(policy.add(&vec![b'x'; PIECE_BYTES]).is_err());
        for _ in 0..8 {
            policy.add(&vec![b'x'; PIECE_BYTES - 1]).unwrap();
        }
        // 8 bytes are left of 256 KiB
        assert!(policy.add(&[b'x'; 9]).is_err());
        assert!(policy.add(&[b'x'; 8]).is_ok());
        assert!(policy.add(b"x").unwrap_err().to_string().contains("at most 262144 bytes"));
    }

    #[test]
    fn what_is_no_text_is_a_mistake_at_its_line() {
        let mut file = File::of(100);
        file.add(&[b"one\ntwo\n".as_slice(), &[0xff]].concat()).unwrap();
        let mistake = file.into_text().unwrap_err();
        assert_eq!((mistake.line, mistake.text.as_str()), (3, "byte 9 is not UTF-8"));
    }
}
