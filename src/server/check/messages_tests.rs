use proptest::prelude::*;

use super::*;
use crate::domain::value::time::Timestamp;

/// What was read: the batch's number, and of each question subject, action and resource.
type Seen = (u64, usize, Vec<[String; 3]>);

fn by_prost(id: u64, queries: Vec<pb::CheckQuery>) -> Seen {
    let texts = |query: pb::CheckQuery| [query.subject, query.action, query.resource];
    (id, queries.len(), queries.into_iter().take(LARGEST_BATCH).map(texts).collect())
}

fn seen(batch: &Batch<'_>) -> Seen {
    let texts = |query: &Query<'_>| [query.subject, query.action, query.resource].map(str::to_owned);
    (batch.id, batch.count, batch.queries.iter().map(texts).collect())
}

fn check_in_place(message: &[u8]) -> Result<Seen, DecodeError> {
    read_check(message, |query| seen(&Batch { id: 0, queries: vec![query], count: 1 }))
}

fn check_by_prost(message: &[u8]) -> Result<Seen, DecodeError> {
    let pb::CheckAccessRequest { subject, action, resource } = Message::decode(message)?;
    Ok(by_prost(0, vec![pb::CheckQuery { subject, action, resource }]))
}

fn batch_in_place(message: &[u8]) -> Result<Seen, DecodeError> {
    read_batch(message, |batch| seen(&batch))
}

fn batch_by_prost(message: &[u8]) -> Result<Seen, DecodeError> {
    let pb::BatchCheckAccessRequest { queries } = Message::decode(message)?;
    Ok(by_prost(0, queries))
}

fn stream_in_place(message: &[u8]) -> Result<Seen, DecodeError> {
    read_stream_batch(message, |batch| seen(&batch))
}

fn stream_by_prost(message: &[u8]) -> Result<Seen, DecodeError> {
    let pb::StreamCheckAccessRequest { batch_id, queries } = Message::decode(message)?;
    Ok(by_prost(batch_id, queries))
}

/// All three readers against prost, whatever the message is.
fn assert_read_as_prost_reads(message: &[u8]) {
    assert_eq!(check_in_place(message), check_by_prost(message), "{message:?}");
    assert_eq!(batch_in_place(message), batch_by_prost(message), "{message:?}");
    assert_eq!(stream_in_place(message), stream_by_prost(message), "{message:?}");
}

fn queries() -> impl Strategy<Value = Vec<pb::CheckQuery>> {
    let text = || prop_oneof![Just(String::new()), "[a-z./]{1,40}", "\\PC{0,20}", "[a-z]{120,140}"];
    let query = (text(), text(), text());
    let query = query.prop_map(|(subject, action, resource)| pb::CheckQuery { subject, action, resource });
    prop_oneof![9 => prop::collection::vec(query.clone(), 0..20), 1 => prop::collection::vec(query, 120..140)]
}

/// What a sender may do to a message, meaning well or not.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    // Fields that are known, unknown, of another kind, of a group; a length that is written too long; a number of ten bytes.
    let fields = prop_oneof![
        Just(vec![COUNTED_1, 1, b'x']),
        Just(vec![COUNTED_2, 0]),
        Just(vec![COUNTED_2, 0x83, 0, COUNTED_1, 1, b'y']),
        Just(vec![NUMBER_1, 0]),
        Just(vec![NUMBER_1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Just(vec![NUMBER_1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        Just(vec![0x7a, 2, b'z', b'z']),
        Just(vec![0x0d, 1, 2, 3, 4]),
        Just(vec![0x13, 0x14]),
        Just(vec![COUNTED_1, 2, 0xc3, 0x28]),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    let fields = fields.boxed();
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), fields.clone()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        at().prop_map(Change::Remove),
        at().prop_map(Change::Cut),
        fields.prop_map(Change::Append),
    ]
}

fn changed(mut message: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Append(bytes) => message.extend(bytes),
            _ if message.is_empty() => {}
            Change::Set(at, byte) => *at.get_mut(&mut message) = byte,
            Change::Insert(at, bytes) => {
                let at = at.index(message.len());
                message.splice(at..at, bytes);
            }
            Change::Remove(at) => drop(message.remove(at.index(message.len()))),
            Change::Cut(at) => message.truncate(at.index(message.len())),
        }
    }
    message
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let grant = any::<u128>().prop_map(|bits| GrantId::from(Uuid::from_u128(bits)));
    let end = prop_oneof![Just(Timestamp::MAX), Just(Timestamp::MIN), (0_i64..4_102_444_800_000).prop_map(at)];
    let because = prop_oneof![grant.prop_map(|grant| Allowed::Granted { grant }), Just(Allowed::Baseline)];
    let denied = [Denied::OutOfAudience, Denied::Locked, Denied::NotStarted, Denied::NoGrant, Denied::Stale];
    prop_oneof![
        (because, end).prop_map(|(because, valid_until)| Verdict::Allow { because, valid_until }),
        prop::sample::select(denied.to_vec()).prop_map(|because| Verdict::Deny { because }),
    ]
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn written(message: &impl Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_asked_is_read_as_prost_reads_it(queries in queries(), batch_id in any::<u64>(), small in 0_u64..300) {
        // given messages as libraries write them
        let first = queries.first().cloned().unwrap_or_default();
        for batch_id in [0, small, batch_id] {
            let stream = pb::StreamCheckAccessRequest { batch_id, queries: queries.clone() };
            assert_read_as_prost_reads(&stream.encode_to_vec());
        }
        assert_read_as_prost_reads(&pb::BatchCheckAccessRequest { queries: queries.clone() }.encode_to_vec());
        assert_read_as_prost_reads(&first.encode_to_vec());
        // then none of them needs prost
        prop_assert!(query(&first.encode_to_vec()).is_some());
        let stream = pb::StreamCheckAccessRequest { batch_id: small, queries };
        prop_assert!(stream_batch(&stream.encode_to_vec()).is_some());
    }

    #[test]
    fn whatever_is_sent_is_read_or_refused_as_by_prost(
        queries in queries(),
        batch_id in any::<u64>(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let first = queries.first().cloned().unwrap_or_default();
        let batch = pb::BatchCheckAccessRequest { queries: queries.clone() }.encode_to_vec();
        let stream = pb::StreamCheckAccessRequest { batch_id, queries }.encode_to_vec();
        for message in [first.encode_to_vec(), batch, stream] {
            assert_read_as_prost_reads(&changed(message, changes.clone()));
        }
    }

    #[test]
    fn answers_are_written_as_prost_writes_them(
        verdicts in prop::collection::vec(verdict(), 0..140),
        (sequence, sealed) in (any::<u64>(), any::<bool>()),
        batch_id in prop_oneof![Just(0), any::<u64>()],
    ) {
        let time = at(1_790_000_000_123);
        let given = Some(pb_timestamp(time));
        let told = if sealed { ToldSequence::Sealed(format!("{sequence:064x}")) } else { ToldSequence::Number(sequence) };
        let text = if sealed { format!("{sequence:064x}") } else { sequence.to_string() };
        let answers: Vec<_> = (0..).zip(&verdicts).map(|(index, verdict)| pb_answer(index, *verdict)).collect();
        for (verdict, answer) in verdicts.iter().zip(&answers) {
            let pb::CheckAnswer { verdict: verdict_told, reason, grant_id, valid_until, .. } = answer.clone();
            let built =
                pb::CheckAccessResponse { verdict: verdict_told, reason, grant_id, valid_until, sequence: text.clone(), time: given };
            prop_assert_eq!(written(&Checked { verdict: *verdict, sequence: told.clone(), time }), built.encode_to_vec());
        }
        let batch = BatchChecked { verdicts, sequence: told, time };
        let built = pb::BatchCheckAccessResponse { answers: answers.clone(), sequence: text.clone(), time: given };
        prop_assert_eq!(written(&batch), built.encode_to_vec());
        let stream = pb::StreamCheckAccessResponse { batch_id, answers, sequence: text, time: given };
        prop_assert_eq!(written(&StreamChecked { batch_id, answers: batch }), stream.encode_to_vec());
    }
}
