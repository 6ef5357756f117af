//! What one may not see is not there: the same answer for what exists and for what somebody made up, by whole id, by an
//! id's ending, and by every command (known failure A14).

use countersign::wire::v1 as pb;
use tonic::{Code, Status};

use crate::harness::Broker;
use crate::person::{Person, call_id, reason, repair};

/// An id that nothing has, of the same form as the broker's.
const MADE_UP: &str = "019ab7f0-1234-7abc-8def-0123456789ab";

#[tokio::test]
async fn an_outsider_cannot_tell_what_exists_from_what_was_made_up() {
    // given an elevation and a grant of somebody else
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let granted = engineer.granted(repair(), &ben).await;
    let pending = engineer.request(repair()).await.unwrap();
    // when machines and another engineer ask after them
    for name in ["orders-api", "deploy-bot"] {
        let outsider = broker.person(name).await;
        hidden(&outsider, &pending.id, &granted.id).await;
    }
    hidden(&broker.engineer().await, &pending.id, &granted.id).await;
    // then whoever may see it still does, by its ending too
    for person in [&engineer, &ben, &broker.person("ines").await, &broker.person("omar").await] {
        assert_eq!(person.elevation(&pending.id).await.unwrap().id, pending.id, "{}", person.name);
        assert_eq!(person.elevation(&pending.id[26..]).await.unwrap().id, pending.id, "{}", person.name);
        assert_eq!(person.grant(&granted.id).await.unwrap().id, granted.id, "{}", person.name);
    }
}

async fn hidden(outsider: &Person, elevation: &str, grant: &str) {
    let ending = |id: &str| id[id.len() - 8..].to_owned();
    for (real, made_up) in [(elevation.to_owned(), MADE_UP.to_owned()), (ending(elevation), ending(MADE_UP))] {
        same(outsider.elevation(&real).await, outsider.elevation(&made_up).await, &real, &made_up);
    }
    for (real, made_up) in [(grant.to_owned(), MADE_UP.to_owned()), (ending(grant), ending(MADE_UP))] {
        same(outsider.grant(&real).await, outsider.grant(&made_up).await, &real, &made_up);
    }
    let text = "id: \"x\"\n";
    let (real, made_up) = (outsider.approve_text(elevation, text).await, outsider.approve_text(MADE_UP, text).await);
    same(real, made_up, elevation, MADE_UP);
    same(outsider.deny(elevation).await, outsider.deny(MADE_UP).await, elevation, MADE_UP);
    same(outsider.withdraw(elevation).await, outsider.withdraw(MADE_UP).await, elevation, MADE_UP);
    same(outsider.relinquish(grant).await, outsider.relinquish(MADE_UP).await, grant, MADE_UP);
    same(outsider.revoke(grant).await, outsider.revoke(MADE_UP).await, grant, MADE_UP);
    let mut elevations = outsider.elevations();
    let page = |requester: &str| {
        let request = pb::ListElevationsRequest {
            relation: pb::ElevationRelation::Visible.into(),
            requester_account: requester.to_owned(),
            ..Default::default()
        };
        let mut elevations = elevations.clone();
        async move { elevations.list_elevations(request).await.unwrap().into_inner().elevations }
    };
    assert_eq!(page("ana").await, []);
    assert!(page("").await.iter().all(|seen| seen.id != elevation));
    let of_grant = pb::ListGrantsRequest { relation: pb::GrantRelation::Visible.into(), ..Default::default() };
    let grants = outsider.grants().list_grants(of_grant).await.unwrap().into_inner().grants;
    assert!(grants.iter().all(|seen| seen.id != grant));
    let request_id = call_id();
    let deny = pb::DenyElevationRequest { request_id, elevation_id: elevation.to_owned(), reason: "x".to_owned() };
    same(
        elevations.deny_elevation(deny.clone()).await.map(|_| ()),
        elevations
            .deny_elevation(pb::DenyElevationRequest { elevation_id: MADE_UP.to_owned(), ..deny })
            .await
            .map(|_| ()),
        elevation,
        MADE_UP,
    );
}

/// That both are refused as not there, in the same words.
#[track_caller]
fn same<T: std::fmt::Debug>(real: Result<T, Status>, made_up: Result<T, Status>, real_id: &str, made_up_id: &str) {
    let (real, made_up) = (real.unwrap_err(), made_up.unwrap_err());
    assert_eq!((real.code(), reason(&real).as_str()), (Code::NotFound, "NOT_FOUND"), "{real:?}");
    assert_eq!(real.message().replace(real_id, made_up_id), made_up.message());
    assert_eq!(made_up.code(), Code::NotFound);
    let without = |status: &Status, id: &str| String::from_utf8_lossy(status.details()).replace(id, "");
    assert_eq!(without(&real, real_id), without(&made_up, made_up_id));
}
