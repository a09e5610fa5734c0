//! Between views of C and values of raft-rs, without copying bodies.

use crate::abi::{self, Answer, Blob, Host, List, Membership, View};
use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType};
use std::ptr;

/// A part of a C blob, released with its last clone.
struct Body {
    view: View,
    owner: *mut Blob,
    unref: unsafe extern "C" fn(*mut Blob),
}

// References of blobs are atomic (base/blob.h).
unsafe impl Send for Body {}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        unsafe { std::slice::from_raw_parts(self.view.data, self.view.len) }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        unsafe { (self.unref)(self.owner) }
    }
}

/// # Safety
/// `data` points to `len` values, or is NULL with `len` 0.
pub unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, len)
}

/// # Safety
/// `view` describes readable memory, inside `view.owner` when that is not NULL.
pub unsafe fn entry_in(host: &Host, view: &abi::Entry) -> Entry {
    let mut e = Entry::default();
    e.index = view.index;
    e.term = view.term;
    e.set_entry_type(match view.kind {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        _ => EntryType::EntryConfChangeV2,
    });
    if view.len > 0 {
        let mut body =
            Body { view: View { data: view.data, len: view.len }, owner: view.owner, unref: host.blob_unref };
        if view.owner.is_null() {
            body.owner = (host.blob_copy)(body.view);
            body.view = (host.blob_view)(body.owner);
        } else {
            (host.blob_ref)(view.owner);
        }
        // Bytes does not give its owner back. The entry's context, which is not used otherwise, carries the owner's
        // address as the place of an empty slice: it costs nothing, and lives as long as the data beside it.
        e.context = Bytes::from_static(std::slice::from_raw_parts(body.owner as *const u8, 0));
        e.data = Bytes::from_owner(body);
    }
    e
}

pub fn entry_out(e: &Entry) -> abi::Entry {
    let empty = e.data.is_empty();
    abi::Entry {
        index: e.index,
        term: e.term,
        data: if empty { ptr::null() } else { e.data.as_ptr() },
        len: e.data.len(),
        owner: if empty { ptr::null_mut() } else { e.context.as_ptr() as *mut Blob },
        kind: e.get_entry_type() as u32,
    }
}

pub fn conf_state(m: &Membership) -> ConfState {
    let ids = |list: &List| list.ids[..list.count as usize].to_vec();
    let mut cs = ConfState::default();
    cs.set_voters(ids(&m.voters));
    cs.set_learners(ids(&m.learners));
    cs.set_voters_outgoing(ids(&m.outgoing));
    cs.set_learners_next(ids(&m.learners_next));
    cs.auto_leave = m.auto_leave;
    cs
}

/// The membership in C's form (sorted), if it is a valid one.
pub fn membership(host: &Host, cs: &ConfState) -> Answer<Membership> {
    let list = |ids: &[u64]| {
        let mut list = List::default();
        if ids.len() > list.ids.len() {
            return abi::refuse(abi::ERR_INVALID, format!("more than {} nodes", list.ids.len()));
        }
        list.ids[..ids.len()].copy_from_slice(ids);
        list.ids[..ids.len()].sort_unstable();
        list.count = ids.len() as u32;
        Ok(list)
    };
    let m = Membership {
        voters: list(cs.get_voters())?,
        learners: list(cs.get_learners())?,
        outgoing: list(cs.get_voters_outgoing())?,
        learners_next: list(cs.get_learners_next())?,
        auto_leave: cs.auto_leave,
    };
    if unsafe { (host.membership_check)(&m, ptr::null_mut()) } != 0 {
        return abi::refuse(abi::ERR_INVALID, format!("not a valid membership: {cs:?}"));
    }
    Ok(m)
}
