//! A replica: raft-rs's node, and what the border must remember beside it.

use crate::abi::{self, refuse, Answer, Host};
use crate::check;
use crate::convert::{entry_in, membership, slice};
use crate::output::Out;
use crate::storage::Store;
use crate::trace;
use protobuf::Message as _;
use raft::eraftpb::{self, ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType, MessageType};
use raft::{Changer, Config, RawNode, Ready, StateRole};
use std::ffi::c_void;

pub struct Group {
    pub node: RawNode<Store>,
    pub host: Host,
    pub random: *mut c_void,
    pub timeout: usize,
    pub seen: (u64, u64, StateRole),
    pub given: Option<Ready>,
    pub soft: (u64, StateRole),
    pub hard: eraftpb::HardState,
    /// Numbers of readies: the last one advanced, the last one that had something for the log, the last one on disk.
    pub advanced: u64,
    pub written: u64,
    pub persisted: u64,
    pub out: Out,
}

impl Group {
    /// # Safety
    /// `o` is valid, and its storage and randomness outlive the replica.
    pub unsafe fn create(o: &abi::Options, host: Host) -> Answer<Box<Group>> {
        let config = Config {
            id: o.node,
            election_tick: o.election_ticks as usize,
            heartbeat_tick: o.heartbeat_ticks as usize,
            applied: o.applied,
            max_size_per_msg: o.max_size_per_msg,
            max_inflight_msgs: o.max_inflight_msgs as usize,
            check_quorum: o.check_quorum,
            pre_vote: o.pre_vote,
            batch_append: o.batch_append,
            priority: o.priority,
            max_uncommitted_size: o.max_uncommitted_size,
            max_committed_size_per_ready: o.max_committed_size_per_ready,
            ..Config::default()
        };
        let node = RawNode::new(&config, Store::new(o, host), &trace::logger(o))
            .or_else(|e| refuse(abi::ERR_INVALID, e.to_string()))?;
        let mut group = Box::new(Group {
            soft: (node.raft.leader_id, node.raft.state),
            hard: node.raft.hard_state(),
            node,
            host,
            random: o.random,
            timeout: 0,
            seen: (u64::MAX, 0, StateRole::Follower),
            given: None,
            advanced: 0,
            written: 0,
            persisted: 0,
            out: Out::default(),
        });
        group.settle();
        Ok(group)
    }

    pub fn failed(&self) -> bool {
        self.node.store().failed.get()
    }

    /// Whether input may be given: asserts the order of calls.
    pub fn open(&self) -> Answer {
        assert!(self.given.is_none(), "raft_advance is owed before anything else");
        if self.failed() {
            return refuse(abi::ERR_CORRUPT, "the storage of this replica failed");
        }
        Ok(())
    }

    pub fn leading(&self) -> Answer {
        self.open()?;
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader {
            return refuse(abi::ERR_NOT_LEADER, format!("node {} leads", raft.leader_id));
        }
        Ok(())
    }

    pub fn proposing(&self) -> Answer {
        self.leading()?;
        match self.node.raft.lead_transferee {
            Some(to) => refuse(abi::ERR_NOT_LEADER, format!("leadership is being handed to node {to}")),
            None => Ok(()),
        }
    }

    /// After each input. The library draws election timeouts from a generator that can't be seeded; this puts the
    /// replica's own in their place, a new one whenever term, leader or role changed.
    pub fn settle(&mut self) {
        let raft = &mut self.node.raft;
        let now = (raft.term, raft.leader_id, raft.state);
        if now != self.seen {
            self.seen = now;
            let span = raft.election_timeout();
            self.timeout = span + unsafe { (self.host.random_below)(self.random, span as u64) } as usize;
        }
        raft.set_randomized_election_timeout(self.timeout);
    }

    /// Part of the log is not known to be on disk. The library asserts the contrary of whoever becomes leader.
    fn unsettled(&self) -> bool {
        let log = &self.node.raft.raft_log;
        log.persisted != log.last_index() || self.written > self.persisted
    }

    /// What the library asserts of whoever campaigns. It looks for membership changes in all that is not applied, which
    /// must still be in the log: not so while an installed snapshot is on its way to the disk. And a single voter elects
    /// itself at once, so that all it has said and written must be on disk before.
    pub fn must_not_campaign(&self) -> bool {
        let raft = &self.node.raft;
        raft.state != StateRole::Leader
            && raft.promotable()
            && (raft.raft_log.applied + 1 < raft.raft_log.first_index() && self.node.snap().is_none()
                || raft.prs().is_singleton() && (self.unsettled() || !raft.msgs.is_empty()))
    }

    pub fn step(&mut self, m: &abi::Message) -> Answer {
        self.open()?;
        if m.header.len > abi::HEADER_MAX || m.entry_count > abi::MESSAGE_ENTRIES_MAX {
            return refuse(abi::ERR_TOO_LARGE, "the message is too large");
        }
        let Ok(mut message) = eraftpb::Message::parse_from_bytes(unsafe { slice(m.header.data, m.header.len) }) else {
            return refuse(abi::ERR_PROTOCOL, "the header can't be read");
        };
        let entries = unsafe { slice(m.entries, m.entry_count) };
        check::form(&message, entries, self.node.raft.id, m.from, &self.host)?;
        if check::passes_over(&message, &self.node.raft) {
            return Ok(());
        }
        check::sense(&message, &self.node.raft, self.unsettled())?;
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.must_not_campaign() {
            return Ok(());
        }
        let owned = entries.iter().map(|e| unsafe { entry_in(&self.host, e) });
        message.set_entries(owned.collect::<Vec<_>>().into());
        let result = self.node.step(message);
        self.settle();
        match result {
            Ok(()) => self.open(),
            Err(raft::Error::StepPeerNotFound) => refuse(abi::ERR_NOT_FOUND, "an answer from no member of the group"),
            Err(e) => refuse(abi::ERR_INTERNAL, e.to_string()),
        }
    }

    pub fn propose(&mut self, entry: Entry) -> Answer<u64> {
        let mut m = eraftpb::Message::default();
        m.set_msg_type(MessageType::MsgPropose);
        m.from = self.node.raft.id;
        m.mut_entries().push(entry);
        if self.node.raft.step(m).is_err() {
            return refuse(abi::ERR_OVERLOADED, "too much is waiting to be committed");
        }
        self.settle();
        Ok(self.node.raft.raft_log.last_index())
    }

    /// The membership that a change would lead to.
    fn outcome(&self, cc: &ConfChangeV2) -> Answer<abi::Membership> {
        let mut changer = Changer::new(self.node.raft.prs());
        let result = match cc.enter_joint() {
            _ if cc.leave_joint() => changer.leave_joint(),
            Some(auto_leave) => changer.enter_joint(auto_leave, &cc.changes),
            None => changer.simple(&cc.changes),
        };
        let (next, _) = result.or_else(|e| refuse(abi::ERR_INVALID, e.to_string()))?;
        membership(&self.host, &next.to_conf_state())
    }

    pub fn propose_membership(&mut self, changes: &[abi::Change]) -> Answer<u64> {
        self.proposing()?;
        let mut cc = ConfChangeV2::default();
        for change in changes {
            let mut single = ConfChangeSingle::default();
            single.node_id = change.node;
            single.set_change_type(match change.kind {
                0 => ConfChangeType::AddNode,
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                _ => return refuse(abi::ERR_INVALID, "unknown kind of change"),
            });
            if change.node == 0 {
                return refuse(abi::ERR_INVALID, "node 0 can't be a member");
            }
            cc.mut_changes().push(single);
        }
        let raft = &self.node.raft;
        if raft.has_pending_conf() {
            return refuse(abi::ERR_CONFLICT, "another change of the membership is not applied yet");
        }
        let next = self.outcome(&cc).or_else(|(code, text)| match changes.is_empty() {
            true => refuse(abi::ERR_CONFLICT, text),
            false => refuse(code, text),
        })?;
        if !next.voters.ids[..next.voters.count as usize].contains(&raft.id) && !changes.is_empty() {
            return refuse(abi::ERR_CONFLICT, "it would take the leader out of the voters: transfer leadership first");
        }
        let data = cc.write_to_bytes().unwrap_or_default();
        let view = abi::Entry {
            index: 0,
            term: 0,
            data: data.as_ptr(),
            len: data.len(),
            owner: std::ptr::null_mut(),
            kind: EntryType::EntryConfChangeV2 as u32,
        };
        self.propose(unsafe { entry_in(&self.host, &view) })
    }

    pub fn apply_membership(&mut self, entry: &abi::Entry) -> (Answer, eraftpb::ConfState) {
        let mut current = self.node.raft.prs().conf().to_conf_state();
        if let Err(e) = self.open() {
            return (Err(e), current);
        }
        let data = unsafe { slice(entry.data, entry.len) };
        let parsed = if entry.kind == EntryType::EntryConfChange as u32 {
            eraftpb::ConfChange::parse_from_bytes(data).map(|cc| {
                let mut v2 = ConfChangeV2::default();
                v2.mut_changes().push({
                    let mut single = ConfChangeSingle::default();
                    single.node_id = cc.node_id;
                    single.set_change_type(cc.get_change_type());
                    single
                });
                v2
            })
        } else {
            ConfChangeV2::parse_from_bytes(data)
        };
        let Some(cc) = parsed.ok().filter(|_| !current.voters.is_empty()) else {
            self.node.store().failed.set(true);
            let text = format!("entry {} is no change of membership, or there is none to change", entry.index);
            return (refuse(abi::ERR_CORRUPT, text), current);
        };
        let outcome = self.outcome(&cc).map(|_| ());
        if outcome.is_ok() {
            current = self.node.apply_conf_change(&cc).expect("the change was tried before");
            let raft = &mut self.node.raft;
            if raft.state == StateRole::Leader && !raft.promotable() {
                // The library lets such a leader go on, and asserts itself among the members when it next commits.
                let term = raft.term;
                raft.become_follower(term, raft::INVALID_ID);
            }
            self.settle();
        }
        (outcome, current)
    }

    pub fn has_ready(&self) -> bool {
        if self.given.is_some() || self.failed() || !self.node.has_ready() {
            return false;
        }
        // Committed entries that were put off are no reason to ask again.
        let raft = &self.node.raft;
        !self.node.store().committed_later.get()
            || !raft.msgs.is_empty()
            || (raft.leader_id, raft.state) != self.soft
            || raft.hard_state() != self.hard
            || !raft.read_states.is_empty()
            || !raft.raft_log.unstable_entries().is_empty()
            || self.node.snap().is_some()
    }

    pub fn ready(&mut self, ready: &mut abi::Ready) {
        assert!(self.has_ready(), "raft_ready only when raft_has_ready");
        self.node.store().collecting.set(true);
        let mut rd = self.node.ready();
        self.node.store().collecting.set(false);
        self.out.fill(&mut rd, &self.host, ready);
        if let Some(hard) = rd.hs() {
            self.hard = hard.clone();
        }
        if let Some(soft) = rd.ss() {
            self.soft = (soft.leader_id, soft.raft_state);
        }
        if ready.entry_count > 0 || !ready.snapshot.is_null() {
            self.written = ready.number;
        }
        self.given = Some(rd);
    }

    pub fn read_index(&mut self, context: u64) -> Answer {
        self.leading()?;
        let raft = &self.node.raft;
        if !raft.commit_to_current_term() {
            return refuse(abi::ERR_NOT_LEADER, "the new leader has not committed its first entry yet");
        }
        if raft.pending_read_count() + raft.ready_read_count() >= abi::READS_MAX {
            return refuse(abi::ERR_OVERLOADED, format!("{} reads are waiting", abi::READS_MAX));
        }
        self.node.read_index(context.to_le_bytes().to_vec());
        self.settle();
        Ok(())
    }
}
