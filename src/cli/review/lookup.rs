//! One id space: what a person names may be a request for access, an enrolment or a proposal, and an ending that fits several
//! names none.

use serde_json::Value;

use crate::cli::connect::session::Session;
use crate::cli::show::approval::{ApprovalText, Unreadable};
use crate::cli::show::calls::calls_card;
use crate::cli::show::elevation_card::elevation_card;
use crate::cli::show::enrolment_card::enrolment_card;
use crate::cli::show::proposal_card::proposal_card;
use crate::cli::term::failure::Failure;
use crate::cli::term::json;
use crate::cli::term::text::ending;
use crate::domain::value::ids::{Digest, ElevationId};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Timestamp;
use crate::sdk::ClientError;
use crate::wire::v1::{
    GetElevationRequest, GetElevationResponse, GetEnrolmentRequest, GetEnrolmentResponse, GetProposalRequest,
    GetProposalResponse, Review,
};

/// What an id, or an ending of it, names.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A request for access.
    Elevation(Box<GetElevationResponse>),
    /// A request for a place.
    Enrolment(Box<GetEnrolmentResponse>),
    /// A proposal of policy or directory.
    Proposal(Box<GetProposalResponse>),
}

/// Looks an id up, or an ending of it.
///
/// # Errors
/// If there is nothing of that name, or more than one thing.
pub async fn find(session: &Session<'_>, id: &str) -> Result<Found, Failure> {
    let client = &session.client;
    let elevation = client.get_elevation(GetElevationRequest { elevation_id: id.to_owned() }).await;
    let elevation = elevation.map(|found| Found::Elevation(Box::new(found)));
    // A whole id is of one thing alone.
    let is_settled = |found: &Result<Found, ClientError>| match found {
        Ok(_) => id.parse::<ElevationId>().is_ok(),
        Err(error) => !is_nothing(error),
    };
    if is_settled(&elevation) {
        return Ok(elevation?);
    }
    let enrolment = client.get_enrolment(GetEnrolmentRequest { enrolment_id: id.to_owned() }).await;
    let enrolment = enrolment.map(|found| Found::Enrolment(Box::new(found)));
    if is_settled(&enrolment) {
        return Ok(enrolment?);
    }
    let proposal = client.get_proposal(GetProposalRequest { proposal_id: id.to_owned() }).await;
    only(id, vec![elevation, enrolment, proposal.map(|found| Found::Proposal(Box::new(found)))])
}

/// The one thing that was found, if there is one.
fn only(id: &str, looked_up: Vec<Result<Found, ClientError>>) -> Result<Found, Failure> {
    let (mut found, mut nothing) = (Vec::new(), None);
    for result in looked_up {
        match result {
            Ok(one) => found.push(one),
            Err(error) if is_nothing(&error) => nothing = nothing.or(Some(error)),
            Err(error) => return Err(error.into()),
        }
    }
    if let [_, _, ..] = found.as_slice() {
        let named: Vec<String> = found.iter().map(|one| format!("{} {}", one.kind(), one.id())).collect();
        return Err(Failure::Usage(format!("`{id}` ends {}; give more digits", named.join(" and "))));
    }
    match (found.pop(), nothing) {
        (Some(one), _) => Ok(one),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Failure::Failed(format!("nothing is named `{id}`"))),
    }
}

/// Whether an answer says that nothing has that name. An ending of several things is not an ending of nothing: which of them
/// is meant is not known. Whoever has no account, or a disabled one, may have enrolments and nothing else.
fn is_nothing(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refused) => match refused.reason {
            Some(Reason::NotFound) => !refused.metadata.contains_key("ambiguous"),
            Some(Reason::NoAccount | Reason::AccountDisabled) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether a call was refused because the caller has no account, or one that cannot be used: a person with enrolments alone.
#[must_use]
pub fn is_without_account(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(error)
        if matches!(error.reason(), Some(Reason::NoAccount | Reason::AccountDisabled)))
}

impl Found {
    /// The whole id.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Elevation(found) => found.elevation.clone().unwrap_or_default().id,
            Self::Enrolment(found) => found.enrolment.clone().unwrap_or_default().id,
            Self::Proposal(found) => found.proposal.clone().unwrap_or_default().id,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Elevation(_) => "request",
            Self::Enrolment(_) => "enrolment",
            Self::Proposal(_) => "proposal",
        }
    }

    /// Its review.
    #[must_use]
    pub fn review(&self) -> Review {
        match self {
            Self::Elevation(found) => found.elevation.clone().unwrap_or_default().review,
            Self::Enrolment(found) => found.enrolment.clone().unwrap_or_default().review,
            Self::Proposal(found) => found.proposal.clone().unwrap_or_default().review,
        }
        .unwrap_or_default()
    }

    /// What is approved, taken apart.
    ///
    /// # Errors
    /// If it cannot be shown whole, or is of something else: nothing can be approved then.
    pub fn approval_text(&self) -> Result<ApprovalText, Failure> {
        let text = ApprovalText::read(&self.review()).map_err(|error| Failure::Failed(error.to_string()))?;
        if text.value("id") == self.id() {
            return Ok(text);
        }
        let failure = "the text to approve is of another request than was asked for; nothing was approved";
        Err(Failure::Failed(failure.to_owned()))
    }

    /// The card, decision first.
    ///
    /// # Errors
    /// If what is decided on cannot be shown whole.
    pub fn page(&self, width: u16, now: Timestamp) -> Result<String, Unreadable> {
        let (page, calls) = match self {
            Self::Elevation(found) => {
                let elevation = found.elevation.clone().unwrap_or_default();
                (elevation_card(width, &elevation, found.context.as_ref(), now), &found.calls)
            }
            Self::Enrolment(found) => {
                (enrolment_card(width, &found.enrolment.clone().unwrap_or_default(), now), &found.calls)
            }
            Self::Proposal(found) => {
                (proposal_card(width, &found.proposal.clone().unwrap_or_default(), now), &found.calls)
            }
        };
        Ok(page? + &calls_card(width, calls, now))
    }

    /// The answer, with the digest that this client computed: the one that `approve --digest` wants.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = match self {
            Self::Elevation(found) => json::of(&**found),
            Self::Enrolment(found) => json::of(&**found),
            Self::Proposal(found) => json::of(&**found),
        };
        let digest = Digest::of(self.review().approval_text.as_bytes()).to_string();
        if let Some(object) = value.as_object_mut() {
            object.insert("approval_digest".to_owned(), digest.into());
        }
        value
    }

    /// `aa11bb22`.
    #[must_use]
    pub fn ending(&self) -> String {
        ending(&self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;
    use crate::sdk::RefusedCall;

    fn refused(reason: Reason, ambiguous: bool) -> ClientError {
        let metadata = ambiguous.then(|| ("ambiguous".to_owned(), "bb22".to_owned()));
        ClientError::Refused(Box::new(RefusedCall {
            reason: Some(reason),
            reason_name: reason.entry().name.into(),
            code: tonic::Code::NotFound,
            text: "no".into(),
            metadata: metadata.into_iter().collect(),
            fields: Vec::new(),
            retry_after: None,
        }))
    }

    fn elevation() -> Result<Found, ClientError> {
        let answer = GetElevationResponse { elevation: Some(sample::elevation()), ..Default::default() };
        Ok(Found::Elevation(Box::new(answer)))
    }

    fn answer() -> GetEnrolmentResponse {
        GetEnrolmentResponse { enrolment: Some(sample::enrolment()), ..Default::default() }
    }

    fn enrolment() -> Result<Found, ClientError> {
        Ok(Found::Enrolment(Box::new(answer())))
    }

    #[test]
    fn an_ending_finds_what_alone_ends_so() {
        let nothing = || Err(refused(Reason::NotFound, false));
        let found = only("bb22", vec![elevation(), nothing()]).unwrap();
        assert_eq!(found.id(), sample::ELEVATION_ID);
        for reason in [Reason::NotFound, Reason::NoAccount, Reason::AccountDisabled] {
            let found = only("ff66", vec![Err(refused(reason, false)), enrolment()]).unwrap();
            assert_eq!((found.id().as_str(), found.ending().as_str()), (sample::ENROLMENT_ID, "ee55ff66"));
        }
        assert_eq!(only("0000", vec![nothing(), nothing()]).unwrap_err().exit_code(), 4);
    }

    #[test]
    fn an_ending_of_several_things_finds_none_of_them() {
        // given one of each kind
        let failure = only("66", vec![elevation(), enrolment()]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(failure.lines().join("\n"), @r#"error: `66` ends request 019380a1-0000-7000-8000-0000aa11bb22 and enrolment 019380a1-0000-7000-8000-0000ee55ff66; give more digits"#);
        // given several enrolments beside the one elevation
        let several = Err(refused(Reason::NotFound, true));
        assert_eq!(only("66", vec![elevation(), several]).unwrap_err().exit_code(), 4);
        // given several elevations: no enrolment is taken for them
        assert!(!is_nothing(&refused(Reason::NotFound, true)));
        // and what is not known to be nothing is not taken for nothing
        assert!(!is_nothing(&refused(Reason::Overloaded, false)));
    }

    #[test]
    fn a_text_of_another_request_cannot_be_approved() {
        let mut answer = answer();
        answer.enrolment.as_mut().unwrap().id = sample::ELEVATION_ID.into();
        let found = Found::Enrolment(Box::new(answer));
        assert!(matches!(found.approval_text(), Err(Failure::Failed(_))));
        assert!(enrolment().unwrap().approval_text().is_ok());
    }

    #[test]
    fn the_digest_in_the_json_is_of_the_text_that_was_read() {
        let found = enrolment().unwrap();
        let digest = found.approval_text().unwrap().digest().to_string();
        assert_eq!(found.json()["approval_digest"], digest.as_str());
        assert_eq!(found.json()["enrolment"]["ask"]["role"]["role"], "db-engineer");
    }
}
