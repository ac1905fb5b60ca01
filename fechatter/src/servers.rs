//! Both servers in one process, as its operators see them.

use axum::response::{IntoResponse, Response};
use chat_core::{
    operators::Operated,
    readiness::{Readiness, answer},
};
use serde::Serialize;

/// Both servers.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) rest: fechatter_server::App,
    pub(crate) events: notify_server::App,
}

impl Operated for Servers {
    type Readiness = Both;

    fn readiness(&self) -> Both {
        let (fechatter_server, notify_server) = (self.rest.readiness(), self.events.readiness());
        let ready = fechatter_server.is_ready() && notify_server.is_ready();
        Both { ready, fechatter_server, notify_server }
    }

    fn observe(&self) {
        self.rest.observe();
        self.events.observe();
    }
}

/// Whether both servers can serve.
#[derive(Serialize)]
pub(crate) struct Both {
    ready: bool,
    fechatter_server: Readiness,
    notify_server: Readiness,
}

impl IntoResponse for Both {
    fn into_response(self) -> Response {
        answer(self.ready, &self)
    }
}
