//! Invariants 8 and 9: what is in the journal is all that there is.

use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::record::row::decode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::history::{Past, Step, history};
use crate::over_histories;
use crate::world::{World, replay};

fn apply_rows(state: &mut State, rows: &[String]) {
    rows.iter().for_each(|row| apply(state, &decode(row).unwrap().0));
}

#[test]
fn invariant_8_nothing_has_effect_before_it_is_an_event() {
    over_histories(24, 40, |past, _, before| {
        assert_is_what_the_rows_say(&past.world, before);
    });
}

/// What changed is what the new rows say: applied to the state before, they give the state after.
fn assert_is_what_the_rows_say(world: &World, before: &State) {
    let first = usize::try_from(before.sequence()).unwrap();
    let mut again = before.clone();
    apply_rows(&mut again, &world.rows[first..]);
    assert!(again == world.state);
}

/// The same of proposals: none has effect before its approval is an event, and none that was refused has any.
#[test]
fn invariant_8_a_file_has_no_effect_before_its_approval_is_an_event() {
    let change = (0_usize..6, 0_usize..4, any::<bool>());
    let run = |(steps, changes): (Vec<Step>, Vec<(usize, usize, bool)>)| {
        let mut past = Past::with_emergencies();
        steps.iter().for_each(|step| drop(past.step(step)));
        let world = &mut past.world;
        for (who, by, is_machine) in changes {
            let who = ["omar", "olga", "ana", "dan", "aud", "rex"][who];
            let mut file = world.organisation.clone();
            let made = format!("{who}-made");
            if is_machine {
                file.machine(&made, who, "robot")
            } else {
                file.account(&made, who)
            };
            // An identity that is somebody's, or was.
            file.accounts.get_mut(&made).unwrap().identities.insert(crate::world::identity("pia"));
            let (before, replaces) = (world.state.clone(), world.state.organisation().directory_digest().unwrap());
            let proposer = ["omar", "olga", "lea", "ana"][by];
            let proposed = world.propose(proposer, ProposedFile::Directory, replaces, file.to_toml());
            assert!(world.state.organisation() == before.organisation(), "it is only proposed");
            assert_is_what_the_rows_say(world, &before);
            let Ok(proposal) = proposed else { continue };
            let before = world.state.clone();
            for approver in ["omar", "olga", "lou"] {
                let approved = world.approve_proposal(approver, proposal);
                let is_refused = approved.is_err();
                assert!(!is_refused || world.state.organisation() == before.organisation(), "it was refused");
                assert!(is_refused || approver != proposer, "by one alone");
                assert_is_what_the_rows_say(world, &before);
                if !is_refused {
                    world.organisation = file;
                    break;
                }
            }
        }
        Ok(())
    };
    let histories = (history(12), prop::collection::vec(change, 1..4));
    runner(12).run(&histories, run).unwrap();
}

pub(crate) fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn invariant_9_replay_is_deterministic_from_any_cut() {
    let mut looks = 0_usize;
    over_histories(24, 40, |past, _, _| {
        looks += 1;
        if looks.is_multiple_of(8) {
            let rows = &past.world.rows;
            let whole = replay(rows);
            assert!(whole == past.world.state);
            let cut = rows.len() * (looks % 7) / 7;
            let mut state = replay(&rows[..cut]);
            apply_rows(&mut state, &rows[cut..]);
            assert!(state == whole);
        }
    });
}
