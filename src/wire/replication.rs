//! What a replica says, parsed.

use uuid::Uuid;

use crate::domain::value::time::Span;
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::values::duration_of_at_least;
use pb::replicate_grants_request::Message;

/// The least age at which a replica may say that it denies: three pings fit into it.
pub const LEAST_STALENESS: Span = match Span::from_millis(500) {
    Ok(span) => span,
    Err(_) => Span::SECOND,
};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// What opens a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who it is; none if it does not say.
    pub replica_id: Option<Uuid>,
    /// Older than this it denies; none if it does not say.
    pub max_staleness: Option<Span>,
    /// The sequence that it had reached.
    pub sequence: u64,
    /// Where it stood; none: it begins anew.
    pub stood: Option<Stood>,
}

/// Where a replica says that it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    /// The feed that it followed.
    pub feed_id: String,
    /// The last change that it applied.
    pub number: u64,
    /// How many entries it holds.
    pub count: u64,
    /// The set digest of them.
    pub digest: [u8; 32],
}

/// One message of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The first one.
    Hello(Hello),
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
            Some(Message::Hello(hello)) => Ok(Self::Hello(parsed(hello)?)),
            Some(Message::Ping(ping)) => {
                // While a snapshot is being checked both are zero, and what is still served is an earlier feed's.
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

fn parsed(hello: pb::ReplicaHello) -> Result<Hello, InvalidMessage> {
    let pb::ReplicaHello { feed_id, number, sequence, count, digest, replica_id, max_staleness } = hello;
    let is_new = feed_id.is_empty();
    if !is_new && feed_id.parse::<Uuid>().is_err() {
        return Err(InvalidMessage::one("hello.feed_id", "no id of a feed; send the one of its start, or none"));
    }
    let replica_id = match &*replica_id {
        [] => None,
        id => Some(Uuid::from_slice(id).map_err(|_| {
            InvalidMessage::one("hello.replica_id", "not 16 bytes; make them once for each replica, or send none")
        })?),
    };
    let max_staleness = max_staleness.as_ref().map(|it| duration_of_at_least(LEAST_STALENESS, it)).transpose();
    let max_staleness = max_staleness.map_err(|why| InvalidMessage::one("hello.max_staleness", why))?;
    if is_new && digest.is_empty() {
        return Ok(Hello { replica_id, max_staleness, sequence, stood: None });
    }
    let digest = digest.try_into();
    let digest = digest.map_err(|_| InvalidMessage::one("hello.digest", "not 32 bytes; send those of the feed"))?;
    let stood = (!is_new).then_some(Stood { feed_id, number, count, digest });
    Ok(Hello { replica_id, max_staleness, sequence, stood })
}
