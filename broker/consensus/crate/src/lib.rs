//! raft-rs for C: the functions of ../../raft.h. Views in, views out; what a call means is said there.
//!
//! Safety, for all of them: pointers are valid as raft.h says, and one replica is used by one thread at a time.
#![allow(clippy::missing_safety_doc, clippy::field_reassign_with_default)]

mod abi;
mod check;
mod convert;
mod group;
mod output;
mod storage;
mod trace;

use abi::{answer, refuse, Answer};
use convert::{entry_in, membership, slice};
use group::Group;
use raft::{ProgressState, SnapshotStatus, StateRole};
use std::ffi::c_int;

unsafe fn put_index(result: Answer<u64>, index: *mut u64) -> Answer {
    let at = result?;
    if let Some(index) = index.as_mut() {
        *index = at;
    }
    Ok(())
}

#[no_mangle]
pub unsafe extern "C" fn hato_raft_create(
    o: *const abi::Options,
    host: *const abi::Host,
    to: *mut *mut Group,
    e: *mut abi::Error,
) -> c_int {
    let created = Group::create(&*o, *host).map(|group| *to = Box::into_raw(group));
    answer(created, e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_destroy(g: *mut Group) {
    if !g.is_null() {
        drop(Box::from_raw(g));
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_tick(g: &mut Group) {
    if g.open().is_ok() && !g.must_not_campaign() {
        g.node.tick();
        g.settle();
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_campaign(g: &mut Group) {
    if g.open().is_ok() && g.node.raft.promotable() && !g.must_not_campaign() {
        let _ = g.node.campaign();
        g.settle();
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_step(g: &mut Group, m: &abi::Message, e: *mut abi::Error) -> c_int {
    answer(g.step(m), e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_propose(
    g: &mut Group,
    body: *mut abi::Blob,
    index: *mut u64,
    e: *mut abi::Error,
) -> c_int {
    let view = (g.host.blob_view)(body);
    assert!(view.len > 0, "an empty entry can't be proposed");
    let allowed = g.proposing().and_then(|_| match view.len > abi::ENTRY_MAX {
        true => refuse(abi::ERR_TOO_LARGE, format!("an entry has at most {} bytes", abi::ENTRY_MAX)),
        false => Ok(()),
    });
    let result = allowed.and_then(|_| {
        let entry = abi::Entry { index: 0, term: 0, data: view.data, len: view.len, owner: body, kind: 0 };
        g.propose(entry_in(&g.host, &entry))
    });
    answer(put_index(result, index), e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_propose_membership(
    g: &mut Group,
    changes: *const abi::Change,
    count: usize,
    index: *mut u64,
    e: *mut abi::Error,
) -> c_int {
    let result = g.propose_membership(slice(changes, count));
    answer(put_index(result, index), e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_transfer(g: &mut Group, to: u64, e: *mut abi::Error) -> c_int {
    let result = g.leading().and_then(|_| {
        let raft = &g.node.raft;
        if to == raft.id || !raft.prs().conf().voters().contains(to) {
            return refuse(abi::ERR_INVALID, format!("node {to} is not another voter"));
        }
        g.node.transfer_leader(to);
        g.settle();
        Ok(())
    });
    answer(result, e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_read_index(g: &mut Group, context: u64, e: *mut abi::Error) -> c_int {
    answer(g.read_index(context), e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_report_unreachable(g: &mut Group, node: u64) {
    if g.open().is_ok() {
        g.node.report_unreachable(node);
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_report_snapshot(g: &mut Group, node: u64, delivered: bool) {
    if g.open().is_ok() {
        let status = if delivered { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        g.node.report_snapshot(node, status);
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_fetched(g: &mut Group) {
    if g.open().is_ok() {
        g.node.store().committed_later.set(false);
        if g.node.store().appends_later.take() && g.node.raft.state == StateRole::Leader {
            g.node.raft.bcast_append();
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_set_priority(g: &mut Group, priority: i64) {
    g.node.set_priority(priority);
}

#[no_mangle]
pub unsafe extern "C" fn raft_has_ready(g: &Group) -> bool {
    g.has_ready()
}

#[no_mangle]
pub unsafe extern "C" fn raft_ready(g: &mut Group, ready: &mut abi::Ready) {
    g.ready(ready);
}

#[no_mangle]
pub unsafe extern "C" fn raft_advance(g: &mut Group) {
    let rd = g.given.take().expect("raft_advance follows raft_ready");
    g.advanced = rd.number();
    g.node.advance_append_async(rd);
}

#[no_mangle]
pub unsafe extern "C" fn raft_persisted(g: &mut Group, number: u64) {
    assert!(number >= g.persisted && number <= g.advanced, "a number that was given out, in order");
    if g.open().is_ok() {
        g.persisted = number;
        g.node.on_persist_ready(number);
        g.settle();
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_applied(g: &mut Group, index: u64) {
    if g.open().is_ok() {
        let log = &g.node.raft.raft_log;
        assert!(index >= log.applied && index <= log.committed.min(log.persisted), "applied what was not committed");
        g.node.advance_apply_to(index);
        g.settle();
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_apply_membership(
    g: &mut Group,
    entry: &abi::Entry,
    m: &mut abi::Membership,
    e: *mut abi::Error,
) -> c_int {
    assert!(entry.kind != 0, "not a change of membership");
    let (result, current) = g.apply_membership(entry);
    *m = membership(&g.host, &current).expect("the library keeps it valid");
    answer(result, e)
}

#[no_mangle]
pub unsafe extern "C" fn raft_status(g: &Group, status: &mut abi::Status) {
    let raft = &g.node.raft;
    *status = abi::Status {
        node: raft.id,
        leader: raft.leader_id,
        term: raft.term,
        vote: raft.vote,
        commit: raft.raft_log.committed,
        applied: raft.raft_log.applied,
        persisted: raft.raft_log.persisted,
        first_index: raft.raft_log.first_index(),
        last_index: raft.raft_log.last_index(),
        uncommitted_bytes: if raft.state == StateRole::Leader { raft.uncommitted_size() as u64 } else { 0 },
        transferee: raft.lead_transferee.unwrap_or(0),
        role: raft.state as u32,
        voter: raft.promotable(),
        change_pending: raft.has_pending_conf(),
        failed: g.failed(),
    };
}

#[no_mangle]
pub unsafe extern "C" fn raft_peers(g: &Group, peers: *mut abi::Peer, max: usize) -> usize {
    let mut all: Vec<_> = g.node.raft.prs().iter().collect();
    all.sort_unstable_by_key(|(id, _)| **id);
    for (i, (id, pr)) in all.iter().take(max).enumerate() {
        *peers.add(i) = abi::Peer {
            node: **id,
            matched: pr.matched,
            next: pr.next_idx,
            pending_snapshot: pr.pending_snapshot,
            state: match pr.state {
                ProgressState::Probe => 0,
                ProgressState::Replicate => 1,
                ProgressState::Snapshot => 2,
            },
            active: pr.recent_active,
            paused: pr.is_paused(),
        };
    }
    all.len()
}
