use std::{sync::Barrier, thread};

use chrono::TimeDelta;

use super::*;

fn limit(per_second: f64, burst: u32, clock: &Clock) -> Limit {
    Limit::new("test", Allowance::new(per_second, burst).expect("in range"), clock)
}

fn admitted(limit: &Limit, key: u32, tries: usize) -> usize {
    (0..tries).filter(|_| limit.admit(&key).is_ok()).count()
}

#[test]
fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
    let clock = Clock::system();
    let limit = limit(0.001, 5, &clock);
    assert_eq!(admitted(&limit, 1, 20), 5);
    clock.advance(TimeDelta::seconds(500));
    assert_eq!(admitted(&limit, 1, 5), 0);
    clock.advance(TimeDelta::seconds(501));
    assert_eq!(admitted(&limit, 1, 5), 1);
    clock.advance(TimeDelta::hours(2));
    assert_eq!(admitted(&limit, 1, 20), 5);
}

#[test]
fn a_refusal_says_how_long_to_wait() {
    let window = Some(Duration::from_secs(50));
    let refusal =
        |millis| LimitExceeded { name: "test", at_once: 5, window, wait: Duration::from_millis(millis) };
    let text = |value: Option<HeaderValue>| value.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    assert_eq!(text(refusal(9_001).policy()).as_deref(), Some("\"test\";q=5;w=50"));
    assert_eq!(text(refusal(9_001).state()).as_deref(), Some("\"test\";r=0;t=10"));
    assert_eq!(refusal(0).seconds(), 1);
    let places = LimitExceeded::of_places("test", 5, Duration::from_secs(10));
    assert_eq!(text(places.policy()).as_deref(), Some("\"test\";q=5"));

    let clock = Clock::system();
    let limit = limit(0.001, 1, &clock);
    admitted(&limit, 1, 1);
    let seconds = limit.admit(&1).expect_err("it is empty").seconds();
    assert!((900..=1000).contains(&seconds), "{seconds}");
    clock.advance(TimeDelta::seconds(i64::from(seconds) + 1));
    limit.admit(&1).expect("what it said");
}

#[test]
fn what_is_given_back_counts_no_more() {
    let clock = Clock::system();
    let limit = limit(0.1, 3, &clock);
    // To a full bucket nothing can be added.
    limit.give_back(&1);
    for _ in 0..10 {
        assert_eq!(admitted(&limit, 1, 1), 1);
        limit.give_back(&1);
    }
    assert_eq!(admitted(&limit, 1, 10), 3);
    limit.give_back(&1);
    assert_eq!(admitted(&limit, 1, 10), 1);
}

#[test]
fn nobody_pays_for_a_thousand_others() {
    let clock = Clock::system();
    let limit = limit(0.1, 5, &clock);
    for other in 1..=1000 {
        admitted(&limit, other, 20);
    }
    // Both buckets of a key are among the thousand once in four thousand times.
    let free = (2000..2100).filter(|key| admitted(&limit, *key, 1) == 1).count();
    assert!(free >= 98, "{free} of 100");
    // And nobody got rid of what counts against them.
    assert_eq!((1..=1000).map(|key| admitted(&limit, key, 1)).sum::<usize>(), 0);
}

#[test]
fn whoever_comes_at_the_same_time_gets_little_more() {
    let clock = Clock::system();
    let limit = limit(0.1, 5, &clock);
    let start = Barrier::new(8);
    let admitted: usize = thread::scope(|scope| {
        let tries = || {
            start.wait();
            admitted(&limit, 1, 1000)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(tries)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert!((5..=10).contains(&admitted), "{admitted}");
}

#[test]
fn a_limit_that_is_off_refuses_nothing() {
    let limit = Limit::off("test", Allowance::new(0.1, 1).expect("in range"));
    assert_eq!(admitted(&limit, 1, 1000), 1000);
}

#[test]
fn allowances_have_a_range() {
    for (per_second, burst) in
        [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0), (0.1, 10_000)]
    {
        assert!(Allowance::new(per_second, burst).is_err(), "{per_second} {burst}");
    }
    assert!(Allowance::new(1e6, u32::MAX).is_ok() && Allowance::new(1.0 / 3600.0, 24).is_ok());
}

#[test]
fn allowances_are_read_from_files_and_from_the_environment() {
    #[derive(Debug, serde::Deserialize)]
    struct Settings {
        sends: Allowance,
    }
    let read = |key: &str, value: &str| {
        config::Config::builder()
            .add_source(config::File::from_str(
                "sends: { per_second: 20, burst: 100 }",
                config::FileFormat::Yaml,
            ))
            .set_override(key, value)?
            .build()?
            .try_deserialize::<Settings>()
    };
    let sends = |key, value| read(key, value).map(|settings| settings.sends).ok();
    assert_eq!(sends("sends.per_second", "7.5"), Allowance::new(7.5, 100).ok());
    assert_eq!(sends("sends.burst", "7"), Allowance::new(20.0, 7).ok());
    for (key, value) in [("sends.burst", "0"), ("sends.per_second", "0"), ("sends.colour", "1")] {
        let error = read(key, value).expect_err("out of range").to_string();
        assert!(error.contains(key.trim_start_matches("sends.")), "{error}");
    }
}
