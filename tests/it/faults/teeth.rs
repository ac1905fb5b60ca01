//! The checker finds what it is there to find, in the histories of real servers.

use std::time::Duration;

use fechatter_tests::history::{Breach, History, Step};

use super::storm::Storm;

fn calm(sabotage: &'static str) -> Storm {
    Storm { sabotage, lasting: Duration::from_secs(3), ..Storm::of(&[]) }
}

fn breaches(history: &History) -> Vec<Breach> {
    history.check().into_iter().map(|violation| violation.breach).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ordering_lock_the_history_has_holes() {
    // Ids are given out in one order and committed in another. The wait is what a slow disk does.
    let history = calm(
        "create or replace function take_event_lock() returns void language sql as 'select';
         create function dawdle() returns trigger language plpgsql as $$
         begin
             perform pg_sleep(random() * 0.03);
             return null;
         end $$;
         create constraint trigger dawdle after insert on messages deferrable initially deferred
             for each row execute function dawdle();",
    )
    .rage()
    .await;
    let breaches = breaches(&history);
    assert!(breaches.contains(&Breach::Hole), "{breaches:?} in {history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_log_lost_are_holes() {
    let history = calm(
        "create function lose_one_in_twenty() returns trigger language plpgsql as $$
         begin
             return case when new.kind = 'message' and new.id % 20 = 0 then null else new end;
         end $$;
         create trigger lose before insert on events for each row execute function lose_one_in_twenty();",
    )
    .rage()
    .await;
    let breaches = breaches(&history);
    assert!(breaches.contains(&Breach::Hole), "{breaches:?} in {history}");
    assert!(breaches.iter().all(|breach| *breach == Breach::Hole), "nothing else was wrong: {breaches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_the_log_lost_is_a_leak() {
    let history = calm("alter table chat_members disable trigger chat_members_deleted").rage().await;
    let breaches = breaches(&history);
    assert!(breaches.contains(&Breach::Leak), "{breaches:?} in {history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_taken_out_of_a_recorded_history_is_missed() {
    let mut history = calm("").rage().await;
    history.assert_kept();
    // Of somebody who is in all the time: who leaves may have left before it was delivered.
    let client = history.clients.iter().position(|client| client.name.starts_with("bob")).expect("bob");
    let steps = history.clients[client].steps.clone();
    let mut taken = 0;
    for (i, step) in steps.iter().enumerate() {
        if !matches!(step, Step::Frame(frame) if frame.event == "message") {
            continue;
        }
        history.clients[client].steps.remove(i);
        assert_eq!(breaches(&history), [Breach::Hole], "without {step:?}");
        history.clients[client].steps.insert(i, step.clone());
        taken += 1;
    }
    assert!(taken > 10, "only {taken} messages came");
}
