//! Lines of bounded length from any reader.

use std::io::{self, BufRead, Read as _};

use rocketmq_producer::config::ByteSize;

/// What [`LineReader::advance`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The end of the input.
    End,
    /// A line, which [`LineReader::text`] gives.
    Text,
    /// A line longer than allowed; it was skipped without being held.
    TooLong,
}

/// Reads lines that end with a newline, a carriage return and a newline, or the input.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    reader: R,
    line: Vec<u8>,
    limit: ByteSize,
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(reader: R, limit: ByteSize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            limit,
        }
    }

    pub(super) fn limit(&self) -> ByteSize {
        self.limit
    }

    /// The line that was read last, without its end.
    pub(super) fn text(&self) -> &[u8] {
        &self.line
    }

    pub(super) fn advance(&mut self) -> io::Result<Line> {
        const LINE_END: u64 = 2;
        /// What a long line may leave allocated.
        const KEEP: usize = 1 << 16;
        self.line.clear();
        self.line.shrink_to(KEEP);
        let most = self.limit.as_u64() + LINE_END;
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        let ended = self.line.last() == Some(&b'\n');
        if ended {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        if self.line.len() <= self.limit.as_usize() {
            return Ok(Line::Text);
        }
        if !ended {
            self.skip_to_newline()?;
        }
        Ok(Line::TooLong)
    }

    fn skip_to_newline(&mut self) -> io::Result<()> {
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                return Ok(());
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let consumed = newline.map_or(chunk.len(), |at| at + 1);
            self.reader.consume(consumed);
            if newline.is_some() {
                return Ok(());
            }
        }
    }
}
