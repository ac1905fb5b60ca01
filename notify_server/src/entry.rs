//! Events as the streams hold them: routed and encoded.

use chat_core::{
    event::{Epoch, Event, EventKind, Position},
    ids::MessageId,
    message::Quote,
};

use crate::{
    directory::Route,
    frame::{Form, Frame},
};

/// An event of the log, routed and encoded once.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The place in the log.
    pub id: i64,
    /// Who receives it, and what it changes.
    pub route: Route,
    /// The message it is about.
    pub message_id: Option<MessageId>,
    /// The message that the one in the frame answers.
    pub quoted: Option<MessageId>,
    /// What is shown from now on where the message is quoted; for an edit and a deletion of one that is still there.
    pub as_quote: Option<Box<Quote>>,
    /// What is sent; none for what is only for the servers, or gone.
    pub frame: Option<Frame>,
}

impl Entry {
    /// The entry of an event of the log `epoch`.
    #[must_use]
    pub fn of(event: &Event, epoch: &Epoch) -> Self {
        let position = Position { epoch: epoch.clone(), id: event.id };
        let message = event.message.as_ref();
        let changes_message = matches!(event.kind, EventKind::MessageUpdate | EventKind::MessageDelete);
        Self {
            id: event.id,
            route: Route::of(event),
            message_id: event.message_id,
            quoted: message.and_then(|message| message.reply_to),
            as_quote: message.filter(|_| changes_message).map(|message| Box::new(Quote::of(message))),
            frame: Frame::of(event, &position),
        }
    }

    /// Whether the message is shown in another way, or not at all, from now on where it is quoted.
    #[must_use]
    pub fn changes_quotes(&self) -> bool {
        self.as_quote.is_some() || (self.message_id.is_some() && self.frame.is_none())
    }

    /// What it takes in memory, in bytes, roughly.
    #[must_use]
    pub fn cost(&self) -> usize {
        size_of::<Self>() + self.frame.as_ref().map_or(0, |frame| frame.chunk().bytes(Form::Chunked).len())
    }
}
