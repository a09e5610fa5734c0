//! A ready, taken apart for C.

use crate::abi;
use crate::convert::{entry_out, membership};
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message};
use raft::{Ready, SoftState, StateRole};
use std::ptr;

/// What the views of the last ready point to.
#[derive(Default)]
pub struct Out {
    owned: Vec<Entry>,
    headers: Vec<u8>,
    messages: Vec<abi::Message>,
    sent: Vec<abi::Entry>,
    entries: Vec<abi::Entry>,
    committed: Vec<abi::Entry>,
    reads: Vec<abi::Read>,
    snapshot_data: bytes::Bytes,
    snapshot: Option<abi::Snapshot>,
}

impl Out {
    /// Moves what is in `rd` here and shows it in `ready`. The library needs only the rest of `rd` to advance.
    pub fn fill(&mut self, rd: &mut Ready, host: &abi::Host, ready: &mut abi::Ready) {
        self.clear();
        rd.take_messages().into_iter().for_each(|m| self.message(m));
        let now = self.messages.len();
        // An append of a former leader is worth nothing any more.
        let later = rd.take_persisted_messages().into_iter().filter(|m| m.entries.is_empty());
        later.for_each(|m| self.message(m));
        self.point();
        let (entries, committed) = (rd.take_entries(), rd.take_committed_entries());
        self.entries.extend(entries.iter().map(entry_out));
        self.committed.extend(committed.iter().map(entry_out));
        self.owned.extend(entries);
        self.owned.extend(committed);
        self.reads.extend(rd.take_read_states().iter().map(|r| abi::Read {
            context: u64::from_le_bytes(r.request_ctx[..].try_into().expect("made in raft_read_index")),
            index: r.index,
        }));
        if !rd.snapshot().is_empty() {
            let meta = rd.snapshot().get_metadata();
            self.snapshot_data = rd.snapshot().data.clone();
            self.snapshot = Some(abi::Snapshot {
                index: meta.index,
                term: meta.term,
                data: self.snapshot_data.as_ptr(),
                len: self.snapshot_data.len(),
                membership: membership(host, meta.get_conf_state()).expect("checked when it came"),
            });
        }
        let hard = rd.hs().cloned().unwrap_or_default();
        let soft = rd.ss().unwrap_or(&SoftState { leader_id: 0, raft_state: StateRole::Follower });
        *ready = abi::Ready {
            number: rd.number(),
            messages: self.messages.as_ptr(),
            message_count: now,
            persisted_messages: self.messages[now..].as_ptr(),
            persisted_message_count: self.messages.len() - now,
            entries: self.entries.as_ptr(),
            entry_count: self.entries.len(),
            committed: self.committed.as_ptr(),
            committed_count: self.committed.len(),
            reads: self.reads.as_ptr(),
            read_count: self.reads.len(),
            snapshot: self.snapshot.as_ref().map_or(ptr::null(), |s| s),
            hard: abi::HardState { term: hard.term, vote: hard.vote, commit: hard.commit },
            soft: abi::SoftState { leader: soft.leader_id, role: soft.raft_state as u32 },
            has_hard: rd.hs().is_some(),
            has_soft: rd.ss().is_some(),
            must_sync: rd.must_sync(),
        };
    }

    fn clear(&mut self) {
        self.owned.clear();
        self.headers.clear();
        self.messages.clear();
        self.sent.clear();
        self.entries.clear();
        self.committed.clear();
        self.reads.clear();
        self.snapshot = None;
    }

    /// Takes a message apart. Its views hold offsets until all are in.
    fn message(&mut self, mut m: Message) {
        let entries: Vec<Entry> = m.take_entries().into();
        let (header, first) = (self.headers.len(), self.sent.len());
        m.write_to_vec(&mut self.headers).expect("a message can be written");
        self.sent.extend(entries.iter().map(entry_out));
        self.messages.push(abi::Message {
            from: m.from,
            to: m.to,
            term: m.term,
            header: abi::View { data: header as *const u8, len: self.headers.len() - header },
            entries: first as *const abi::Entry,
            entry_count: entries.len(),
            kind: m.get_msg_type() as u32,
        });
        self.owned.extend(entries);
    }

    fn point(&mut self) {
        for m in &mut self.messages {
            m.header.data = self.headers[m.header.data as usize..].as_ptr();
            m.entries = self.sent[m.entries as usize..].as_ptr();
        }
    }
}
