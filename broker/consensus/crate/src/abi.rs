//! The structs of ../../raft.h as C lays them out, and the functions C lends to this crate (../border.h).

use std::ffi::{c_char, c_int, c_void};

pub const ERR_INVALID: c_int = 1;
pub const ERR_NOT_FOUND: c_int = 2;
pub const ERR_TOO_LARGE: c_int = 7;
pub const ERR_OVERLOADED: c_int = 8;
pub const ERR_NOT_LEADER: c_int = 10;
pub const ERR_PROTOCOL: c_int = 15;
pub const ERR_CORRUPT: c_int = 17;
pub const ERR_INTERNAL: c_int = 19;
pub const ERR_CONFLICT: c_int = 20;

pub const ENTRY_MAX: usize = 256 << 20;
pub const MESSAGE_ENTRIES_MAX: usize = 1 << 20;
pub const HEADER_MAX: usize = 128 << 10;
pub const SNAPSHOT_DATA_MAX: usize = 64 << 10;
pub const READS_MAX: usize = 4096;
pub const NODES_MAX: usize = 16;
pub const TERM_MAX: u64 = 1 << 62;
pub const INDEX_MAX: u64 = 1 << 62;
const MESSAGE_MAX: usize = 400;

#[repr(C)]
pub struct Blob {
    opaque: [u8; 0],
}

#[repr(C)]
pub struct Error {
    code: c_int,
    field: [c_char; 48],
    message: [c_char; MESSAGE_MAX],
}

/// What a function of the border answers: a code of base/error.h and a sentence.
pub type Answer<T = ()> = Result<T, (c_int, String)>;

pub fn refuse<T>(code: c_int, text: impl Into<String>) -> Answer<T> {
    Err((code, text.into()))
}

/// # Safety
/// `e` is NULL or points to a struct error.
pub unsafe fn answer(answer: Answer, e: *mut Error) -> c_int {
    let Err((code, text)) = answer else { return 0 };
    if let Some(e) = e.as_mut() {
        let len = text.len().min(MESSAGE_MAX - 1);
        e.code = code;
        e.field[0] = 0;
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), e.message.as_mut_ptr(), len);
        e.message[len] = 0;
    }
    code
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    pub data: *const u8,
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub data: *const u8,
    pub len: usize,
    pub owner: *mut Blob,
    pub kind: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct HardState {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SoftState {
    pub leader: u64,
    pub role: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct List {
    pub ids: [u64; NODES_MAX],
    pub count: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Membership {
    pub voters: List,
    pub learners: List,
    pub outgoing: List,
    pub learners_next: List,
    pub auto_leave: bool,
}

#[repr(C)]
pub struct Snapshot {
    pub index: u64,
    pub term: u64,
    pub data: *const u8,
    pub len: usize,
    pub membership: Membership,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Message {
    pub from: u64,
    pub to: u64,
    pub term: u64,
    pub header: View,
    pub entries: *const Entry,
    pub entry_count: usize,
    pub kind: u32,
}

#[repr(C)]
pub struct Read {
    pub context: u64,
    pub index: u64,
}

#[repr(C)]
pub struct Ready {
    pub number: u64,
    pub messages: *const Message,
    pub message_count: usize,
    pub persisted_messages: *const Message,
    pub persisted_message_count: usize,
    pub entries: *const Entry,
    pub entry_count: usize,
    pub committed: *const Entry,
    pub committed_count: usize,
    pub reads: *const Read,
    pub read_count: usize,
    pub snapshot: *const Snapshot,
    pub hard: HardState,
    pub soft: SoftState,
    pub has_hard: bool,
    pub has_soft: bool,
    pub must_sync: bool,
}

pub const STORAGE_OK: c_int = 0;
pub const STORAGE_COMPACTED: c_int = 1;
pub const STORAGE_LATER: c_int = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Storage {
    pub entries: unsafe extern "C" fn(*mut c_void, u64, u64, u64, *mut crate::storage::Collector) -> c_int,
    pub term: unsafe extern "C" fn(*mut c_void, u64) -> u64,
    pub first_index: unsafe extern "C" fn(*mut c_void) -> u64,
    pub last_index: unsafe extern "C" fn(*mut c_void) -> u64,
    pub snapshot: unsafe extern "C" fn(*mut c_void, u64, *mut Snapshot) -> c_int,
}

pub type TraceFn = unsafe extern "C" fn(*mut c_void, u32, *const c_char, usize);

#[repr(C)]
pub struct Options {
    pub group: u64,
    pub node: u64,
    pub election_ticks: u32,
    pub heartbeat_ticks: u32,
    pub max_size_per_msg: u64,
    pub max_inflight_msgs: u32,
    pub max_uncommitted_size: u64,
    pub max_committed_size_per_ready: u64,
    pub priority: i64,
    pub pre_vote: bool,
    pub check_quorum: bool,
    pub batch_append: bool,
    pub hard: HardState,
    pub applied: u64,
    pub membership: Membership,
    pub random: *mut c_void,
    pub storage: *const Storage,
    pub storage_context: *mut c_void,
    pub trace: Option<TraceFn>,
    pub trace_context: *mut c_void,
    pub trace_level: u32,
}

#[repr(C)]
pub struct Change {
    pub node: u64,
    pub kind: u32,
}

#[repr(C)]
pub struct Status {
    pub node: u64,
    pub leader: u64,
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    pub applied: u64,
    pub persisted: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub uncommitted_bytes: u64,
    pub transferee: u64,
    pub role: u32,
    pub voter: bool,
    pub change_pending: bool,
    pub failed: bool,
}

#[repr(C)]
pub struct Peer {
    pub node: u64,
    pub matched: u64,
    pub next: u64,
    pub pending_snapshot: u64,
    pub state: u32,
    pub active: bool,
    pub paused: bool,
}

/// What C lends: blobs, randomness, and the one place that knows what a valid membership is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Host {
    pub blob_ref: unsafe extern "C" fn(*mut Blob) -> *mut Blob,
    pub blob_unref: unsafe extern "C" fn(*mut Blob),
    pub blob_copy: unsafe extern "C" fn(View) -> *mut Blob,
    pub blob_view: unsafe extern "C" fn(*const Blob) -> View,
    pub random_below: unsafe extern "C" fn(*mut c_void, u64) -> u64,
    pub membership_check: unsafe extern "C" fn(*const Membership, *mut Error) -> c_int,
}

/// Sizes of the structs above in the order of border.h, so that C can compare them with its own.
#[no_mangle]
pub unsafe extern "C" fn hato_raft_layout(sizes: *mut usize, max: usize) -> usize {
    use std::mem::size_of;
    let own = [
        size_of::<Error>(),
        size_of::<Entry>(),
        size_of::<Membership>(),
        size_of::<Snapshot>(),
        size_of::<Message>(),
        size_of::<Read>(),
        size_of::<Ready>(),
        size_of::<Storage>(),
        size_of::<Options>(),
        size_of::<Change>(),
        size_of::<Status>(),
        size_of::<Peer>(),
        size_of::<Host>(),
    ];
    for (i, size) in own.iter().take(max).enumerate() {
        *sizes.add(i) = *size;
    }
    own.len()
}
