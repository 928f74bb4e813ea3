#pragma once
/*
 * Numbers, limits and versions of the dxvm protocol: the one place they stand. docs/protocol.md
 * says what they mean. The same protocol runs on both hops, client to supervisor (a unix socket)
 * and supervisor to agent (a virtio-serial port); the project share has a port and framing of its
 * own (wire/share_proto.h) so that file data never waits in front of a keystroke.
 *
 * Versions:
 *   1  the first.
 */
#include <stdint.h>

#define PROTO_MAGIC	  0x6478766d2d303031ULL /* "dxvm-001" */
#define PROTO_VERSION_MIN 1
#define PROTO_VERSION	  1

/* A frame on the wire, big-endian: u8 type, u8 flags, u8 check, u8 zero, u32 channel, u32 length,
 * `length` bytes of payload, u8 end. check: see frame.h. end is PROTO_FRAME_END: a frame completed
 * by the zeros of a resync run ends in 0 and is dropped, never delivered. */
#define PROTO_FRAME_HEADER 12
#define PROTO_FRAME_END	   0x7e
#define PROTO_PAYLOAD_MAX  16384
#define PROTO_FRAME_MAX	   (PROTO_FRAME_HEADER + PROTO_PAYLOAD_MAX + 1)

/* A side that (re)starts on a link that may stand inside a frame sends this many zero bytes, then
 * HELLO: the longest tail of a frame that was cut, and a whole zero header. */
#define PROTO_RESYNC_RUN (PROTO_FRAME_MAX + PROTO_FRAME_HEADER)

#define PROTO_WINDOW	   1048576u   /* bytes in flight per channel and direction */
#define PROTO_CHANNELS_MAX 256	      /* open at once on a link */
#define PROTO_OPEN_MAX	   (2u << 20) /* the description that follows an OPEN */
#define PROTO_MESSAGE_MAX  16384      /* a REQUEST or REPLY is one frame */
#define PROTO_PROGRAM_MAX  (8u << 20) /* a program that is sent to the guest */
#define PROTO_TEXT_MAX	   1024	      /* a human-readable text in REJECT, GOAWAY, REPLY */
/* Where in the guest a binary cache for Nix is mounted, read-only, when the host lends one. */
#define PROTO_NIX_CACHE "/run/dxvm/cache"
/* And programs of the host's for it: the last directory in PATH. */
#define PROTO_TOOLS "/run/dxvm/tools"
/* Queued for channel 0 before the link is given up. */
#define PROTO_CONTROL_QUEUE_MAX (256u << 10)

enum proto_type {
	PROTO_SYNC = 0, /* never sent as a frame: what a resync run looks like */
	PROTO_HELLO = 1,
	PROTO_OPEN = 2,	    /* u16 kind, u32 bytes of description that follow as DATA */
	PROTO_ACCEPT = 3,   /* the description was read and understood; payload by kind */
	PROTO_REJECT = 4,   /* u32 code (enum proto_reject), string text; closes the channel */
	PROTO_DATA = 5,	    /* at most the peer's credit; flag PROTO_DATA_STDERR */
	PROTO_CREDIT = 6,   /* u32 bytes consumed */
	PROTO_EOF = 7,	    /* no more DATA in this direction */
	PROTO_EXIT = 8,	    /* u8 how (enum proto_exit), u32 value */
	PROTO_CLOSE = 9,    /* the last frame of a channel in this direction */
	PROTO_REQUEST = 10, /* u32 id (0: no reply wanted), u16 what, payload */
	PROTO_REPLY = 11, /* u32 id, u32 code (0: done, else enum proto_reject), payload or text */
	PROTO_PING = 12,
	PROTO_PONG = 13,   /* repeats the payload of the PING, at most 64 bytes */
	PROTO_GOAWAY = 14, /* u32 code, string text: the sender closes the link after this */
	PROTO_TYPE_COUNT,
};

enum proto_flag {
	PROTO_DATA_STDERR = 1, /* on DATA: this is standard error */
};

enum proto_exit {
	PROTO_EXITED = 0,   /* value: exit status 0..255 */
	PROTO_SIGNALED = 1, /* value: signal number */
};

/* Codes of REJECT, REPLY and GOAWAY. */
enum proto_reject {
	PROTO_OK = 0,
	PROTO_BAD_REQUEST = 1, /* malformed, or not in this state */
	PROTO_UNKNOWN = 2,     /* a kind or request this version does not have */
	PROTO_NOT_FOUND = 3,   /* command, user, directory, session */
	PROTO_NOT_EXECUTABLE = 4,
	PROTO_NO_RESOURCES = 5, /* a limit was reached */
	PROTO_FAILED = 6,	/* tried, and failed; the text says how */
	PROTO_GONE = 7,		/* the guest or the link behind a relay went away */
	PROTO_SHUTTING_DOWN = 8,
	PROTO_VERSION_MISMATCH = 9,
	PROTO_VIOLATION = 10, /* the peer broke a rule of the protocol */
	PROTO_AGAIN = 11,     /* nothing was begun: the VM is between two states; ask anew */
};

/* Kinds of channel. */
enum proto_kind {
	PROTO_KIND_SESSION = 1, /* a program with a terminal or pipes; struct message_session */
	PROTO_KIND_ATTACH = 2,	/* a session that is there already; struct message_attach */
	PROTO_KIND_LIST = 3,	/* no description; DATA: struct message_sessions */
	PROTO_KIND_PROGRAM = 4, /* a newer program of ours, its bytes; struct message_program */
};

/* What becomes of a session that loses its client. */
enum proto_detach {
	PROTO_DETACH_NEVER = 0,	  /* it is hung up */
	PROTO_DETACH_COMMAND = 1, /* it goes on */
	PROTO_DETACH_SHELL = 2,	  /* the same; a shell, which `dxvm` alone comes back to */
	PROTO_DETACH_COUNT,
};

enum proto_session_state {
	PROTO_SESSION_DETACHED = 0,
	PROTO_SESSION_ATTACHED = 1,
	PROTO_SESSION_ENDED = 2, /* while nobody was attached; its end can still be seen, once */
	PROTO_SESSION_STATE_COUNT,
};

/* REQUESTs on channel 0 and on session channels. Direction in brackets. */
enum proto_what {
	/* client -> supervisor */
	PROTO_WAIT_READY = 1, /* replied to when the guest is ready for sessions */
	PROTO_STATUS = 2,     /* reply: struct message_status */
	PROTO_STOP = 3,	      /* orderly stop; replied to when the VM is gone */
	PROTO_SUSPEND = 4,    /* to disk; replied to when it is there and the VM is gone */
	PROTO_KEEP = 5,	      /* do not suspend it because nobody uses it, until LET_GO */
	PROTO_LET_GO = 6,
	/* supervisor -> client, no reply */
	PROTO_PROGRESS = 16, /* text: what is going on now, replaced by the next one */
	PROTO_NOTE = 17,     /* text: one line a person should read */
	/* supervisor -> agent */
	PROTO_CONFIGURE = 32, /* struct message_configure; reply when done */
	PROTO_SHUTDOWN = 33,  /* end sessions, sync, unmount, power off; reply before power off */
	PROTO_SYNC_DISKS = 34,
	/* Sync, reply, GOAWAY; the sender says GOAWAY, too. The next frame either way is a HELLO */
	PROTO_QUIESCE = 35,
	PROTO_RESUMED = 36,  /* u64 wall clock, 32 random bytes; the first request after that */
	PROTO_ACTIVITY = 37, /* reply: u64 microseconds of CPU that sessions have used */
	/* on a session channel, opener -> agent, no reply */
	PROTO_RESIZE = 64, /* u16 rows, u16 columns, u16 width, u16 height (pixels) */
	PROTO_SIGNAL = 65, /* u32 signal, to the foreground process group */
	/* on a session channel, agent -> opener, no reply */
	PROTO_TAKEN = 66, /* somebody else has attached to it; CLOSE follows */
};
