//! What a kind of job must say: its steps, what each does outside, and what it changes in the records.

use crate::{Core, Error, family::Family, scripts::Scripts};
use async_trait::async_trait;
use sutler_drivers::Drivers;
use sutler_model::{Job, Server, Timestamp};

/// The steps of one kind of job. Stored by name: append, never rename.
pub(crate) trait Step: Copy + Eq + Send + Sync + 'static {
    /// The stored name.
    fn name(self) -> &'static str;
    /// The step of that name; none for a name from another version.
    fn parse(name: &str) -> Option<Self>;
}

/// Declares a [`Step`] enum with its stored names.
macro_rules! steps {
    ($(#[$doc:meta])* $name:ident { $($(#[$step_doc:meta])* $step:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::enum_variant_names, reason = "steps are named verb and noun, also where all have one noun")]
        pub(crate) enum $name { $($(#[$step_doc])* $step),* }

        impl $crate::jobs::Step for $name {
            fn name(self) -> &'static str {
                match self { $(Self::$step => $text),* }
            }

            fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$step),)* _ => None }
            }
        }
    };
}
pub(crate) use steps;

/// What a finished step changes in the records; run again on fresh ones when somebody else wrote meanwhile.
pub(crate) type Apply = Box<dyn Fn(&mut Family, Timestamp) + Send + Sync>;

/// A step that changes no record.
pub(crate) fn nothing() -> Apply {
    Box::new(|_, _| {})
}

/// Why a step did not succeed.
#[derive(Debug)]
pub(crate) enum StepError {
    /// Try again.
    Transient {
        /// For the operator.
        operator: String,
    },
    /// Give up and undo.
    Permanent {
        /// Stable word.
        code: &'static str,
        /// For the customer.
        message: String,
        /// For the operator.
        operator: Option<String>,
    },
}

impl From<sutler_drivers::Error> for StepError {
    fn from(error: sutler_drivers::Error) -> Self {
        let operator = chain(&error);
        match &error {
            e if e.is_transient() => Self::Transient { operator },
            sutler_drivers::Error::NoSpace { .. } => Self::Permanent {
                code: "no_space",
                message: "there is no storage left for this disk; your provider has been told".to_owned(),
                operator: Some(operator),
            },
            sutler_drivers::Error::NotAnImage(detail) => Self::Permanent {
                code: "not_an_image",
                message: format!("the image cannot be used: {detail}"),
                operator: Some(operator),
            },
            _ => Self::Permanent {
                code: "failed",
                message: "the hypervisor refused; your provider has been told".to_owned(),
                operator: Some(operator),
            },
        }
    }
}

/// Why a question to triggers came to nothing: they refused, or the store failed.
impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { .. } => Self::Permanent { code: "refused", message: error.to_string(), operator: None },
            error => Self::Transient { operator: chain(&error) },
        }
    }
}

/// An error with all its causes, for operators.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What a step works with.
pub(crate) struct StepCtx<'a> {
    /// Store, nodes, settings.
    pub core: &'a Core,
    /// The triggers to ask, where there are any.
    pub scripts: Option<&'a Scripts>,
    /// The records as last committed.
    pub family: &'a Family,
    /// The job as last committed.
    pub job: &'a Job,
}

impl StepCtx<'_> {
    /// The server.
    pub fn server(&self) -> Result<&Server, StepError> {
        self.family.server.as_ref().ok_or_else(|| StepError::Permanent {
            code: "gone",
            message: "the server is gone".to_owned(),
            operator: None,
        })
    }

    /// The drivers of the server's node. A node that is not configured in this process may come back.
    pub fn drivers(&self) -> Result<Drivers, StepError> {
        let server = self.server()?;
        let node = server.node_id.ok_or_else(|| StepError::Permanent {
            code: "not_placed",
            message: "the server has no node".to_owned(),
            operator: None,
        })?;
        self.core.nodes.get(node).ok_or_else(|| StepError::Transient {
            operator: format!("node {node} is not among the nodes this controller is configured with"),
        })
    }

    /// Like [`Self::drivers`], but none when the server was never placed, so there is nothing outside.
    pub fn drivers_if_placed(&self) -> Result<Option<Drivers>, StepError> {
        match &self.family.server {
            Some(server) if server.node_id.is_some() => self.drivers().map(Some),
            _ => Ok(None),
        }
    }
}

/// One kind of job.
#[async_trait]
pub(crate) trait Work: Send + Sync + Sized {
    /// Its steps.
    type Step: Step;
    /// The step the accepting commit starts.
    const FIRST: Self::Step;

    /// What follows `done`; none at the end. Pure.
    fn next(&self, done: Self::Step) -> Option<Self::Step>;

    /// Does `step`. May run again after a crash: looks first, then acts.
    async fn run(&self, step: Self::Step, ctx: &StepCtx<'_>) -> Result<Apply, StepError>;

    /// Reverses `step`, which may have run fully, partly or never.
    async fn undo(&self, step: Self::Step, ctx: &StepCtx<'_>) -> Result<Apply, StepError>;

    /// What a failed, reversed job leaves in the records.
    fn gave_up(&self, family: &mut Family, at: Timestamp, reason: &str);
}
