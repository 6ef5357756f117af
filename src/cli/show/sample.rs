//! Messages to render in tests.

use crate::cli::term::text::time_field;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::enrolment_ask::Ask;
use crate::wire::v1::{
    Elevation, ElevationState, Enrolment, EnrolmentAsk, EnrolmentState, Grant, GrantEndBecause, GrantState, Proposal,
    ProposalFile, ProposalState, Review, ReviewStage, RoleAsk,
};

pub(crate) const ELEVATION_ID: &str = "019380a1-0000-7000-8000-0000aa11bb22";
pub(crate) const ENROLMENT_ID: &str = "019380a1-0000-7000-8000-0000ee55ff66";
pub(crate) const GRANT_ID: &str = "019380a1-0000-7000-8000-0000cc33dd44";

pub(crate) const PROPOSAL_ID: &str = "019380a1-0000-7000-8000-000077aa88bb";

/// 2026-11-22T22:00:00Z.
pub(crate) fn moment() -> Timestamp {
    Timestamp::from_millis(1_795_384_800_000).unwrap()
}

pub(crate) fn at(seconds: i64) -> prost_types::Timestamp {
    time_field(Timestamp::from_millis(moment().millis() + seconds * 1_000).unwrap())
}

pub(crate) fn elevation() -> Elevation {
    let approval_text = format!(
        "id: \"{ELEVATION_ID}\"\nwho: \"ana\"\nperson: \"ana\"\non_behalf_of: \"\"\nentitlement: \"orders-db-repair\"\n\
         terms: \"00\"\nactions: \"db.read db.write\"\nresources: \"prod/eu/db/orders/primary\"\nduration: \"15m\"\n\
         start: \"at approval\"\njustification: \"stuck orders since 21:40\"\nticket: \"INC-7\"\nextends: \"\"\nemergency: \"no\"\n"
    );
    Elevation {
        id: ELEVATION_ID.into(),
        requester_account: "ana".into(),
        requester_person: "ana".into(),
        entitlement: "orders-db-repair".into(),
        actions: vec!["db.read".into(), "db.write".into()],
        resources: vec!["prod/eu/db/orders/primary".into()],
        duration: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
        justification: "stuck orders since 21:40".into(),
        ticket: "INC-7".into(),
        state: ElevationState::Pending.into(),
        create_time: Some(at(-120)),
        review: Some(Review {
            stages: vec![ReviewStage { by: vec!["incident-commander".into()], required_count: 1, approved_count: 0 }],
            deadline: Some(at(1_680)),
            open_stage: 1,
            approval_text,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn proposal() -> Proposal {
    let approval_text = format!(
        "id: \"{PROPOSAL_ID}\"\nwho: \"omar\"\npersons: \"omar\"\nfile: \"POLICY\"\ndigest: \"{0}\"\nbytes: \"4711\"\n\
         replaces: \"{1}\"\njustification: \"longer for night shifts\"\ngains: \"ana: wider terms of `orders-db-repair`\"\n\
         loses: \"\"\nwidens: \"orders-db-repair\"\n\
         changes: \"entitlements.orders-db-repair.max_duration: \\\"1h\\\" -> \\\"2h\\\"\"\nends: \"requests for access cancelled: 1\"\n",
        "01".repeat(32),
        "02".repeat(32)
    );
    Proposal {
        id: PROPOSAL_ID.into(),
        requester: "omar".into(),
        persons: vec!["omar".into()],
        file: ProposalFile::Policy.into(),
        state: ProposalState::Pending.into(),
        create_time: Some(at(-120)),
        review: Some(Review {
            stages: vec![ReviewStage { by: vec!["@policy.propose".into()], required_count: 1, approved_count: 0 }],
            deadline: Some(at(1_680)),
            open_stage: 1,
            approval_text,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        id: GRANT_ID.into(),
        elevation_id: ELEVATION_ID.into(),
        holder_account: "ana".into(),
        holder_person: "ana".into(),
        entitlement: "orders-db-repair".into(),
        actions: vec!["db.read".into()],
        resources: vec!["prod/eu/db/orders/replica".into()],
        start_time: Some(at(-60)),
        end_time: Some(at(840)),
        end_because: GrantEndBecause::Duration.into(),
        state: GrantState::Active.into(),
        ..Default::default()
    }
}

/// Of a role, which the manager approves and then the role's owner.
pub(crate) fn enrolment() -> Enrolment {
    let approval_text = format!(
        "id: \"{ENROLMENT_ID}\"\nwho: \"account:ana\"\nperson: \"ana\"\nasks_for: \"ROLE\"\naccount: \"ana\"\n\
         roles: \"db-engineer until 2027-05-21T22:00:00.000Z\"\nidentities: \"\"\naudience: \"\"\nacts_for: \"\"\nterms: \"00\"\n\
         justification: \"I look after orders now\"\n"
    );
    let stage = |by: &str| ReviewStage { by: vec![by.into()], required_count: 1, approved_count: 0 };
    let role = RoleAsk { account: "ana".into(), role: "db-engineer".into(), end_time: Some(at(15_552_000)) };
    Enrolment {
        id: ENROLMENT_ID.into(),
        requester: "account:ana".into(),
        person: "ana".into(),
        ask: Some(EnrolmentAsk { ask: Some(Ask::Role(role)) }),
        justification: "I look after orders now".into(),
        state: EnrolmentState::Pending.into(),
        create_time: Some(at(-3_600)),
        review: Some(Review {
            stages: vec![stage("@manager"), stage("@role-owner")],
            deadline: Some(at(601_200)),
            open_stage: 1,
            approval_text,
            ..Default::default()
        }),
        manager: "ines".into(),
        ..Default::default()
    }
}
