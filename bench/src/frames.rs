//! Reads event streams, as cheaply as counting allows.
//!
//! The lines of the head and those that frame the chunks of a chunked answer stand between the lines of the events
//! and are passed over: our servers begin each chunk with an event.

use memchr::memchr;

/// Cuts bytes into lines, however they arrive.
#[derive(Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes, and hands each line that is whole to `each`, without its line feed.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() {
                each(line);
            } else {
                self.partial.extend_from_slice(line);
                each(&self.partial);
                self.partial.clear();
            }
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// What has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The status of the answer.
    Status(u16),
    /// The stream has begun.
    Hello,
    /// A message.
    Message,
    /// The server ends the stream, or asks for a reload.
    Broken,
}

/// Knows events by their lines (HTML standard, section 9.2.6).
#[derive(Default)]
pub(crate) struct Frames {
    lines: Lines,
    /// The event whose empty line has not come.
    current: Option<Arrival>,
}

impl Frames {
    /// Takes the next bytes, and tells what has come whole with them.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut arrived: impl FnMut(Arrival)) {
        let current = &mut self.current;
        self.lines.feed(bytes, |line| match line {
            b"" => {
                if let Some(event) = current.take() {
                    arrived(event);
                }
            }
            b"event: message" => *current = Some(Arrival::Message),
            b"event: hello" => *current = Some(Arrival::Hello),
            b"event: bye" | b"event: reset" => *current = Some(Arrival::Broken),
            _ => {
                if let Some(status) = status(line) {
                    arrived(Arrival::Status(status));
                }
            }
        });
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        2a\r\nretry: 1500\nid: e-1\nevent: hello\ndata: {}\n\n\r\n\
        60\r\nid: e-2\nevent: message\ndata: {\"content\":\"event: message\"}\n\n\
        id: e-3\nevent: message\ndata: {}\n\n\r\n\
        1f\r\nid: e-3\nevent: ping\ndata: {}\n\n\r\n\
        1f\r\nevent: bye\ndata: {}\n\n\r\n";

    fn arrivals(pieces: &[&[u8]]) -> Vec<Arrival> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in pieces {
            frames.feed(piece, |arrival| found.push(arrival));
        }
        found
    }

    #[test]
    fn events_are_counted_wherever_the_bytes_are_cut() {
        let expected =
            [Arrival::Status(200), Arrival::Hello, Arrival::Message, Arrival::Message, Arrival::Broken];
        for cut in 0..STREAM.len() {
            let (one, two) = STREAM.as_bytes().split_at(cut);
            assert_eq!(arrivals(&[one, two]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_counts_once_it_is_whole() {
        let whole = b"event: message\ndata: {}\n\n";
        assert_eq!(arrivals(&[&whole[..whole.len() - 1]]), []);
        assert_eq!(arrivals(&[whole]), [Arrival::Message]);
    }
}
