//! Requests: how many, to which route, how they were answered and how soon.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
};
use metrics::{Counter, Gauge, Histogram};

use super::metrics::{counter, gauge, histogram};

/// The route of whatever has none: paths that clients make up are not told apart.
const UNKNOWN: &str = "unknown";

static REQUESTS: LazyLock<Requests> = LazyLock::new(|| Requests {
    series: RwLock::default(),
    in_flight: gauge("fechatter_http_requests_in_flight", &[], "Requests that are being answered."),
    abandoned: counter(
        "fechatter_http_requests_abandoned_total",
        &[],
        "Requests whose client went away before the answer.",
    ),
});

struct Requests {
    /// By route. They are as many as there are routes, and each has a few methods and statuses.
    series: RwLock<HashMap<String, Vec<Series>>>,
    in_flight: Gauge,
    abandoned: Counter,
}

/// The answers of one status to one method of one route.
struct Series {
    method: &'static str,
    status: StatusCode,
    answered: Counter,
    seconds: Histogram,
}

impl Requests {
    fn answered(&self, route: &str, method: &'static str, status: StatusCode, seconds: f64) {
        let is_it = |series: &&Series| series.method == method && series.status == status;
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(route).and_then(|series| series.iter().find(is_it)) {
            return series.count(seconds);
        }
        drop(known);
        let mut known = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let series = known.entry(route.to_owned()).or_default();
        if !series.iter().any(|series| is_it(&series)) {
            series.push(Series::new(route, method, status));
        }
        series.iter().filter(is_it).for_each(|series| series.count(seconds));
    }
}

impl Series {
    fn new(route: &str, method: &'static str, status: StatusCode) -> Self {
        Self {
            method,
            status,
            answered: counter(
                "fechatter_http_requests_total",
                &[("method", method), ("route", route), ("status", status.as_str())],
                "Requests that were answered, by the template of their path.",
            ),
            seconds: histogram(
                "fechatter_http_request_duration_seconds",
                &[("method", method), ("route", route)],
                "Time until the head of the answer.",
            ),
        }
    }

    fn count(&self, seconds: f64) {
        self.answered.increment(1);
        self.seconds.record(seconds);
    }
}

/// A request that is being answered.
pub(crate) struct Measured {
    route: Option<MatchedPath>,
    method: &'static str,
    since: Instant,
    answered: bool,
}

impl Measured {
    /// From now on.
    pub(crate) fn begin(request: &Request) -> Self {
        REQUESTS.in_flight.increment(1.0);
        Self {
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: method(request.method()),
            since: Instant::now(),
            answered: false,
        }
    }

    /// It is answered.
    pub(crate) fn end(mut self, status: StatusCode) {
        self.answered = true;
        let route = self.route.as_ref().map_or(UNKNOWN, MatchedPath::as_str);
        REQUESTS.answered(route, self.method, status, self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        REQUESTS.in_flight.decrement(1.0);
        if !self.answered {
            REQUESTS.abandoned.increment(1);
        }
    }
}

/// The method as a label: clients may invent others.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
