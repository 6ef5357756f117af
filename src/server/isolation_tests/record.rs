//! A tenant's record has all that there is of a grant, however much that is.

use serde_json::Value;
use tokio_stream::StreamExt;

use super::world::{Step, World, peer};
use crate::domain::record::command::{Command, IssueGrantToken};
use crate::domain::value::ids::{Digest, GrantId, RequestId};
use crate::domain::value::time::Span;
use crate::server::service::audit::Audit;
use crate::wire::v1::audit_service_server::AuditService as _;

async fn record_of(world: &World, who: &str) -> String {
    let pieces = Audit(world.broker.clone()).export_tenant_record(world.by(who, Default::default())).await.unwrap();
    let pieces: Vec<_> = pieces.into_inner().collect().await;
    pieces.into_iter().map(|piece| String::from_utf8(piece.unwrap().chunk).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_every_token_of_a_grant() {
    // given a grant into acme, of which more tokens are signed than are read at once
    let mut world = World::new(false);
    for what in [0, 3, 5] {
        world.happen(Step { zeta: false, what, which: 0 }).await;
    }
    let grant: GrantId = world.broker.engine.read(|state| *state.grants().keys().next().unwrap());
    for number in 0..205_u128 {
        if number % 50 == 0 {
            world.clock.advance(Span::seconds(60));
        }
        let command = Command::from(IssueGrantToken {
            grant,
            audience: "acme.gate".parse().unwrap(),
            lifetime: None,
            certificate: Digest::of(b"leaf"),
        });
        let id = RequestId::from(uuid::Uuid::from_u128(number));
        world.broker.engine.execute(&peer("ana").called_from, id, command).await.unwrap();
    }
    // when the tenant takes its record, then each of them stands in it
    let record = record_of(&world, "acme.lena").await;
    let told: Value = serde_json::from_str(record.lines().nth(1).unwrap()).unwrap();
    assert_eq!(told["grant"]["grant"], grant.to_string());
    assert_eq!(told["grant"]["tokens"].as_array().unwrap().len(), 205);
}
