//! An upgrade while people write: each server is restarted in turn, and nobody loses anything.

use std::time::Duration;

use fechatter_tests::{cluster, history::Step, rolling::Deployment, workload::Workload};
use tokio::{task::block_in_place, time::sleep};

/// How long the witnesses may take to come to the end.
const PATIENCE: Duration = Duration::from_mins(2);

async fn restart(rounds: usize) {
    let url = cluster::fresh_database().await;
    let drain = [("FECHATTER_SERVER__DRAIN_S", "5"), ("NOTIFY_SERVER__DRAIN_S", "2")];
    let Some(mut deployment) = block_in_place(|| Deployment::start(&url, &drain)) else {
        eprintln!("SKIPPED: the rolling restart; install nginx (Debian: apt install nginx-light)");
        return;
    };
    let workload = Workload::start(deployment.doors(), 7).await;
    for _ in 0..rounds {
        sleep(Duration::from_millis(300)).await;
        block_in_place(|| deployment.restart_each());
    }
    let history = workload.finish(PATIENCE).await;
    let seen = history.assert_kept();
    assert_eq!(deployment.errors(), Vec::<String>::new());
    // Both instances of a kind are never away together, so no stream had to begin anew.
    for client in &history.clients {
        let reloads = client.steps.iter().filter(|step| matches!(step, Step::Reloaded(_))).count();
        assert_eq!(reloads, 0, "{} was told to reload", client.name);
    }

    let requests = deployment.nginx.requests();
    let failed: Vec<_> = requests.iter().filter(|request| request.status >= 500).collect();
    for request in &failed {
        // What the workload repeats, with the same key or the same effect.
        let path = request.path.as_str();
        let can_be_repeated =
            request.method != "POST" || path.ends_with("/messages") || path.ends_with("/members");
        assert!(can_be_repeated, "{request:?}");
    }
    let moved = requests.iter().filter(|request| request.servers > 1).count();
    eprintln!(
        "{rounds} rounds: {seen}; {} requests by nginx, {moved} of them went to a second server, {} failed and were \
         repeated by their client",
        requests.len(),
        failed.len(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_lose_nothing() {
    restart(2).await;
}

/// `make rolling-restart`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make rolling-restart"]
async fn ten_rounds() {
    restart(10).await;
}
