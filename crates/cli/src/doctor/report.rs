//! What was found, step by step.

use std::error::Error;

use serde_json::json;

use crate::console::say;
use crate::exit::Exit;

/// A step of the way, in the order in which they are taken. A step's class is its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Resolution,
    Tcp,
    Tls,
    Protocol,
    Credentials,
    Route,
    Permissions,
    Brokers,
    Send,
    Balance,
    Clock,
    Version,
}

impl Step {
    pub(super) const AFTER_NAME_SERVERS: [Self; 8] = [
        Self::Credentials,
        Self::Route,
        Self::Permissions,
        Self::Brokers,
        Self::Send,
        Self::Balance,
        Self::Clock,
        Self::Version,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Resolution => "name resolution",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Protocol => "protocol",
            Self::Credentials => "credentials",
            Self::Route => "route",
            Self::Permissions => "permissions",
            Self::Brokers => "broker reachability",
            Self::Send => "send",
            Self::Balance => "queue balance",
            Self::Clock => "clock",
            Self::Version => "version",
        }
    }

    const fn exit(self) -> Exit {
        Exit::Diagnosed(match self {
            Self::Resolution => 3,
            Self::Tcp => 4,
            Self::Tls => 5,
            Self::Protocol => 6,
            Self::Credentials => 7,
            Self::Route => 8,
            Self::Permissions => 9,
            Self::Brokers => 10,
            Self::Send => 11,
            Self::Balance => 12,
            Self::Clock => 13,
            Self::Version => 14,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Right,
    Wrong,
    Skipped,
}

/// What is wrong, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    /// A name for programs.
    pub(super) cause: &'static str,
    pub(super) text: String,
    pub(super) advice: String,
    /// The class, if it is another than the step's.
    pub(super) class: Option<Step>,
}

impl Fault {
    pub(super) fn new(
        cause: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            cause,
            text: text.into(),
            advice: advice.into(),
            class: None,
        }
    }

    /// Counts it among the faults of another step.
    pub(super) fn of_class(mut self, class: Step) -> Self {
        self.class = Some(class);
        self
    }
}

#[derive(Debug)]
struct Finding {
    step: Step,
    mark: Mark,
    text: String,
    fault: Option<Fault>,
}

/// All findings. Each is printed as it comes, unless JSON is wanted.
#[derive(Debug)]
pub(super) struct Report {
    findings: Vec<Finding>,
    is_json: bool,
}

impl Report {
    pub(super) const fn new(is_json: bool) -> Self {
        Self {
            findings: Vec::new(),
            is_json,
        }
    }

    pub(super) fn right(&mut self, step: Step, text: impl Into<String>) {
        self.add(step, Mark::Right, text.into(), None);
    }

    pub(super) fn skipped(&mut self, step: Step, text: impl Into<String>) {
        self.add(step, Mark::Skipped, text.into(), None);
    }

    pub(super) fn wrong(&mut self, step: Step, fault: Fault) {
        self.add(step, Mark::Wrong, fault.text.clone(), Some(fault));
    }

    fn add(&mut self, step: Step, mark: Mark, text: String, fault: Option<Fault>) {
        if !self.is_json {
            let sign = match mark {
                Mark::Right => "✓",
                Mark::Wrong => "✗",
                Mark::Skipped => "–",
            };
            say(&format!("{sign} {:<20} {text}", step.name()));
            if let Some(fault) = &fault {
                say(&format!("{:22} → {}", "", fault.advice));
            }
        }
        self.findings.push(Finding {
            step,
            mark,
            text,
            fault,
        });
    }

    /// The last words.
    pub(super) fn end(&self, topic: &str) {
        if self.is_json {
            say(&self.in_json(topic).to_string());
            return;
        }
        match self.first_fault() {
            None => say(&format!("\nnothing is wrong with sending to topic {topic}")),
            Some((_, fault)) => say(&format!(
                "\nfirst to correct: {}\n  {}",
                fault.text, fault.advice
            )),
        }
    }

    /// That of the first step that is wrong.
    pub(super) fn exit(&self) -> Exit {
        self.first_fault()
            .map_or(Exit::Success, |(class, _)| class.exit())
    }

    fn first_fault(&self) -> Option<(Step, &Fault)> {
        let faults = self.findings.iter();
        faults
            .filter_map(|finding| {
                let fault = finding.fault.as_ref()?;
                Some((fault.class.unwrap_or(finding.step), fault))
            })
            // Of equal ones the first.
            .min_by_key(|(class, _)| *class)
    }

    fn in_json(&self, topic: &str) -> serde_json::Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "step": finding.step.name(),
                "result": match finding.mark {
                    Mark::Right => "ok",
                    Mark::Wrong => "wrong",
                    Mark::Skipped => "skipped",
                },
                "text": finding.text,
                "cause": finding.fault.as_ref().map(|fault| fault.cause),
                "advice": finding.fault.as_ref().map(|fault| fault.advice.as_str()),
            })
        });
        json!({
            "topic": topic,
            "exit": self.exit().code(),
            "cause": self.first_fault().map(|(_, fault)| fault.cause),
            "steps": findings.collect::<Vec<_>>(),
        })
    }
}

/// The deepest cause of an error: the layers above it only say that something failed.
pub(super) fn root(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_that_is_wrong_decides() {
        let mut report = Report::new(true);
        assert_eq!(report.exit(), Exit::Success);
        report.right(Step::Tcp, "");
        report.wrong(Step::Clock, Fault::new("clock_differs", "late", "set it"));
        assert_eq!(report.exit().code(), 13);
        report.wrong(Step::Route, Fault::new("topic_missing", "none", "make it"));
        assert_eq!(report.exit().code(), 8);
        let fault = Fault::new("tls_required", "", "").of_class(Step::Tls);
        report.wrong(Step::Brokers, fault);
        assert_eq!(report.exit().code(), 5);
        assert_eq!(report.in_json("t")["cause"], "tls_required");
    }
}
