//! All that a producer prints, for tests that look for what must not be among it.

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Collects what is printed.
#[derive(Clone, Debug, Default)]
pub struct Printed(Arc<Mutex<Vec<u8>>>);

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Printed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Printed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Printed {
    /// Notes what `Debug` shows of a thing.
    pub fn debug(&self, thing: &impl Debug) {
        let text = format!("{thing:?}\n{thing:#?}\n");
        self.lock().extend_from_slice(text.as_bytes());
    }

    /// Notes what an error and its causes show.
    pub fn error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.debug(&error);
            let text = format!("{error}\n{error:#}\n");
            self.lock().extend_from_slice(text.as_bytes());
            next = error.source();
        }
    }

    /// All that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }
}

/// Has everything that this thread logs written to `printed`, until what it returns is dropped. The runtimes here have
/// one thread each, so everything the producer does is heard.
#[must_use]
pub fn listen(printed: &Printed) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(printed.clone())
        .with_ansi(false)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // With one subscriber alone, a place that another thread's test reaches first is asked for by
    // that thread, which has none, and stays silent for all.
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    (guard, second)
}
