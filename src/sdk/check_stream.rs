//! Many checks at once: a batch, and batches over one stream. Each answer is compared with the question that it was
//! asked for, so that none is ever taken for another's (known failure F10).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::answer::CheckedAccess;
use super::client::Client;
use super::error::ClientError;
use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::wire::v1;
use crate::wire::v1::access_service_client::AccessServiceClient;

/// Batches that may be on their way at one time.
const ON_THEIR_WAY: usize = 64;

/// A stream of batches of checks, for a program that checks often and has no replica. It ends with an error alone: open
/// another, and take what had no answer as a deny.
#[derive(Debug)]
pub struct CheckStream {
    batches: mpsc::Sender<v1::StreamCheckAccessRequest>,
    answers: Streaming<v1::StreamCheckAccessResponse>,
    /// The batches that have no answer yet.
    asked: VecDeque<Asked>,
    next_id: u64,
    /// After an error nothing is known of what is still on its way.
    is_over: bool,
    address: String,
    call_timeout: Duration,
}

/// A batch that is on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    batch_id: u64,
    length: usize,
    at: BootMillis,
}

impl Client {
    /// Up to 128 checks at one sequence: as many answers, each to the question in its place.
    ///
    /// # Errors
    /// If it could not be decided, or an answer is not to what was asked. Take that as a deny of all of them.
    pub async fn check_batch(&self, queries: Vec<v1::CheckQuery>) -> Result<Vec<CheckedAccess>, ClientError> {
        let (wanted, asked) = (queries.len(), SystemClock.boot());
        let answered = self.batch_check_access(v1::BatchCheckAccessRequest { queries }).await?;
        let v1::BatchCheckAccessResponse { answers, sequence, time } = answered;
        let common = v1::CheckAccessResponse { sequence, time, ..Default::default() };
        in_their_places(answers, wanted, asked, &common)
            .map_err(|what| ClientError::Confused { address: self.address().to_owned(), what })
    }

    /// Opens a stream of checks.
    ///
    /// # Errors
    /// If the broker refuses or cannot be reached.
    pub async fn check_stream(&self) -> Result<CheckStream, ClientError> {
        let (batches, receiver) = mpsc::channel(ON_THEIR_WAY);
        let mut service = AccessServiceClient::new(self.channel());
        let (address, call_timeout) = (self.address().to_owned(), self.call_timeout());
        let opened = tokio::time::timeout(call_timeout, service.stream_check_access(ReceiverStream::new(receiver)));
        let opened =
            opened.await.map_err(|_| ClientError::TimedOut { address: address.clone(), after: call_timeout })?;
        let answers = opened.map(Response::into_inner);
        let answers = match answers {
            Ok(answers) => answers,
            Err(status) => return Err(self.error_of(&status).await),
        };
        Ok(CheckStream { batches, answers, asked: VecDeque::new(), next_id: 1, is_over: false, address, call_timeout })
    }
}

impl CheckStream {
    /// The answers to one batch of 1 to 128 questions, in their order. What is still to come for earlier batches, of a call
    /// that was dropped before its end, is thrown away.
    ///
    /// # Errors
    /// If it could not be decided, or an answer is not to what was asked. Take that as a deny of all of them; the stream is
    /// over then.
    pub async fn check(&mut self, queries: Vec<v1::CheckQuery>) -> Result<Vec<CheckedAccess>, ClientError> {
        let asked = self.asked_as(queries).await?;
        loop {
            let (batch_id, answers) = self.answered().await?;
            if batch_id == asked {
                return Ok(answers);
            }
        }
    }

    /// Sends a batch; its answers come by [`CheckStream::answer`], in the order of the batches. Waits while too many are on
    /// their way.
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn ask(&mut self, queries: Vec<v1::CheckQuery>) -> Result<(), ClientError> {
        self.asked_as(queries).await.map(drop)
    }

    /// The answers to the oldest batch that has none yet.
    ///
    /// # Errors
    /// As [`CheckStream::check`].
    pub async fn answer(&mut self) -> Result<Vec<CheckedAccess>, ClientError> {
        self.answered().await.map(|(_, answers)| answers)
    }

    async fn asked_as(&mut self, queries: Vec<v1::CheckQuery>) -> Result<u64, ClientError> {
        if self.is_over {
            return Err(self.over());
        }
        let (batch_id, length, at) = (self.next_id, queries.len(), SystemClock.boot());
        self.next_id = batch_id.wrapping_add(1);
        let batch = v1::StreamCheckAccessRequest { batch_id, queries };
        if self.batches.send(batch).await.is_err() {
            self.is_over = true;
            return Err(self.answers.message().await.err().map_or_else(|| self.over(), |status| self.lost(&status)));
        }
        self.asked.push_back(Asked { batch_id, length, at });
        Ok(batch_id)
    }

    async fn answered(&mut self) -> Result<(u64, Vec<CheckedAccess>), ClientError> {
        if self.is_over {
            return Err(self.over());
        }
        let answered = self.next().await;
        self.is_over = answered.is_err();
        answered
    }

    async fn next(&mut self) -> Result<(u64, Vec<CheckedAccess>), ClientError> {
        let late = || ClientError::TimedOut { address: self.address.clone(), after: self.call_timeout };
        let answered = tokio::time::timeout(self.call_timeout, self.answers.message()).await.map_err(|_| late())?;
        let answered = answered.map_err(|status| self.lost(&status))?.ok_or_else(|| self.over())?;
        let confused = |what| ClientError::Confused { address: self.address.clone(), what };
        let v1::StreamCheckAccessResponse { batch_id, answers, sequence, time } = answered;
        let Some(Asked { length, at, .. }) = self.asked.pop_front().filter(|asked| asked.batch_id == batch_id) else {
            return Err(confused(format!("batch {batch_id} was not the one asked")));
        };
        let common = v1::CheckAccessResponse { sequence, time, ..Default::default() };
        let answers = in_their_places(answers, length, at, &common);
        Ok((batch_id, answers.map_err(|what| confused(format!("batch {batch_id}: {what}")))?))
    }

    fn lost(&self, status: &Status) -> ClientError {
        ClientError::from_status(status, &self.address, self.call_timeout)
    }

    /// The error of a stream that the broker ended in good order, as when it drains.
    fn over(&self) -> ClientError {
        self.lost(&Status::unavailable("the broker closed the stream"))
    }
}

/// The answers of a batch, with what they have in common.
fn in_their_places(
    answers: Vec<v1::CheckAnswer>,
    wanted: usize,
    asked: BootMillis,
    common: &v1::CheckAccessResponse,
) -> Result<Vec<CheckedAccess>, String> {
    if answers.len() != wanted {
        return Err(format!("{} answers to {wanted} questions", answers.len()));
    }
    let placed = (0_u32..).zip(answers).map(|(index, answer)| {
        if answer.query_index != index {
            return Err(format!("an answer to question {} in place of {index}", answer.query_index));
        }
        let message = v1::CheckAccessResponse {
            verdict: answer.verdict,
            reason: answer.reason,
            grant_id: answer.grant_id,
            valid_until: answer.valid_until,
            ..common.clone()
        };
        Ok(CheckedAccess::asked_at(asked, message))
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let answer = |query_index| v1::CheckAnswer { query_index, verdict: 1, reason: 1, ..Default::default() };
        let placed = |answers| in_their_places(answers, 2, SystemClock.boot(), &v1::CheckAccessResponse::default());
        let allowed = placed(vec![answer(0), answer(1)]).unwrap();
        assert!(allowed.iter().all(CheckedAccess::is_allowed));
        for wrong in [
            vec![],
            vec![answer(0)],
            vec![answer(1), answer(0)],
            vec![answer(0), answer(0)],
            vec![answer(0), answer(1), answer(2)],
        ] {
            assert!(placed(wrong).is_err());
        }
    }
}
