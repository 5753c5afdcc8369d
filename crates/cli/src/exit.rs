//! Exit statuses, and the one rule that combines them.

use std::process::ExitCode;

/// How the command ends. Of two, the graver one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: everything was acknowledged, everything asked for was done.
    Success,
    /// 1: a message was not acknowledged, or something could not be done.
    Failed,
    /// 2: usage, configuration or input was wrong. It wins over 1, because it is the caller's to
    /// correct.
    BadInput,
    /// 3 and above: the doctor's diagnosis, by the step that is wrong.
    Diagnosed(u8),
}

impl Exit {
    /// 0 if `good`, else 1.
    pub(crate) const fn success_if(good: bool) -> Self {
        if good { Self::Success } else { Self::Failed }
    }

    /// The graver of the two.
    pub(crate) fn and(self, other: Self) -> Self {
        self.max(other)
    }

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::Diagnosed(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn bad_input_wins_over_failure_and_failure_over_success() {
        let all = [Exit::Success, Exit::Failed, Exit::BadInput];
        for a in all {
            for b in all {
                assert_eq!(a.and(b).code(), a.code().max(b.code()));
            }
        }
        assert_eq!(all.map(Exit::code), [0, 1, 2]);
    }
}
