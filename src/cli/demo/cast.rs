//! Who is in the story: each with their own certificate, their own connection, and the few calls that they make.

use std::time::Duration;

use anyhow::{Context, Result};

use super::narrator::Answer;
use crate::cli::dev::local::LocalBroker;
use crate::domain::value::ids::Digest;
use crate::domain::value::time::{Span, Timestamp};
use crate::sdk::{Checked, Client, ClientError, Replica};
use crate::wire::v1;

/// What calls of the broker come to.
pub(super) type Called<T> = Result<T, ClientError>;

/// The people and the service of the story.
pub(super) struct Cast {
    pub(super) ana: Actor,
    pub(super) ana_admin: Actor,
    pub(super) ben: Actor,
    pub(super) omar: Actor,
    pub(super) sam: Actor,
    pub(super) ines: Actor,
    pub(super) pia: Actor,
    pub(super) lena: Actor,
    pub(super) orders_api: Service,
    pub(super) mail_api: Service,
    pub(super) hr_sync: Actor,
    pub(super) training_feed: Actor,
    pub(super) vera: Actor,
    pub(super) config_bot: Actor,
}

impl Cast {
    pub(super) async fn connect(broker: &LocalBroker) -> Result<Self> {
        Ok(Self {
            ana: Actor::connect(broker, "ana").await?,
            ana_admin: Actor::connect(broker, "ana-admin").await?,
            ben: Actor::connect(broker, "ben").await?,
            omar: Actor::connect(broker, "omar").await?,
            sam: Actor::connect(broker, "sam").await?,
            ines: Actor::connect(broker, "ines").await?,
            pia: Actor::connect(broker, "pia").await?,
            lena: Actor::connect(broker, "acme.lena").await?,
            orders_api: Service::connect(broker, "orders-api").await?,
            mail_api: Service::connect(broker, "mail-api").await?,
            hr_sync: Actor::connect(broker, "hr-sync").await?,
            training_feed: Actor::connect(broker, "training-feed").await?,
            vera: Actor::connect(broker, "vera").await?,
            config_bot: Actor::connect(broker, "config-bot").await?,
        })
    }

    /// A directory in place of the text that it was made from: proposed by `omar`, approved by `vera`.
    pub(super) async fn propose_directory(&self, replaces: &str, text: &str) -> Called<v1::ApproveProposalResponse> {
        let proposed = self.omar.propose_directory(replaces, text).await?.proposal.unwrap_or_default();
        self.vera.approve_proposal(&proposed).await
    }

    /// Those whose roles the first chapter is about.
    pub(super) fn people(&self) -> [&Actor; 5] {
        [&self.ana, &self.ana_admin, &self.ben, &self.omar, &self.sam]
    }
}

/// One of them: a client with the certificate of one account.
pub(super) struct Actor {
    pub(super) account: &'static str,
    pub(super) client: Client,
}

/// What is asked for.
pub(super) struct Wish {
    pub(super) entitlement: &'static str,
    pub(super) actions: &'static [&'static str],
    pub(super) resource: &'static str,
    pub(super) duration: Span,
    pub(super) justification: &'static str,
    pub(super) ticket: &'static str,
}

impl Actor {
    async fn connect(broker: &LocalBroker, account: &'static str) -> Result<Self> {
        let files = broker.certificates.client(account);
        let client = Client::builder(format!("https://{}", broker.address))
            .authority_file(&broker.certificates.authority)
            .identity_files(files.certificate, files.key)
            .connect_unasked()
            .await
            .with_context(|| format!("`{account}` cannot connect"))?;
        Ok(Self { account, client })
    }

    pub(super) async fn request(&self, wish: &Wish) -> Called<v1::Elevation> {
        self.ask(wish, false).await
    }

    pub(super) async fn request_in_an_emergency(&self, wish: &Wish) -> Called<v1::Elevation> {
        self.ask(wish, true).await
    }

    async fn ask(&self, wish: &Wish, emergency: bool) -> Called<v1::Elevation> {
        let millis = wish.duration.millis();
        let request = v1::RequestElevationRequest {
            request_id: request_id(),
            entitlement: wish.entitlement.to_owned(),
            actions: wish.actions.iter().map(|action| (*action).to_owned()).collect(),
            resources: vec![wish.resource.to_owned()],
            duration: Some(prost_types::Duration { seconds: millis.div_euclid(1_000), nanos: 0 }),
            justification: wish.justification.to_owned(),
            ticket: wish.ticket.to_owned(),
            emergency,
            ..Default::default()
        };
        self.client.request_elevation(request).await.map(|response| response.elevation.unwrap_or_default())
    }

    pub(super) async fn elevation(&self, id: &str) -> Called<v1::Elevation> {
        let request = v1::GetElevationRequest { elevation_id: id.to_owned() };
        self.client.get_elevation(request).await.map(|response| response.elevation.unwrap_or_default())
    }

    pub(super) async fn inbox(&self) -> Called<Vec<v1::Elevation>> {
        let relation = v1::ElevationRelation::CanReview.into();
        let request = v1::ListElevationsRequest { relation, ..Default::default() };
        self.client.list_elevations(request).await.map(|response| response.elevations)
    }

    /// The live and scheduled grants that this one, or a person behind it, holds.
    pub(super) async fn grants(&self) -> Called<Vec<v1::Grant>> {
        let states = vec![v1::GrantState::Active.into(), v1::GrantState::Scheduled.into()];
        let relation = v1::GrantRelation::Held.into();
        let request = v1::ListGrantsRequest { relation, states, ..Default::default() };
        self.client.list_grants(request).await.map(|response| response.grants)
    }

    /// Approves the text: the digest is computed here, over the very bytes given.
    pub(super) async fn approve(&self, id: &str, text: &str) -> Called<v1::ApproveElevationResponse> {
        let request = v1::ApproveElevationRequest {
            request_id: request_id(),
            elevation_id: id.to_owned(),
            approval_digest: Digest::of(text.as_bytes()).bytes().to_vec(),
            comment: String::new(),
        };
        self.client.approve_elevation(request).await
    }

    pub(super) async fn deny(&self, id: &str, reason: &str) -> Called<v1::Elevation> {
        let request = v1::DenyElevationRequest {
            request_id: request_id(),
            elevation_id: id.to_owned(),
            reason: reason.to_owned(),
        };
        self.client.deny_elevation(request).await.map(|response| response.elevation.unwrap_or_default())
    }

    pub(super) async fn withdraw(&self, id: &str) -> Called<v1::Elevation> {
        let request = v1::WithdrawElevationRequest { request_id: request_id(), elevation_id: id.to_owned() };
        self.client.withdraw_elevation(request).await.map(|response| response.elevation.unwrap_or_default())
    }

    pub(super) async fn revoke(&self, grant: &str, reason: &str) -> Called<v1::Grant> {
        let request =
            v1::RevokeGrantRequest { request_id: request_id(), grant_id: grant.to_owned(), reason: reason.to_owned() };
        self.client.revoke_grant(request).await.map(|response| response.grant.unwrap_or_default())
    }

    /// Proposes a policy in place of the text that it was made from.
    pub(super) async fn propose_policy(&self, replaces: &str, text: &str) -> Called<v1::ProposePolicyResponse> {
        self.client.propose_policy(header(replaces), text.as_bytes()).await
    }

    /// Proposes a directory in place of the text that it was made from.
    pub(super) async fn propose_directory(&self, replaces: &str, text: &str) -> Called<v1::ProposeDirectoryResponse> {
        self.client.propose_directory(header(replaces), text.as_bytes()).await
    }

    /// Approves a proposal by its text as this one reads it.
    pub(super) async fn approve_proposal(&self, proposal: &v1::Proposal) -> Called<v1::ApproveProposalResponse> {
        let seen = self.client.get_proposal(v1::GetProposalRequest { proposal_id: proposal.id.clone() }).await?;
        let review = seen.proposal.and_then(|proposal| proposal.review).unwrap_or_default();
        let request = v1::ApproveProposalRequest {
            request_id: request_id(),
            proposal_id: proposal.id.clone(),
            approval_digest: Digest::of(review.approval_text.as_bytes()).bytes().to_vec(),
            ..Default::default()
        };
        self.client.approve_proposal(request).await
    }
}

/// What a service asks before it acts: whether somebody may do something to a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) subject: &'static str,
    pub(super) action: &'static str,
    pub(super) resource: &'static str,
}

/// A service that guards something: it checks in its own process, by a replica.
pub(super) struct Service {
    pub(super) replica: Replica,
    client: Client,
}

impl Service {
    async fn connect(broker: &LocalBroker, account: &'static str) -> Result<Self> {
        let Actor { client, .. } = Actor::connect(broker, account).await?;
        let files = broker.certificates.client(account);
        let replica = Replica::builder([format!("https://{}", broker.address)])
            .authority_file(&broker.certificates.authority)
            .identity_files(files.certificate, files.key)
            .connect()
            .await
            .with_context(|| format!("`{account}` cannot have a replica"))?;
        Ok(Self { replica, client })
    }

    /// Checks by the replica, once it knows all that the broker knows now: the story tells one thing after another.
    pub(super) async fn check(&self, question: Question) -> Called<Checked> {
        let Question { subject, action, resource } = question;
        let asked = self.client.check(subject, action, resource).await?.into_message();
        let sequence = asked.sequence.parse().unwrap_or(u64::MAX);
        // If it does not get there, the check says so.
        let _ = self.replica.reached(sequence, Duration::from_secs(5)).await;
        Ok(self.replica.check_at_least(sequence, subject, action, resource))
    }

    /// Checks by the replica as it is.
    pub(super) fn look(&self, question: Question) -> Checked {
        self.replica.check(question.subject, question.action, question.resource)
    }
}

/// Where an elevation stands: `PENDING`.
pub(super) fn state(elevation: &v1::Elevation) -> Answer {
    Answer::new(elevation.state().as_str_name().trim_start_matches("ELEVATION_STATE_"), "")
}

/// The verdict of a check and its reason: `DENY NO_GRANT`.
pub(super) fn verdict(checked: &Checked) -> Answer {
    let verdict = if checked.is_allowed() { "ALLOW" } else { "DENY" };
    Answer::new(format!("{verdict} {}", checked.reason()), "")
}

/// A time of the API; none where it is absent or out of range.
pub(super) fn timestamp(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    let millis = time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos).div_euclid(1_000_000))?;
    Timestamp::from_millis(millis).ok()
}

/// The ending of an id, as people say it.
pub(super) fn ending(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

fn header(replaces: &str) -> v1::ProposalHeader {
    let replaces_digest = Digest::of(replaces.as_bytes()).bytes().to_vec();
    v1::ProposalHeader { request_id: request_id(), replaces_digest, validate_only: false, justification: String::new() }
}

pub(super) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
