//! The end of captures and channels.

use std::{any::Any, thread};

use crate::{capture::Capture, inject::Injector};

/// Bytes of stack for a thread that makes one system call.
const STACK: usize = 64 * 1024;

/// Closes all packet sockets at once.
///
/// The close of a packet socket waits for an RCU grace period, 8 to 16 ms (synchronize_net in packet_release,
/// net/packet/af_packet.c), and a process that exits closes its sockets one after another. Closed by a thread each,
/// all of them wait for the same grace period, however many they are.
///
/// There is a faster way for one lab alone: descriptors in flight between two unreachable sockets outlive the
/// process, and the kernel's collector closes them later. But it closes them one after another, in one worker for
/// the whole machine, some 60 a second as measured, and keeps their namespaces meanwhile: a suite would pile them up, and
/// nothing guarantees when the collector runs. A caller in a hurry has its results out before it calls this.
pub fn close(capture: Option<Capture>, injector: Option<Injector>) {
    let sockets = capture
        .into_iter()
        .flat_map(Capture::into_sockets)
        .map(|socket| Box::new(socket) as Box<dyn Any + Send>);
    let channels = injector
        .into_iter()
        .flat_map(Injector::into_channels)
        .map(|channel| Box::new(channel) as Box<dyn Any + Send>);
    thread::scope(|scope| {
        for socket in sockets.chain(channels) {
            // A thread that cannot be had drops its socket here and now, which takes longer and does as well.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || drop(socket));
        }
    });
}
