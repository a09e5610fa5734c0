//! What a peer's message must be before raft-rs sees it: raft-rs ends the process on what it holds impossible.

use crate::abi::{self, refuse, Answer, Host};
use crate::convert::membership;
use raft::eraftpb::{Message, MessageType};
use raft::{Raft, StateRole, Storage};

const CONTEXT_MAX: usize = 64;

fn ensure(holds: bool, what: &str) -> Answer {
    if holds {
        return Ok(());
    }
    refuse(abi::ERR_PROTOCOL, what)
}

/// What can be said without knowing the replica.
pub fn form(m: &Message, entries: &[abi::Entry], me: u64, from: u64, host: &Host) -> Answer {
    use MessageType::*;
    ensure(m.to == me && me != m.from, "the message is for another node")?;
    ensure(m.from == from && from != 0, "the sender is not the node of the connection")?;
    ensure((1..=abi::TERM_MAX).contains(&m.term), "the term is out of range")?;
    let indexes = [m.index, m.commit, m.reject_hint];
    let terms = [m.log_term, m.commit_term];
    ensure(indexes.iter().all(|i| *i <= abi::INDEX_MAX), "an index is out of range")?;
    ensure(terms.iter().all(|t| *t <= abi::TERM_MAX), "a term is out of range")?;
    ensure(m.entries.is_empty(), "the header has entries")?;
    ensure(m.request_snapshot == 0, "the header asks for a snapshot")?;
    ensure(m.context.len() <= CONTEXT_MAX, "the context is too long")?;
    ensure(entries.is_empty() || m.get_msg_type() == MsgAppend, "entries in a message without any")?;
    ensure(!m.has_snapshot() || m.get_msg_type() == MsgSnapshot, "a snapshot in a message without any")?;
    match m.get_msg_type() {
        MsgAppend => append_form(m, entries),
        MsgSnapshot => snapshot_form(m, host),
        MsgRequestVote | MsgRequestPreVote => {
            ensure((m.index == 0) == (m.log_term == 0) && m.log_term < m.term, "the candidate's log cannot be")
        }
        MsgAppendResponse => ensure(!m.reject || m.reject_hint <= m.index, "the rejection's hint cannot be"),
        MsgRequestVoteResponse | MsgRequestPreVoteResponse | MsgHeartbeat | MsgHeartbeatResponse | MsgTimeoutNow => {
            Ok(())
        }
        _ => refuse(abi::ERR_PROTOCOL, "not a kind of message that nodes exchange"),
    }
}

fn append_form(m: &Message, entries: &[abi::Entry]) -> Answer {
    ensure((m.index == 0) == (m.log_term == 0) && m.log_term <= m.term, "the entry before the first cannot be")?;
    let (mut index, mut term) = (m.index, m.log_term.max(1));
    for e in entries {
        if e.len > abi::ENTRY_MAX {
            return refuse(abi::ERR_TOO_LARGE, "an entry is too large");
        }
        ensure(e.index == index + 1 && e.index <= abi::INDEX_MAX, "the entries are not contiguous")?;
        ensure(e.term >= term && e.term <= m.term, "an entry's term cannot be")?;
        ensure(e.kind <= 2, "an entry's kind is unknown")?;
        (index, term) = (e.index, e.term);
    }
    Ok(())
}

fn snapshot_form(m: &Message, host: &Host) -> Answer {
    let meta = m.get_snapshot().get_metadata();
    ensure((1..=abi::INDEX_MAX).contains(&meta.index), "the snapshot's index is out of range")?;
    ensure(meta.term >= 1 && meta.term <= m.term, "the snapshot's term cannot be")?;
    ensure(m.get_snapshot().data.len() <= abi::SNAPSHOT_DATA_MAX, "the snapshot's description is too long")?;
    ensure(!meta.get_conf_state().voters.is_empty(), "the snapshot has no voters")?;
    membership(host, meta.get_conf_state()).map_err(|(_, text)| (abi::ERR_PROTOCOL, text))?;
    Ok(())
}

/// What a replica without members, which is yet to join or has left, passes over. Its empty log would find anybody's good enough for its
/// vote, and who asks for that knows it from former days and may not know what was decided since; a heartbeat that counts on entries
/// was sent before it left.
pub fn passes_over<T: Storage>(m: &Message, raft: &Raft<T>) -> bool {
    use MessageType::*;
    let kind = m.get_msg_type();
    let vote = kind == MsgRequestVote || kind == MsgRequestPreVote;
    let late = kind == MsgHeartbeat && m.commit > raft.raft_log.last_index();
    (vote || late) && raft.prs().conf().to_conf_state().voters.is_empty()
}

/// What must also hold against the replica's own state. `unsettled`: a part of its log is not known to be on disk.
pub fn sense<T: Storage>(m: &Message, raft: &Raft<T>, unsettled: bool) -> Answer {
    use MessageType::*;
    let last = raft.raft_log.last_index();
    match m.get_msg_type() {
        MsgHeartbeat if m.term >= raft.term && m.commit > last => refuse(
            abi::ERR_CORRUPT,
            format!(
                "node {} counts on entry {} of this replica, whose log ends at {last}: it lost entries it had \
                     acknowledged",
                m.from, m.commit
            ),
        ),
        MsgAppendResponse if m.term == raft.term && raft.state == StateRole::Leader => {
            ensure(m.index <= last, "the answer is about an entry that was not sent")
        }
        MsgRequestVoteResponse if unsettled && raft.state == StateRole::Candidate => {
            ensure(false, "a vote that was not yet asked for")
        }
        _ => Ok(()),
    }
}
