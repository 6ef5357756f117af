//! What a replica says, parsed.

use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use pb::replicate_grants_request::Message;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Where a replica says that it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The feed that it followed.
    pub feed_id: String,
    /// The last change that it applied.
    pub number: u64,
    /// The sequence that it had reached.
    pub sequence: u64,
    /// How many entries it holds.
    pub count: u64,
    /// The set digest of them.
    pub digest: [u8; 32],
}

/// One message of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The first one; none: it begins anew.
    Hello(Option<Hello>),
    /// A ping with its nonce, and the last change that is in force; none as long as nothing is.
    Ping([u8; NONCE_BYTES], Option<u64>),
    /// The last change that is in force.
    Applied(u64),
}

impl TryFrom<pb::ReplicateGrantsRequest> for Said {
    type Error = InvalidMessage;

    fn try_from(request: pb::ReplicateGrantsRequest) -> Result<Self, InvalidMessage> {
        match request.message {
            None => Err(InvalidMessage::one("message", "missing; a replica says hello, and then pings")),
            Some(Message::Hello(hello)) => Ok(Self::Hello(place(hello)?)),
            Some(Message::Ping(ping)) => {
                // While a snapshot is being proved both are zero, and what is still served is an earlier feed's.
                let applied = (ping.sequence > 0).then_some(ping.number);
                let nonce = ping.nonce.try_into();
                nonce
                    .map(|nonce| Self::Ping(nonce, applied))
                    .map_err(|_| InvalidMessage::one("ping.nonce", "not 16 bytes; make them anew each time"))
            }
            Some(Message::Applied(applied)) => Ok(Self::Applied(applied.number)),
        }
    }
}

/// None: there is no feed yet, so the rest says nothing.
fn place(hello: pb::ReplicaHello) -> Result<Option<Hello>, InvalidMessage> {
    let pb::ReplicaHello { feed_id, number, sequence, count, digest } = hello;
    let is_new = feed_id.is_empty();
    if !is_new && feed_id.parse::<uuid::Uuid>().is_err() {
        return Err(InvalidMessage::one("hello.feed_id", "no id of a feed; send the one of its start, or none"));
    }
    if is_new && digest.is_empty() {
        return Ok(None);
    }
    let digest = digest.try_into();
    let digest = digest.map_err(|_| InvalidMessage::one("hello.digest", "not 32 bytes; send those of the feed"))?;
    Ok((!is_new).then_some(Hello { feed_id, number, sequence, count, digest }))
}
