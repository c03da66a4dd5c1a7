//! How the program ends: well, or by the one error with its exit code and its remedy.

use std::fmt;

/// How a command ends that does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked, and nothing differs where that was the question.
    Done,
    /// The kernel is not as it should be: the answer of `plan --diff` and `status`, not a failure.
    Differs,
}

impl Outcome {
    /// The exit code of [`Outcome::Differs`].
    pub(crate) const DIFFERS: u8 = 4;
}

/// The exit codes of failures. They are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The operation failed, and the host is as before unless the message says otherwise.
    Failed,
    /// The input was wrong.
    BadInput,
    /// This machine cannot do it.
    Cannot,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::Cannot => 3,
        }
    }
}

/// Why the program ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// A report that stands before the message, such as the complaints about a file.
    pub(crate) report: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None, report: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn report(mut self, report: String) -> Self {
        self.report = Some(report);
        self
    }
}

/// Joins the causes of an error into one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
