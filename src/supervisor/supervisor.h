#pragma once
/*
 * The supervisor: one process per VM, started on demand, detached, gone when its VM is gone. It
 * owns the machine and its RAM, the control socket, the agent link and the share server.
 *
 *	starting ──agent says HELLO──▶ configuring ──configured──▶ ready
 *	    │                               │                        │
 *	    └───────────────┬───────────────┴──── stop, signal ──────┘
 *	                    ▼
 *	                stopping ──machine gone──▶ gone: answers are written, then the process ends
 *
 * The machine may go at any time; that leads to gone from everywhere.
 */

/* The program behind LIVE_COMMAND (project/live.h). Returns the exit status. */
int supervisor_main(int argc, char **argv);
