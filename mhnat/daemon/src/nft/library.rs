//! libnftables in this process.

use super::{NftError, refused, tables};
use crate::fault;
use crate::sys::NftContext;

/// A context of libnftables that is kept: its socket stays open and its cache is renewed only when another program
/// has changed a table since, which the kernel's generation number tells it.
///
/// A change of one element costs a fraction of what the program costs, above all because the kernel lets whoever
/// closes a netlink socket wait until what was deleted is freed. The price is the library's manners: it ends the
/// whole process when memory runs out, and what it gets wrong, it gets wrong in this address space.
#[derive(Debug)]
pub struct Library {
    context: NftContext,
}

impl Library {
    /// Loads the library, for the network namespace of the calling thread.
    ///
    /// # Errors
    /// What is missing, in words: privileges, the kernel's part, the library.
    pub fn open() -> Result<Self, String> {
        Self::load().map_err(|error| crate::failure::with_causes(&error))
    }

    pub(super) fn load() -> Result<Self, NftError> {
        // Where this fails the library would end the process.
        tables::probe().map_err(NftError::Read)?;
        NftContext::open().map(|context| Self { context }).map_err(|reason| NftError::NoLibrary { reason })
    }

    /// Runs commands in one transaction and gives what was printed.
    ///
    /// # Errors
    /// The first complaint. Then nothing has changed.
    pub fn run(&mut self, commands: &str) -> Result<String, String> {
        self.execute("the commands", commands).map_err(|error| error.to_string())
    }

    pub(super) fn execute(&mut self, what: &'static str, commands: &str) -> Result<String, NftError> {
        fault::point(what)
            .map_err(|error| error.to_string())
            .and_then(|()| self.context.run(commands))
            .map_err(|complaint| refused(what, &complaint, "no reason given"))
    }
}
