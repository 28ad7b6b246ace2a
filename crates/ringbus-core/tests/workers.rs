//! Workers: what each holds, and which key goes to whom. `stress.rs` and `loom_workers.rs` run them at once.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::ProducerKind;
use ringbus_core::consumer::{WorkSequence, worker_of};
use support::{join, ring};

#[test]
fn a_worker_gates_before_it_takes_its_next_one() {
    let (segment, _producer) = ring(ProducerKind::Multi, 4);
    let (shared, consumer) = (WorkSequence::new(-1), join(&segment, "c"));
    let other = || shared.take(|before| assert_eq!(before, -1));
    let taken = shared.take(|before| {
        consumer.commit(before);
        // Another one is quicker, between the two steps.
        assert_eq!(other(), 0);
    });
    assert_eq!((taken, consumer.sequence()), (1, -1));
}

#[test]
fn one_key_has_one_worker_and_many_keys_have_all() {
    let workers = |count: u64| (0..1000_u64).map(move |key| worker_of(&key.to_le_bytes(), count));
    assert!(workers(7).eq(workers(7)));
    assert!(workers(1).all(|worker| worker == 0));
    for worker in 0..7 {
        let share = workers(7).filter(|&other| other == worker).count();
        assert!((90..200).contains(&share), "worker {worker} has {share} of 1000 keys");
    }
}
