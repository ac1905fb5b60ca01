//! What of a text is code.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

/// The paragraphs of a text, without what stands between fences. A fence that is not closed is closed by the end.
pub(super) fn blocks(content: &str) -> Vec<Range<usize>> {
    let (mut blocks, mut block, mut fence, mut at) = (Vec::new(), None::<Range<usize>>, None::<Fence>, 0);
    for line in content.split_inclusive('\n') {
        let place = at..at + line.len();
        at = place.end;
        if let Some(open) = &fence {
            if open.closes_with(line) {
                fence = None;
            }
            continue;
        }
        fence = Fence::opened_by(line);
        if fence.is_some() || line.trim().is_empty() {
            blocks.extend(block.take());
        } else {
            block = Some(block.map_or(place.start, |block| block.start)..place.end);
        }
    }
    blocks.extend(block);
    blocks
}

/// What opened a block of code.
struct Fence {
    mark: u8,
    length: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let text = without_markers(line);
        let (fence, info) = Self::at_start_of(text)?;
        // Backticks behind backticks: a code span that is closed in its line.
        (fence.mark == b'~' || !info.contains('`')).then_some(fence)
    }

    fn closes_with(&self, line: &str) -> bool {
        let end = Self::at_start_of(line.trim_start_matches(INDENT));
        end.is_some_and(|(end, behind)| {
            end.mark == self.mark && end.length >= self.length && behind.trim().is_empty()
        })
    }

    /// The three or more marks at the start, and what is behind them.
    fn at_start_of(text: &str) -> Option<(Self, &str)> {
        let mark = text.bytes().next().filter(|mark| matches!(mark, b'`' | b'~'))?;
        let length = super::run(text, |byte| byte == mark);
        (length >= 3).then(|| (Self { mark, length }, &text[length..]))
    }
}

/// What may stand before a line of a quotation or of a list.
const INDENT: [char; 3] = [' ', '\t', '>'];

/// The line without its indent, and without the mark of a list's item if it begins with one.
fn without_markers(line: &str) -> &str {
    let text = line.trim_start_matches(INDENT);
    let digits = super::run(text, |byte| byte.is_ascii_digit());
    let item = if digits == 0 {
        text.strip_prefix(['-', '*', '+'])
    } else {
        text[digits..].strip_prefix(['.', ')'])
    };
    match item {
        Some(item) if item.starts_with([' ', '\t']) => item.trim_start_matches(INDENT),
        _ => text,
    }
}

/// Where the code spans of a block can end.
pub(super) struct CodeSpans {
    /// The ends of the runs of backticks, by their lengths.
    runs: HashMap<usize, VecDeque<usize>>,
}

impl CodeSpans {
    pub(super) fn of(content: &str, block: Range<usize>) -> Self {
        let mut runs: HashMap<_, VecDeque<_>> = HashMap::new();
        let mut at = block.start;
        while let Some(start) = content[at..block.end].find('`') {
            at += start;
            let length = super::run(&content[at..block.end], |byte| byte == b'`');
            at += length;
            runs.entry(length).or_default().push_back(at);
        }
        Self { runs }
    }

    /// Where the span ends that so many backticks have opened, whose text begins at `from`: behind as many backticks,
    /// no more and no fewer. None when there are none: then they are text. To be asked in the order of the text.
    pub(super) fn end(&mut self, ticks: usize, from: usize) -> Option<usize> {
        let ends = self.runs.get_mut(&ticks)?;
        while ends.pop_front_if(|end| *end < from + ticks).is_some() {}
        ends.front().copied()
    }
}
