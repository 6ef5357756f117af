//! No customer learns of another: random organisations, once with another tenant and all that happens there, and once
//! without; all that the accounts of a tenant can ask is asked in both, and the answers compared, with ids and sealed texts
//! masked. Times are the same in both (known failure A14).

use proptest::prelude::*;

use crate::domain::value::time::Span;

mod observed;
mod record;
mod world;

use observed::observed;
use world::{ACME, MADE_UP, Step, World};

async fn compared(steps: &[Step]) {
    let (mut with, mut without) = (World::new(true), World::new(false));
    for world in [&mut with, &mut without] {
        world.start = world.broker.engine.sequence().to_string();
    }
    for step in steps {
        with.happen(*step).await;
        if step.zeta {
            without.calls += 1;
        } else {
            without.happen(*step).await;
        }
        // Ids are in the order of time.
        for world in [&with, &without] {
            world.clock.advance(Span::SECOND);
        }
    }
    let others: Vec<String> = with.asked[1].iter().cloned().chain([MADE_UP.to_owned()]).collect();
    assert_eq!(with.asked[0].len(), without.asked[0].len(), "what acme may ask depends on zeta");
    for who in ACME {
        let (one, other) = tokio::join!(
            observed(&with, who, &with.asked[0], &others),
            observed(&without, who, &without.asked[0], &others)
        );
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "{who} learns of zeta");
        }
        assert_eq!(one.len(), other.len());
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), 0_u8..12, 0_usize..1_000);
    prop::collection::vec(step.prop_map(|(zeta, what, which)| Step { zeta, what, which }), 0..40)
}

fn run(steps: &[Step]) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(compared(steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn tenant_isolation_nothing_that_one_tenant_observes_depends_on_another(steps in steps()) {
        run(&steps);
    }
}

/// The same of a history in which much is certain to happen on both sides.
#[test]
fn tenant_isolation_of_a_busy_day() {
    let which = 0;
    let busy = [0, 1, 2, 3, 4, 5, 9, 10, 0, 3, 6, 8, 2, 3, 7, 11];
    let steps: Vec<Step> =
        busy.iter().flat_map(|what| [true, false].map(|zeta| Step { zeta, what: *what, which })).collect();
    run(&steps);
}
