use super::*;

fn head(sequence: u64) -> Head {
    Head { sequence, hash: Digest::of(&sequence.to_be_bytes()) }
}

fn journal() -> JournalId {
    "0b3e7f4e-6f0c-4b53-9a2a-0d1d6c1c1c11".parse().unwrap()
}

fn other() -> JournalId {
    "0b3e7f4e-6f0c-4b53-9a2a-0d1d6c1c1c12".parse().unwrap()
}

fn written(turn: u64, sequence: u64) -> Written {
    Written { turn, mark: Mark { journal: journal(), head: head(sequence) } }
}

fn file_of(even: &[u8], odd: &[u8]) -> Vec<u8> {
    [even, odd].concat()
}

#[test]
fn of_two_slots_the_newer_counts_whichever_it_is() {
    let (older, newer) = (written(6, 17), written(7, 21));
    assert_eq!(newest(&file_of(&slot(&older), &slot(&newer))), Some(newer));
    let next = written(8, 30);
    assert_eq!(newest(&file_of(&slot(&next), &slot(&newer))), Some(next));
    assert_eq!((place(6), place(7), place(8)), (0, 4_096, 0));
    assert_eq!(slot(&older).len(), 4_096);
}

#[test]
fn a_slot_that_is_torn_at_any_byte_leaves_the_other() {
    let (older, newer, next) = (slot(&written(6, 17)), slot(&written(7, 21)), slot(&written(8, 30)));
    let text = next.iter().position(|byte| *byte == 0).unwrap();
    // given that so much of the next mark had reached the slot, over the older one
    for torn in 0..text {
        let slot = [&next[..torn], &older[torn..]].concat();
        let found = newest(&file_of(&slot, &newer)).unwrap();
        // What is left of the older one may be the same bytes: then nothing is torn.
        let expected = if slot == next { written(8, 30) } else { written(7, 21) };
        assert_eq!(found, expected, "torn at {torn}");
    }
    assert_eq!(newest(&file_of(&next, &newer)), Some(written(8, 30)));
}

#[test]
fn a_flipped_bit_in_a_slot_is_never_another_mark() {
    let whole = slot(&written(6, 17));
    let text = whole.iter().position(|byte| *byte == 0).unwrap();
    for at in 0..text {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(newest(&file_of(&flipped, &[])), None, "byte {at}, bit {bit}");
        }
    }
    let mut beyond = whole.clone();
    beyond[text + 1] = 1;
    assert_eq!(newest(&file_of(&beyond, &[])), Some(written(6, 17)));
}

#[test]
fn both_slots_bad_is_a_mark_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db.mark");
    assert!(matches!(read(&path), Err(Unmarked::Missing { .. })));
    for bytes in [vec![], vec![0; 8_192], slot(&written(7, 1)), file_of(&[1; 4_096], &slot(&written(6, 1)))] {
        fs::write(&path, bytes).unwrap();
        let refused = read(&path).unwrap_err();
        assert!(matches!(&refused, Unmarked::Unreadable { .. }), "{refused}");
    }
}

#[test]
fn a_file_is_made_with_both_slots_filled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db.mark");
    let mark = written(0, 9).mark;
    create(&path, &mark).unwrap();
    create(&path, &mark).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(newest(&bytes[4_096..]), None, "an odd slot in the place of an even one");
    assert_eq!(newest(&file_of(&bytes[..4_096], &[0; 4_096])).unwrap().mark, mark);
    assert_eq!(newest(&file_of(&[0; 4_096], &bytes[4_096..])).unwrap().mark, mark);
}

#[test]
fn a_journal_holds_what_its_mark_says_or_the_loss_is_named() {
    let ours = Mark { journal: journal(), head: head(17) };
    let at = |sequence| Some(head(sequence).hash);
    // given the same row, and rows that came after the mark: an older copy of the mark is no loss
    assert_eq!(compare(Ok(ours), journal(), head(17), at(17)), None);
    assert_eq!(compare(Ok(ours), journal(), head(30), at(17)), None);
    // given fewer rows, another row there, another journal's mark, no mark
    assert_eq!(compare(Ok(ours), journal(), head(16), None), Some(Loss::Behind(ours)));
    let found = Head { sequence: 17, hash: head(18).hash };
    assert_eq!(compare(Ok(ours), journal(), head(30), at(18)), Some(Loss::Differs { mark: ours, found }));
    let theirs = Mark { journal: other(), ..ours };
    assert_eq!(compare(Ok(theirs), journal(), head(17), at(17)), Some(Loss::OtherJournal(theirs)));
    let missing = Unmarked::Missing { path: "x".into() };
    assert_eq!(compare(Err(missing.clone()), journal(), head(0), None), Some(Loss::Unmarked(missing)));
    // given the mark of a journal that was just made
    let begun = Mark { journal: journal(), head: origin(journal()) };
    assert_eq!(compare(Ok(begun), journal(), head(3), None), None);
}
