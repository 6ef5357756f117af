//! Files, sent and received in pieces.

use super::client::Client;
use super::error::ClientError;
use crate::wire::v1;
use crate::wire::v1::audit_service_client::AuditServiceClient;
use crate::wire::v1::hr_service_client::HrServiceClient;
use crate::wire::v1::policy_service_client::PolicyServiceClient;
use crate::wire::v1::proposal_service_client::ProposalServiceClient;
use crate::wire::v1::{import_people_request, propose_directory_request, propose_policy_request};

/// The longest piece of a file that is sent at once: the API takes less than 32 KiB.
const PIECE_BYTES: usize = 24 * 1024;

impl Client {
    /// Proposes a policy, or with `validate_only` reports what it would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn propose_policy(
        &self,
        header: v1::ProposalHeader,
        file: &[u8],
    ) -> Result<v1::ProposePolicyResponse, ClientError> {
        let first = propose_policy_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| propose_policy_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> =
            std::iter::once(first).chain(chunks).map(|piece| v1::ProposePolicyRequest { piece: Some(piece) }).collect();
        self.call(pieces, |channel, pieces| async move {
            ProposalServiceClient::new(channel).propose_policy(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Finds every mistake in a policy, looked at alone. Changes nothing.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn validate_policy(&self, file: &[u8]) -> Result<v1::ValidatePolicyResponse, ClientError> {
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| v1::ValidatePolicyRequest { chunk: chunk.to_vec() });
        self.call(chunks.collect::<Vec<_>>(), |channel, pieces| async move {
            PolicyServiceClient::new(channel).validate_policy(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Proposes a directory, or with `validate_only` reports what it would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn propose_directory(
        &self,
        header: v1::ProposalHeader,
        file: &[u8],
    ) -> Result<v1::ProposeDirectoryResponse, ClientError> {
        let first = propose_directory_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| propose_directory_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> = std::iter::once(first)
            .chain(chunks)
            .map(|piece| v1::ProposeDirectoryRequest { piece: Some(piece) })
            .collect();
        self.call(pieces, |channel, pieces| async move {
            ProposalServiceClient::new(channel).propose_directory(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// Makes the directory agree with a file of everybody whom HR knows, or with `validate_only` reports what that would do.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time. Mistakes in the file are no error.
    pub async fn import_people(
        &self,
        header: v1::ImportHeader,
        file: &[u8],
    ) -> Result<v1::ImportPeopleResponse, ClientError> {
        let first = import_people_request::Piece::Header(header);
        let chunks = file.chunks(PIECE_BYTES).map(|chunk| import_people_request::Piece::Chunk(chunk.to_vec()));
        let pieces: Vec<_> =
            std::iter::once(first).chain(chunks).map(|piece| v1::ImportPeopleRequest { piece: Some(piece) }).collect();
        self.call(pieces, |channel, pieces| async move {
            HrServiceClient::new(channel).import_people(pieces.map(tokio_stream::iter)).await
        })
        .await
    }

    /// All that the brake holds under one id, as the JSON that a release names the digest of.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn held_events(&self, hold_id: &str) -> Result<Vec<u8>, ClientError> {
        let request = v1::GetHeldEventsRequest { hold_id: hold_id.to_owned() };
        let pieces =
            self.call(request, |channel, request| async move {
                HrServiceClient::new(channel).get_held_events(request).await
            })
            .await?;
        self.gather(pieces, |bytes: &mut Vec<u8>, piece| bytes.extend(piece.chunk)).await
    }

    /// The file that a pending proposal would put in force.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn proposal_text(&self, proposal_id: &str) -> Result<Vec<u8>, ClientError> {
        let request = v1::GetProposalTextRequest { proposal_id: proposal_id.to_owned() };
        let pieces = self
            .call(request, |channel, request| async move {
                ProposalServiceClient::new(channel).get_proposal_text(request).await
            })
            .await?;
        self.gather(pieces, |bytes: &mut Vec<u8>, piece| bytes.extend(piece.chunk)).await
    }

    /// The record of the caller's own tenant, as the broker signed it, and what it is verified with.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or does not answer in time.
    pub async fn export_tenant_record(
        &self,
        request: v1::ExportTenantRecordRequest,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let pieces = self
            .call(request, |channel, request| async move {
                AuditServiceClient::new(channel).export_tenant_record(request).await
            })
            .await?;
        self.gather(pieces, |(verifier_key, record): &mut (String, Vec<u8>), piece| {
            verifier_key.push_str(&piece.verifier_key);
            record.extend(piece.chunk);
        })
        .await
    }
}
