//! raft's storage, answered by C. raft-rs ends the process on most storage errors, so none is handed on: what can wait
//! is made to wait, what is bad marks the replica as failed.

use crate::abi::{self, Host};
use crate::convert::{conf_state, entry_in, membership};
use raft::eraftpb::{Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};
use std::cell::Cell;
use std::ffi::{c_int, c_void};

pub struct Store {
    calls: abi::Storage,
    context: *mut c_void,
    pub host: Host,
    hard: abi::HardState,
    first: abi::Membership,
    pub failed: Cell<bool>,
    /// A ready is being collected: entries are asked for to be applied.
    pub collecting: Cell<bool>,
    /// Committed entries, or entries for a peer, were put off until raft_fetched.
    pub committed_later: Cell<bool>,
    pub appends_later: Cell<bool>,
}

/// `struct raft_entries`: where C puts what it was asked for.
pub struct Collector {
    host: Host,
    next: u64,
    high: u64,
    entries: Vec<Entry>,
    bad: bool,
}

#[no_mangle]
pub unsafe extern "C" fn raft_entries_add(to: *mut Collector, entry: *const abi::Entry) {
    let (to, view) = (&mut *to, &*entry);
    to.bad |= view.index != to.next || view.index >= to.high || view.kind > 2 || view.term == 0;
    to.next += 1;
    if !to.bad {
        to.entries.push(entry_in(&to.host, view));
    }
}

impl Store {
    /// # Safety
    /// `o` is valid, and its storage outlives this.
    pub unsafe fn new(o: &abi::Options, host: Host) -> Store {
        Store {
            calls: *o.storage,
            context: o.storage_context,
            host,
            hard: o.hard,
            first: o.membership,
            failed: Cell::new(false),
            collecting: Cell::new(false),
            committed_later: Cell::new(false),
            appends_later: Cell::new(false),
        }
    }

    fn not_now(&self, result: c_int, context: GetEntriesContext) -> Result<Vec<Entry>> {
        let for_peer = context.can_async();
        if for_peer && result == abi::STORAGE_COMPACTED {
            return Err(Error::Store(StorageError::Compacted));
        }
        if result != abi::STORAGE_LATER {
            self.failed.set(true);
        }
        if for_peer {
            self.appends_later.set(true);
            return Err(Error::Store(StorageError::LogTemporarilyUnavailable));
        }
        if self.collecting.get() {
            self.committed_later.set(true);
            return Ok(Vec::new());
        }
        // Before a campaign raft looks for membership changes not yet applied. What can't be read might be one: say
        // so, and the campaign waits for another election timeout.
        let mut unknown = Entry::default();
        unknown.set_entry_type(EntryType::EntryConfChangeV2);
        Ok(vec![unknown])
    }
}

impl Storage for Store {
    fn initial_state(&self) -> Result<RaftState> {
        let mut hard = HardState::default();
        hard.term = self.hard.term;
        hard.vote = self.hard.vote;
        hard.commit = self.hard.commit;
        Ok(RaftState::new(hard, conf_state(&self.first)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let max = max_size.into().unwrap_or(u64::MAX);
        let mut to = Collector { host: self.host, next: low, high, entries: Vec::new(), bad: false };
        let result = unsafe { (self.calls.entries)(self.context, low, high, max, &mut to) };
        if result == abi::STORAGE_OK && !to.bad && !to.entries.is_empty() {
            return Ok(to.entries);
        }
        self.not_now(if result == abi::STORAGE_OK { -1 } else { result }, context)
    }

    fn term(&self, index: u64) -> Result<u64> {
        match unsafe { (self.calls.term)(self.context, index) } {
            0 if index > 0 && index + 1 < self.first_index()? => Err(Error::Store(StorageError::Compacted)),
            0 if index > 0 => Err(Error::Store(StorageError::Unavailable)),
            term => Ok(term),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(unsafe { (self.calls.first_index)(self.context) })
    }

    fn last_index(&self) -> Result<u64> {
        Ok(unsafe { (self.calls.last_index)(self.context) })
    }

    fn snapshot(&self, _request_index: u64, to: u64) -> Result<Snapshot> {
        let mut view: abi::Snapshot = unsafe { std::mem::zeroed() };
        let result = unsafe { (self.calls.snapshot)(self.context, to, &mut view) };
        let cs = conf_state(&view.membership);
        if result == abi::STORAGE_OK
            && (1..=abi::INDEX_MAX).contains(&view.index)
            && (1..=abi::TERM_MAX).contains(&view.term)
            && view.len <= abi::SNAPSHOT_DATA_MAX
            && !cs.voters.is_empty()
            && membership(&self.host, &cs).is_ok()
        {
            let mut s = Snapshot::default();
            if view.len > 0 {
                s.data = unsafe { std::slice::from_raw_parts(view.data, view.len) }.to_vec().into();
            }
            let meta = s.mut_metadata();
            meta.index = view.index;
            meta.term = view.term;
            meta.set_conf_state(cs);
            return Ok(s);
        }
        if result != abi::STORAGE_LATER {
            self.failed.set(true);
        }
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
