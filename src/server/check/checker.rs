//! The checks of one caller: from a message to the answer that is written in its place, whether it is a call of its own,
//! a batch or one of a stream.

use tonic::Status;

use super::access::Access;
use super::messages::{Batch, BatchChecked, Checked, StreamChecked, ToldSequence};
use super::messages::{read_batch, read_check, read_stream_batch};
use crate::check::{Query, Verdict};
use crate::server::caller::VerifiedCaller;
use crate::server::transport::served::unreadable;
use crate::wire::message::{InvalidField, InvalidMessage};
use crate::wire::queries::{LARGEST_BATCH, check_query};

/// One caller, and the way to the core.
pub(crate) struct Checker {
    pub(crate) access: Access,
    pub(crate) caller: VerifiedCaller,
}

impl Checker {
    fn sequence(&self, sequence: u64) -> ToldSequence {
        if self.caller.is_sealed() {
            ToldSequence::Sealed(self.caller.sequence_text(sequence))
        } else {
            ToldSequence::Number(sequence)
        }
    }

    /// The answer to one question.
    pub(crate) fn check(&self, message: &[u8]) -> Result<Checked, Status> {
        read_check(message, |query| {
            let asking = self.access.begin(&self.caller)?;
            let verdict = asking.verdict(query);
            if !verdict.is_allowed() {
                well_formed(query)?;
            }
            self.access.count(&[verdict]);
            Ok(Checked { verdict, sequence: self.sequence(asking.sequence), time: asking.now })
        })
        .map_err(undecodable)?
    }

    /// The answers to a batch.
    pub(crate) fn check_batch(&self, message: &[u8]) -> Result<BatchChecked, Status> {
        read_batch(message, |batch| self.checked(&batch)).map_err(undecodable)?
    }

    /// The answers to a batch of a stream.
    pub(crate) fn check_stream_batch(&self, message: &[u8]) -> Result<StreamChecked, Status> {
        read_stream_batch(message, |batch| match self.checked(&batch) {
            Ok(answers) => Ok(StreamChecked { batch_id: batch.id, answers }),
            Err(status) => Err(of(batch.id, &status)),
        })
        .map_err(undecodable)?
    }

    fn checked(&self, batch: &Batch<'_>) -> Result<BatchChecked, Status> {
        let asking = self.access.begin(&self.caller)?;
        if batch.count == 0 || batch.count > LARGEST_BATCH {
            let wanted = format!("{} of them; 1 to {LARGEST_BATCH} are wanted", batch.count);
            return Err(InvalidMessage::one("queries", wanted).into());
        }
        let verdicts = asking.verdicts(&batch.queries);
        refuse_malformed(&batch.queries, &verdicts)?;
        self.access.count(&verdicts);
        Ok(BatchChecked { verdicts, sequence: self.sequence(asking.sequence), time: asking.now })
    }
}

/// Every question that is malformed, by its index. Nothing malformed is ever allowed, so that only what was denied is
/// looked at.
fn refuse_malformed(queries: &[Query<'_>], verdicts: &[Verdict]) -> Result<(), InvalidMessage> {
    let denied = queries.iter().enumerate().zip(verdicts).filter(|(_, verdict)| !verdict.is_allowed());
    let malformed = denied.filter_map(|((index, query), _)| Some((index, well_formed(*query).err()?.fields)));
    let named = malformed.flat_map(|(index, fields)| {
        fields.into_iter().map(move |field| InvalidField { path: format!("queries[{index}].{}", field.path), ..field })
    });
    let fields: Vec<_> = named.collect();
    if fields.is_empty() { Ok(()) } else { Err(InvalidMessage { fields }) }
}

fn well_formed(Query { subject, action, resource }: Query<'_>) -> Result<(), InvalidMessage> {
    check_query("", subject, action, resource)
}

/// As what tonic's own codec says is told.
fn undecodable(error: prost::DecodeError) -> Status {
    unreadable(Status::internal(error.to_string()))
}

/// The same error, with the batch that it is about.
fn of(batch_id: u64, status: &Status) -> Status {
    let text = format!("batch {batch_id}: {}", status.message());
    Status::with_details_and_metadata(status.code(), text, status.details().to_vec().into(), status.metadata().clone())
}
