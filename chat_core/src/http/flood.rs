//! Frames of HTTP/2 that carry nothing, of which a client may send only so many.
//!
//! A request, a body and an answer have limits of their own. Settings, pings, priorities, window updates and resets
//! have none in the protocol, and each of them costs the server about as much as a small request.

use std::{io, time::Duration};

use tokio::time::Instant;

use super::pace::Turns;

/// Such frames that a client may send at once.
const BURST: u32 = 1_000;
/// Such frames that it may send a second, over a longer time.
const RATE: u32 = 50;
/// Bytes of answers for which it may send one more: who takes much has much to update.
const BYTES: usize = 256;
/// What a reset counts for: it takes back a request that has been begun.
const RESET: u32 = 10;
/// Bytes of the head of a frame (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;

/// The frames of a client.
pub(super) struct Frames {
    /// Of the head of the frame that comes next.
    head: [u8; HEAD],
    filled: usize,
    /// Of the frame that is coming, or of the preface at the beginning.
    left: usize,
    /// How many frames the client may still send.
    spare: u32,
    since: Instant,
    /// Bytes of answers that have not counted yet.
    written: usize,
    /// Told when the head of a request begins.
    turns: Turns,
}

impl Frames {
    /// The frames after a preface of `preface` bytes.
    pub(super) fn after(preface: usize, turns: Turns) -> Self {
        // A client that asks for nothing is as one that does not finish its first request.
        turns.read();
        let since = Instant::now();
        Self { head: [0; HEAD], filled: 0, left: preface, spare: BURST, since, written: 0, turns }
    }

    /// Looks at what was read.
    ///
    /// # Errors
    /// There were too many frames that carry nothing.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(HEAD - self.filled);
            self.head[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD {
                self.filled = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Counts what was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// A frame begins.
    fn begin(&mut self) -> io::Result<()> {
        let [high, middle, low, kind, ..] = self.head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        match kind {
            HEADERS => self.turns.read(),
            // hyper has limits on these.
            DATA | CONTINUATION => {}
            RST_STREAM => return self.spend(RESET),
            _ => return self.spend(1),
        }
        Ok(())
    }

    fn spend(&mut self, cost: u32) -> io::Result<()> {
        self.refill();
        match self.spare.checked_sub(cost) {
            Some(spare) => {
                self.spare = spare;
                Ok(())
            }
            None => Err(io::Error::other("too many frames that carry nothing")),
        }
    }

    fn refill(&mut self) {
        let every = Duration::from_secs(1) / RATE;
        let now = Instant::now();
        let earned = (now - self.since).as_nanos() / every.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(BURST).min(BURST);
        // Time is not saved up beyond the bound.
        self.since = if earned == BURST { now } else { self.since + every * earned };
        let by_answers = u32::try_from(self.written / BYTES).unwrap_or(BURST);
        self.written %= BYTES;
        self.spare = self.spare.saturating_add(earned).saturating_add(by_answers).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload).unwrap_or_default().to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        // Bytes that would be heads of pings.
        frame.resize(HEAD + payload, 6);
        frame
    }

    /// How many frames of a kind are let through at once.
    fn let_through(frames: &mut Frames, kind: u8, payload: usize) -> usize {
        (0..5_000).take_while(|_| frames.read(&frame(kind, payload)).is_ok()).count()
    }

    fn frames() -> Frames {
        Frames::after(0, Turns::default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_nothing_is_limited_and_the_rest_is_not() {
        for (kind, payload, most) in
            [(4, 0, 1_000), (6, 8, 1_000), (2, 5, 1_000), (8, 4, 1_000), (99, 3, 1_000)]
        {
            assert_eq!(let_through(&mut frames(), kind, payload), most, "of type {kind}");
        }
        assert_eq!(let_through(&mut frames(), RST_STREAM, 4), 100);
        for kind in [DATA, HEADERS, CONTINUATION] {
            assert_eq!(let_through(&mut frames(), kind, 20), 5_000, "of type {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_and_answers_make_room_up_to_a_bound() {
        let mut frames = frames();
        assert_eq!(let_through(&mut frames, 6, 0), 1_000);
        advance(Duration::from_secs(2)).await;
        assert_eq!(let_through(&mut frames, 6, 0), 100);
        frames.wrote(10 * BYTES);
        assert_eq!(let_through(&mut frames, 6, 0), 10);
        frames.wrote(1_000_000_000);
        advance(Duration::from_hours(1)).await;
        assert_eq!(let_through(&mut frames, 6, 0), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_found_however_the_bytes_come() -> io::Result<()> {
        let mut bytes = vec![b'x'; 24];
        for _ in 0..300 {
            bytes.extend([frame(DATA, 70), frame(6, 8), frame(HEADERS, 3)].concat());
        }
        for size in [1, 7, 9, 4_096] {
            let mut frames = Frames::after(24, Turns::default());
            for piece in bytes.chunks(size) {
                frames.read(piece)?;
            }
            assert_eq!(frames.spare, BURST - 300, "in pieces of {size}");
        }
        Ok(())
    }
}
