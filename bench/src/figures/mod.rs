//! The figures, a file each.

mod chat_list;
mod fan_out;
mod history;
mod latency;
mod search;
mod sends;
mod stored;

use clap::ValueEnum;

use crate::{bench::Bench, report::Report};

/// What can be measured on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Figures {
    /// Durable sends, and what they cost.
    Sends,
    /// From a send to many streams, and what streams cost.
    FanOut,
    /// The newest messages of a long chat.
    History,
    /// The list of one's chats.
    ChatList,
    /// From a send to one stream.
    Latency,
    /// Sends with millions of messages stored.
    Stored,
    /// Searches, and what their index costs a send.
    Search,
}

impl Figures {
    pub(crate) const ALL: [Self; 7] =
        [Self::Sends, Self::FanOut, Self::History, Self::ChatList, Self::Latency, Self::Stored, Self::Search];

    /// Measures, and puts it into the report.
    pub(crate) async fn measure(self, bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Sends => sends::measure(bench, report).await,
            Self::FanOut => fan_out::measure(bench, report).await,
            Self::History => history::measure(bench, report).await,
            Self::ChatList => chat_list::measure(bench, report).await,
            Self::Latency => latency::measure(bench, report).await,
            Self::Stored => stored::measure(bench, report).await,
            Self::Search => search::measure(bench, report).await,
        }
    }
}
