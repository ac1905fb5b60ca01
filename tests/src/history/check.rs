//! The checks that look at the whole.

use std::collections::{BTreeMap, HashMap};

use super::{Absence, Breach, Frame, History, Outcome, Step, Violation, log::Log, walk::Walk};

impl Frame {
    /// The message that it brings for the first time.
    pub(super) fn new_message(&self) -> Option<&str> {
        (self.event == "message").then_some(self.about.message.as_deref()).flatten()
    }

    /// Whether it speaks of the stream and not of something that happened.
    pub(super) fn is_about_the_stream(&self) -> bool {
        ["hello", "ping", "reset"].contains(&self.event.as_str())
    }
}

impl History {
    /// Every promise that was broken; nothing when all were kept.
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let log = Log::of(self, &mut violations);
        self.check_order(&log, &mut violations);
        self.check_sends(&mut violations);
        self.check_absences(&mut violations);
        for client in &self.clients {
            violations.extend(Walk::of(client, &log).finish(self.end));
        }
        violations
    }

    /// Fails a test with the first broken promises; says in one line what was looked at.
    ///
    /// # Panics
    /// When a promise was broken.
    #[track_caller]
    pub fn assert_kept(&self) -> String {
        let violations = self.check();
        let first = violations.iter().take(20).map(|violation| format!("\n  {violation:?}"));
        assert!(violations.is_empty(), "{} promises broken:{}", violations.len(), first.collect::<String>());
        self.to_string()
    }

    /// The messages of a chat are numbered without gaps, and stand in the log in the same order.
    fn check_order(&self, log: &Log, violations: &mut Vec<Violation>) {
        for chat in &self.chats {
            let mut last = 0;
            for (message, seq) in chat.messages.iter().zip(1..) {
                if message.seq != seq {
                    let details = format!("{message:?} stands in place {seq} of {}", chat.id);
                    violations.push(Violation { breach: Breach::Numbering, details });
                    break;
                }
                let Some(place) = log.place(&message.id) else { continue };
                if place <= last {
                    let details = format!("{message:?} is at {place}, after one at {last}");
                    violations.push(Violation { breach: Breach::Order, details });
                }
                last = place;
            }
        }
    }

    /// What was acknowledged is there, what was sent is there at most once, and nothing else is.
    fn check_sends(&self, violations: &mut Vec<Violation>) {
        let mut broken = |breach, details| violations.push(Violation { breach, details });
        let mut there: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for chat in &self.chats {
            for message in &chat.messages {
                if let Some((sender, client_id)) = &message.sent {
                    there.entry((&chat.id, sender, client_id)).or_default().push(message);
                }
            }
        }
        for send in &self.sends {
            let found = there.remove(&(&send.chat, &send.sender, &send.client_id)).unwrap_or_default();
            if found.len() > 1 {
                broken(Breach::SentTwice, format!("{send:?} is there as {found:?}"));
            }
            match &send.outcome {
                Outcome::Acknowledged { message, seq } => {
                    if !found.iter().any(|there| there.id == *message && there.seq == *seq) {
                        broken(Breach::NotDurable, format!("{send:?}, but there is {found:?}"));
                    }
                }
                Outcome::Refused if !found.is_empty() => {
                    broken(Breach::Phantom, format!("{send:?} is there"));
                }
                Outcome::Refused | Outcome::Unknown => {}
            }
        }
        for messages in there.into_values() {
            broken(Breach::Phantom, format!("nobody sent {messages:?}"));
        }
    }
}

impl History {
    /// What was written while somebody was out of its chat did not come to them before they were back, not even by an
    /// event from before.
    fn check_absences(&self, violations: &mut Vec<Violation>) {
        let edits = self.edits.iter().map(|edit| ((edit.message.as_str(), edit.version), edit.begun));
        let edits: HashMap<_, _> = edits.collect();
        let mut absences: HashMap<_, Vec<_>> = HashMap::new();
        for absence in &self.absences {
            absences.entry((absence.person.as_str(), absence.chat.as_str())).or_default().push(absence);
        }
        for client in &self.clients {
            for step in &client.steps {
                let Step::Frame(frame) = step else { continue };
                let Some(chat) = frame.about.chat.as_deref() else { continue };
                let Some(absences) = absences.get(&(client.person.as_str(), chat)) else { continue };
                let written =
                    frame.shown.iter().filter_map(|shown| edits.get(&(&*shown.message, shown.version)));
                for written in written {
                    let out = |absence: &&&Absence| {
                        absence.from < *written && absence.until.is_none_or(|until| frame.at < until)
                    };
                    if let Some(absence) = absences.iter().find(out) {
                        let details = format!("{}: {frame:?}, written during {absence:?}", client.name);
                        violations.push(Violation { breach: Breach::Leak, details });
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages: usize = self.chats.iter().map(|chat| chat.messages.len()).sum();
        let mut outcomes: HashMap<_, usize> = HashMap::new();
        for send in &self.sends {
            let outcome = match send.outcome {
                Outcome::Acknowledged { .. } => "acknowledged",
                Outcome::Refused => "refused",
                Outcome::Unknown => "unknown",
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        let count = |outcome| outcomes.get(outcome).copied().unwrap_or_default();
        let (mut frames, mut connections, mut reloads) = (0_usize, 0_usize, 0_usize);
        for step in self.clients.iter().flat_map(|client| &client.steps) {
            match step {
                Step::Frame(_) => frames += 1,
                Step::Opened(_) => connections += 1,
                Step::Reloaded(_) => reloads += 1,
            }
        }
        write!(
            f,
            "{messages} messages; {} sends acknowledged, {} refused, {} unknown, {} edits; {} clients with {frames} \
             events over {connections} connections, {reloads} reloads",
            count("acknowledged"),
            count("refused"),
            count("unknown"),
            self.edits.len(),
            self.clients.len(),
        )
    }
}
