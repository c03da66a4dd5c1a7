//! libnftables(3), found and called by the dynamic loader.
//!
//! It is not linked: where it is absent everything else works, and the library that an administrator upgrades
//! is the one that is used.

mod child;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

pub(crate) use self::child::ends_with_us;

// Otherwise the standard library's unwinder comes from libgcc_s.so, which nothing else here needs: to find, map and
// relocate it at every start takes 0.1 ms, a seventieth of an apply.
#[cfg(target_env = "gnu")]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// The library's name with its ABI version.
const NAME: &CStr = c"libnftables.so.1";

type New = unsafe extern "C" fn(u32) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Run = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type Buffer = unsafe extern "C" fn(*mut c_void) -> c_int;
type Text = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// A context of the library: a netlink socket, a cache, and buffers for what it has to say.
///
/// The library keeps no state of the context elsewhere, but locks nothing either: the raw pointer keeps this type
/// to one thread.
#[derive(Debug)]
pub(crate) struct NftContext {
    context: NonNull<c_void>,
    free: Free,
    run: Run,
    output: Text,
    error: Text,
}

impl NftContext {
    /// A context in the network namespace of the calling thread, where it stays. The error is what the dynamic
    /// loader or the library said.
    ///
    /// The library ends the whole process when it cannot open a netlink socket: whoever calls this has opened
    /// one.
    pub(crate) fn open() -> Result<Self, String> {
        // SAFETY: the name ends with a zero byte. The library's initialisers are those of the system's own nft.
        let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let Some(library) = NonNull::new(library) else {
            return Err(loader_error());
        };
        // It is never closed again, so that what is found in it stays where it is.
        let (new, free) = (symbol(library, c"nft_ctx_new")?, symbol(library, c"nft_ctx_free")?);
        let run = symbol(library, c"nft_run_cmd_from_buffer")?;
        let buffer_output = symbol(library, c"nft_ctx_buffer_output")?;
        let buffer_error = symbol(library, c"nft_ctx_buffer_error")?;
        let output = symbol(library, c"nft_ctx_get_output_buffer")?;
        let error = symbol(library, c"nft_ctx_get_error_buffer")?;

        // SAFETY: the types are those that <nftables/libnftables.h> declares for these names since ABI version 1.
        let (new, free, run, buffer_output, buffer_error, output, error) = unsafe {
            (
                std::mem::transmute::<*mut c_void, New>(new.as_ptr()),
                std::mem::transmute::<*mut c_void, Free>(free.as_ptr()),
                std::mem::transmute::<*mut c_void, Run>(run.as_ptr()),
                std::mem::transmute::<*mut c_void, Buffer>(buffer_output.as_ptr()),
                std::mem::transmute::<*mut c_void, Buffer>(buffer_error.as_ptr()),
                std::mem::transmute::<*mut c_void, Text>(output.as_ptr()),
                std::mem::transmute::<*mut c_void, Text>(error.as_ptr()),
            )
        };
        // SAFETY: zero is NFT_CTX_DEFAULT, the only flag that there is.
        let context = unsafe { new(0) };
        let context = NonNull::new(context).ok_or("it gives no context")?;
        let context = Self { context, free, run, output, error };
        // SAFETY: the context is the one just made. Both return zero, or the buffer could not be had.
        let silent = unsafe {
            buffer_output(context.context.as_ptr()) == 0 && buffer_error(context.context.as_ptr()) == 0
        };
        if silent { Ok(context) } else { Err("it gives no buffers".to_owned()) }
    }

    /// Runs commands as `nft -f` would: what changes something is one transaction. Gives what was printed, or
    /// what was complained of.
    pub(crate) fn run(&mut self, commands: &str) -> Result<String, String> {
        let commands = CString::new(commands).map_err(|error| error.to_string())?;
        // SAFETY: the context lives as long as `self`, which is borrowed mutably, so nobody else is in it; the text
        // ends with a zero byte and is only read.
        let result = unsafe { (self.run)(self.context.as_ptr(), commands.as_ptr()) };
        // Both are emptied by asking.
        let (output, error) = (self.take(self.output), self.take(self.error));
        if result == 0 { Ok(output) } else { Err(error) }
    }

    fn take(&mut self, get: Text) -> String {
        // SAFETY: the context lives. What comes back is null, or a text that stays until the next command.
        let text = unsafe { get(self.context.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null, and the library ends its buffers with a zero byte. Copied before anything else runs.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for NftContext {
    fn drop(&mut self) {
        // SAFETY: made by `nft_ctx_new` and freed nowhere else.
        unsafe { (self.free)(self.context.as_ptr()) }
    }
}

fn symbol(library: NonNull<c_void>, name: &CStr) -> Result<NonNull<c_void>, String> {
    // SAFETY: the handle is of `dlopen` and never closed; the name ends with a zero byte.
    NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) }).ok_or_else(loader_error)
}

fn loader_error() -> String {
    // SAFETY: gives null, or a text of this thread that stays until the next call of the loader; copied at once.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic loader gives no reason".to_owned();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
